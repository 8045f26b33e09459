"""Reinforcement learning from execution: rollouts, rewards from an engine, advantages, policy updates, evaluation."""
