"""Run the command line as `python -m scenewise.cli`."""

import sys

from scenewise.cli import main

sys.exit(main())
