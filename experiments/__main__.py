"""The program behind ``make experiment``."""

import sys

from experiments import command

sys.exit(command.main())
