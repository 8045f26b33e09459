"""Transformers for training: loading, trees of tokens, scores. What a reward model and an RL policy share."""
