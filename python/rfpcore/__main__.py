"""`python -m rfpcore`: the program `rfpcore`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
