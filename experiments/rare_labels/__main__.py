"""The command: trains and measures all arms."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from experiments import commands, rare_labels
from experiments.rare_labels import report, training
from experiments.rare_labels.training import ARMS, Arm, Size


def run(size: Size, check: Callable[[], None]) -> tuple[str, dict]:
    """Trains and measures every arm; returns what to print, and its numbers."""
    name, parts = training.corpus(size)
    labels = parts[0].labels
    truths = [np.asarray(training.multi_hot(part.labels, size.words)) > 0 for part in parts[1:]]
    results: dict[str, dict[str, list]] = {}
    rates: dict[str, float] = {}

    def keep(arm: str, of: Arm, logits: list[np.ndarray]) -> None:
        for way, columns in report.evaluate(arm, of, logits, truths, size.frequent).items():
            for column, values in columns.items():
                results.setdefault(way, {}).setdefault(column, []).append(values)

    prior = training.prior_of(labels, size.words, 1.0)
    keep(report.FREQUENCY, Arm(1.0), [np.tile(prior, (len(truth), 1)) for truth in truths])
    runs = len(ARMS) * (len(size.rates) + size.seeds - 1)
    with tqdm(total=runs * size.epochs, unit="epoch") as bar:

        def moved(epochs: int) -> None:
            bar.update(epochs)
            check()

        for arm in ARMS:
            bar.set_description(arm)
            for seed in range(size.seeds):
                grid = size.rates if seed == 0 else (rates[arm],)  # chosen with the first seed
                trained = [
                    training.train(parts, ARMS[arm], rate, seed, size, moved) for rate in grid
                ]
                (_, weights), rates[arm] = min(
                    zip(trained, grid, strict=True), key=lambda one: one[0][0]
                )
                logits = [training.logits_of(weights, part.inputs) for part in parts[1:]]
                keep(arm, ARMS[arm], [np.asarray(array) for array in logits])
                check()
    measured = {
        way: {column: np.stack(values) for column, values in of.items()}
        for way, of in results.items()
    }
    means = {
        way: {column: np.nanmean(values, axis=1).tolist() for column, values in of.items()}
        for way, of in measured.items()
    }
    numbers = {"size": size._asdict(), "learning rates": rates, "means by seed": means}
    return report.text(name, size, parts, measured), numbers


def main(arguments: list[str] | None = None) -> int:
    """Prints the report, and writes it and its numbers."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.rare_labels", description=rare_labels.__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="a few texts, in half a minute")
    parser.add_argument("--output", type=Path, help="folder for rare_labels.md and .json")
    options = parser.parse_args(arguments)
    if options.output:  # asked for before the training, not after it
        try:
            options.output.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=options.output).close()
        except OSError as error:
            parser.error(f"argument --output: cannot write to {options.output}: {error.strerror}.")
    try:
        with commands.held_interrupt() as check:
            printed, numbers = run(training.QUICK if options.quick else Size(), check)
    except KeyboardInterrupt:
        print("Interrupted: nothing was written.", file=sys.stderr)
        return 130
    print(printed)
    if options.output:
        title = "# Thousands of rare labels\n\n"
        commands.write(options.output / "rare_labels.md", f"{title}{printed}\n".encode())
        content = json.dumps(numbers, indent=1) + "\n"
        commands.write(options.output / "rare_labels.json", content.encode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
