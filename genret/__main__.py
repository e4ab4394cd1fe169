"""``python -m genret``."""

import sys

from genret.cli.main import main

sys.exit(main())
