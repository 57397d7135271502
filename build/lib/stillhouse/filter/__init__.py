"""Which verified responses are good enough to train on: structure, length, perplexity, repetition."""
