"""Lets `python -m qenex` do what the command `qenex` does."""

import sys

from qenex.cli import main

if __name__ == "__main__":
    sys.exit(main())
