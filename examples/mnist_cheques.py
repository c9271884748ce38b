"""Reading cheques: a network trained with cross-entropy, and one trained with what mistakes cost.

Run ``python -m examples.mnist_cheques --help``. It trains the same network on MNIST with both
losses, decides with each by highest probability and by least expected cost, and shows what each way
costs.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from examples.mnist import ImageData

NAME = "mnist_cheques"
EPOCHS = {"MNIST": 6, "digits": 40}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo.

    Args:
        arguments: The command line, default ``sys.argv[1:]``.

    Returns:
        The exit code: 0, 1 if the data cannot be had, or 130 if interrupted.
    """
    options = _parse(arguments)
    try:
        return _run(options)
    except KeyboardInterrupt:
        print("\nInterrupted, nothing written.", file=sys.stderr)
        return 130


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m examples.{NAME}",
        description="Reading a 4 as a 9 on a cheque costs 20, every other mistake 1. Trains one"
        " network with cross-entropy and one with the Real-World-Weight Cross-Entropy, and compares"
        " what they cost.",
    )
    add = parser.add_argument
    add("--seed", type=int, default=0, help="of weights and batch order (default: 0)")
    add("--runs", type=_positive, default=10, help="repetitions, for the spread (default: 10)")
    add("--epochs", type=_positive, help="passes over the data (default: 6, on the digits 40)")
    add(
        "--data",
        choices=["auto", "mnist", "digits"],
        default="auto",
        help="mnist, scikit-learn's small digits, or what can be had (default: auto)",
    )
    add(
        "--output",
        type=Path,
        default=Path("output"),
        metavar="DIR",
        help="where the picture and the table go (default: output)",
    )
    options = parser.parse_args(arguments)
    if not 0 <= options.seed < 2**32:
        parser.error(f"argument --seed: must be from 0 to 2**32 - 1, got {options.seed}.")
    # Asked before the training, not after it.
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=options.output).close()
    except OSError as error:
        parser.error(f"argument --output: cannot write to {options.output}: {error.strerror}.")
    return options


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}.")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    # Imported here, so that --help and a wrong option answer at once.
    with _held_interrupt() as check:
        from examples import mnist

        check()
    started = time.monotonic()
    try:
        data = mnist.load(options.data)
    except mnist.UnavailableError as error:
        print(error, file=sys.stderr)
        return 1
    with _held_interrupt() as check:
        text = _train_and_write(options, data, check)
    print(f"\n{text}")
    print(f"Picture and table: {options.output}/{NAME}.png, .json, .md", end=" ")
    print(f"({time.monotonic() - started:.0f} s)")
    return 0


def _train_and_write(
    options: argparse.Namespace, data: "ImageData", check: Callable[[], None]
) -> str:
    """Writes the picture and the table, and returns the table with what it shows in words."""
    from examples import cheques, figures, training

    epochs = options.epochs or EPOCHS[data.name]
    results = []
    for name, loss in cheques.LOSSES.items():
        weights = training.train(
            data,
            loss,
            seed=options.seed,
            runs=options.runs,
            epochs=epochs,
            name=f"{name:13}",
            between=check,
        )
        probabilities = training.probabilities(weights, data.test_images)
        results += cheques.outcomes(name, probabilities, data.test_labels)

    title = (
        f"Reading a 4 as a 9 costs 20, every other mistake 1 ({data.name},"
        f" {len(data.test_labels):,} test images, epochs: {epochs}, runs: {options.runs})"
    )
    text = f"{title}\n\n{cheques.table(results)}\n\n{cheques.verdict(results)}\n"
    facts = {
        "data": data.name,
        "seed": options.seed,
        "runs": options.runs,
        "epochs": epochs,
        "outcomes": cheques.summary(results),
    }
    files = {
        "png": figures.draw(results, title),
        "json": (json.dumps(facts, indent=1) + "\n").encode(),
        "md": text.encode(),
    }
    check()
    for suffix, content in files.items():
        _write(options.output / f"{NAME}.{suffix}", content)
    return text


@contextmanager
def _held_interrupt() -> Iterator[Callable[[], None]]:
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


def _write(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
