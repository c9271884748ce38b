"""Reading cheques: a network trained with cross-entropy, and one trained with what mistakes cost.

Run ``python -m examples.mnist_cheques --help``. It trains the same network on MNIST with both
losses, decides with each by highest probability and by least expected cost, and shows what each way
costs.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from examples.commands import at_least, check_options, held_interrupt, write

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
    add("--runs", type=at_least(1), default=10, help="repetitions, for the spread (default: 10)")
    add("--epochs", type=at_least(1), help="passes over the data (default: 6, on the digits 40)")
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
    check_options(parser, options, bits=32)
    return options


def _run(options: argparse.Namespace) -> int:
    # Imported here, so that --help and a wrong option answer at once.
    with held_interrupt() as check:
        from examples import mnist

        check()
    started = time.monotonic()
    try:
        data = mnist.load(options.data)
    except mnist.UnavailableError as error:
        print(error, file=sys.stderr)
        return 1
    with held_interrupt() as check:
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
        write(options.output / f"{NAME}.{suffix}", content)
    return text


if __name__ == "__main__":
    sys.exit(main())
