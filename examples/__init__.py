"""Examples to copy, one file each, to be read in five minutes: ``python -m examples.NAME``."""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any


def _end() -> None:
    print("\nInterrupted, nothing written.", file=sys.stderr, flush=True)
    os._exit(130)


def _interrupt(number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            _end()  # raised while an extension module is imported, an exception may abort
        frame = frame.f_back
    raise KeyboardInterrupt


def _uncaught(kind: Any, error: BaseException, traceback: Any) -> None:
    if issubclass(kind, KeyboardInterrupt):
        _end()
    sys.__excepthook__(kind, error, traceback)


def _ignored(unraisable: Any) -> None:
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        _end()  # raised in JAX's callback of the garbage collector, it would be lost
    sys.__unraisablehook__(unraisable)


def keep_checkpoints(folder: Path) -> None:
    """Makes Ctrl-C end the process at once, and say how to go on."""

    def stop(*_: object) -> None:
        again = f"The same command goes on from the last checkpoint in {folder}."
        print(f"\nInterrupted. {again}", file=sys.stderr, flush=True)
        os._exit(130)

    signal.signal(signal.SIGINT, stop)


# Ctrl-C without a traceback. "-m" stands here while Python looks for the example that is to be run.
if sys.argv[0] == "-m" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _interrupt)
    sys.excepthook, sys.unraisablehook = _uncaught, _ignored
