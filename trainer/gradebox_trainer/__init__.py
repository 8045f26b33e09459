"""The trainer: problems from seed code, programs, filters, preference pairs, reward models.

It reaches an engine over the wire only, through `gradebox`. Nothing here is imported by the SDK or the engine, but
for the command line, which asks `gradebox_trainer.cli` for its commands.
"""
