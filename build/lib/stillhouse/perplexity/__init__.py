"""Stage perplexity: how predictable the verified attempts are under a scorer model."""
