"""Reward models: question groups, their loss, training, scores, best-of-n, reports."""
