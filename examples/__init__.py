"""Examples to copy: single files, each read in five minutes. Run one by ``python -m examples.NAME``."""

import sys
from types import TracebackType


def _without_traceback(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print("\nInterrupted, nothing written.", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)


# "-m" while Python looks for the module: Ctrl-C is answered from the imports on, which take seconds.
if sys.argv[0] == "-m":
    sys.excepthook = _without_traceback
