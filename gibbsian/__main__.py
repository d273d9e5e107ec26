"""``python -m gibbsian`` is the command line."""

import sys
from pathlib import Path

import gibbsian

# `python -m` puts the current folder first on the path, where a stranger's numpy.py would be everybody's.
# It stays where the package itself lies there.
if Path(sys.path[0] or ".").resolve() == Path.cwd() != Path(gibbsian.__path__[0]).parent:
    del sys.path[0]

from gibbsian.cli import main

if __name__ == "__main__":
    sys.exit(main())
