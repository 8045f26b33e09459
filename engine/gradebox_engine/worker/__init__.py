"""The worker: a trusted process that owns one jail and grades submissions in it, one at a time."""
