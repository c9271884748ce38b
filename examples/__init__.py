"""Examples to copy, one file each, to be read in five minutes: ``python -m examples.NAME``."""

import os
import sys
from typing import Any


def _end_if_interrupted(error: BaseException | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        print("\nInterrupted, nothing written.", file=sys.stderr, flush=True)
        os._exit(130)


def _uncaught(kind: Any, error: BaseException, traceback: Any) -> None:
    _end_if_interrupted(error)
    sys.__excepthook__(kind, error, traceback)


def _ignored(unraisable: Any) -> None:
    _end_if_interrupted(unraisable.exc_value)
    sys.__unraisablehook__(unraisable)


# Ctrl-C without a traceback, from the imports on: Python looks for the module of an example ("-m").
# Raised in JAX's callback of the garbage collector, KeyboardInterrupt would be ignored.
if sys.argv[0] == "-m":
    sys.excepthook = _uncaught
    sys.unraisablehook = _ignored
