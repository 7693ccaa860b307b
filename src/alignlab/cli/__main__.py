"""`python -m alignlab.cli`."""

import sys

from . import main

sys.exit(main())
