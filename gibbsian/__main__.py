"""``python -m gibbsian`` is the command line."""

import sys

from gibbsian.cli import main

if __name__ == "__main__":
    sys.exit(main())
