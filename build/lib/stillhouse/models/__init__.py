"""Runs models: engines, weights, chat templates, the perplexity scorer and the reward model."""
