"""What the commands of the examples share: their options, Ctrl-C, and files written whole."""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def at_least(least: int) -> Callable[[str], int]:
    """An option's type: a whole number from ``least`` on."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            message = f"must be a whole number of at least {least}, got {text!r}."
            raise argparse.ArgumentTypeError(message)
        return int(text)

    return number


def check_options(parser: argparse.ArgumentParser, options: argparse.Namespace, bits: int) -> None:
    """Refuses a seed of more than so many bits, and an output folder that cannot be written to.

    Makes the folder: it is asked for before the training, not after it.
    """
    if not 0 <= options.seed < 2**bits:
        parser.error(f"argument --seed: must be from 0 to 2**{bits} - 1, got {options.seed}.")
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=options.output).close()
    except OSError as error:
        parser.error(f"argument --output: cannot write to {options.output}: {error.strerror}.")


def cores() -> int:
    """The processor cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def held_interrupt() -> Iterator[Callable[[], None]]:
    """Holds Ctrl-C back until the function it gives is called, which then raises it.

    Raised wherever it comes, it may be lost in a garbage collection, where Python only prints what
    JAX's callback raises, or come out of an extension module's import as an ImportError.
    """
    came = False

    def hold(*_: object) -> None:
        nonlocal came
        came = True

    def check() -> None:
        if came:
            raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, hold)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, previous)


def write(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
