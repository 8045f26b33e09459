"""What the commands of `gradebox` share: rows of files, errors and exit statuses, sessions with engines, the terminal.

The engine's commands (gradebox_engine.cli) and the trainer's (gradebox_trainer.cli) stand on it. It is no interface
for others, and importing it costs nothing: a module imports what is heavy when it is used.
"""
