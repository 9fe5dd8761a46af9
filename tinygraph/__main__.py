"""``python -m tinygraph`` is the command ``tinygraph``."""

import sys

from .cli import main

sys.exit(main())
