"""`python -m gradebox_engine` is the command `gradebox`."""

import sys

from gradebox_engine.cli import main

if __name__ == "__main__":
    sys.exit(main())
