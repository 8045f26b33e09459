"""Models: loading, trees of tokens through a transformer, scores. What a reward model and an RL policy share."""
