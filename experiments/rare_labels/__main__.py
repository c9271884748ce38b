"""The command: trains and measures all arms."""

import signal

if __name__ == "__main__":
    # Ctrl-C ends the process at once, without a traceback: the files are written last.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import json
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from experiments import rare_labels
from experiments.rare_labels import report, training
from experiments.rare_labels.training import ARMS, Arm, Size


def run(size: Size) -> tuple[str, dict]:
    """Trains and measures every arm; returns what to print, and its numbers."""
    corpus, parts = training.corpus(size)
    truths = [np.asarray(training.multi_hot(part.labels, size.words)) > 0 for part in parts[1:]]
    results: dict[str, dict[str, list]] = {}
    tried: report.Tried = {}

    def keep(name: str, arm: Arm, logits: list[np.ndarray]) -> None:
        for way, columns in report.evaluate(name, arm, logits, truths, size.frequent).items():
            for column, values in columns.items():
                results.setdefault(way, {}).setdefault(column, []).append(values)

    prior = np.asarray(training.prior_of(parts[0].labels, size.words, 1.0))
    keep(report.FREQUENCY, Arm(1.0, 1.0), [np.broadcast_to(prior, truth.shape) for truth in truths])
    runs = len(ARMS) * (len(size.rates) + size.seeds - 1)
    with tqdm(total=runs * size.epochs, unit="epoch") as bar:
        for name, arm in ARMS.items():
            bar.set_description(name)
            train = partial(training.train, parts, arm, size=size, moved=bar.update)
            first = {rate: train(rate, seed=0) for rate in size.rates}
            tried |= {(name, rate): loss for rate, (loss, _) in first.items()}
            _, best = min((tried[name, rate], rate) for rate in size.rates)
            for seed in range(size.seeds):
                _, weights = train(best, seed=seed) if seed else first[best]
                logits = [training.logits_of(weights, part.inputs) for part in parts[1:]]
                keep(name, arm, [np.asarray(array) for array in logits])
    measured = {
        way: {column: np.stack(values) for column, values in of.items()}
        for way, of in results.items()
    }
    means = {
        way: {column: np.nanmean(values, axis=1).tolist() for column, values in of.items()}
        for way, of in measured.items()
    }
    losses = [
        {"arm": arm, "rate": rate, "validation loss": loss} for (arm, rate), loss in tried.items()
    ]
    numbers = {"size": size._asdict(), "tried": losses, "means by seed": means}
    return report.text(corpus, size, parts, tried, measured), numbers


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
    printed, numbers = run(training.QUICK if options.quick else Size())
    print(printed)
    if options.output:
        page = f"# Thousands of rare labels\n\n{printed}\n"
        (options.output / "rare_labels.md").write_text(page, encoding="utf-8")
        content = json.dumps(numbers, indent=1) + "\n"
        (options.output / "rare_labels.json").write_text(content, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
