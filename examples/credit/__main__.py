"""Who saves most on real customers: ``python -m examples.credit --help``.

Trains a logistic model and a small network with cross-entropy and with each customer's own costs,
decides with each in two ways, and compares what they save with two peers.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from examples.commands import at_least, check_options, held_interrupt, write

NAME = "credit"
DATA = ("pakdd", "telemarketing")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the comparison.

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
        description="Compares training with costs and deciding with costs on real customers, each"
        " with costs of their own, by stratified cross-validation.",
    )
    add = parser.add_argument
    add(
        "--data",
        nargs="+",
        choices=DATA,
        default=list(DATA),
        help="the data sets (default: all)",
    )
    add("--folds", type=at_least(2), default=5, help="of the cross-validation (default: 5)")
    add("--repeats", type=at_least(1), default=2, help="of it, on other folds (default: 2)")
    add("--customers", type=at_least(200), help="draw this many of each set (default: all)")
    add("--seed", type=int, default=0, help="of all randomness (default: 0)")
    add(
        "--output",
        type=Path,
        default=Path("output"),
        metavar="DIR",
        help="where the picture and the table go (default: output)",
    )
    options = parser.parse_args(arguments)
    options.data = list(dict.fromkeys(options.data))
    check_options(parser, options, bits=32)
    return options


def _run(options: argparse.Namespace) -> int:
    # Imported here, so that --help and a wrong option answer at once.
    with held_interrupt() as check:
        from examples.credit import data

        check()
        try:
            sets = [data.DATA[name]() for name in options.data]
        except data.UnavailableError as error:
            print(error, file=sys.stderr)
            return 1
        check()
        text = _compare_and_write(options, sets, check)
    print(f"\n{text}")
    print(f"Picture and table: {options.output}/{NAME}.png, .json, .md")
    return 0


def _compare_and_write(
    options: argparse.Namespace, sets: list[Any], check: Callable[[], None]
) -> str:
    """Writes the picture and the table, and returns the table with what it shows in words."""
    from examples.credit import contest, data, report

    started = time.monotonic()
    results = []
    for customers in sets:
        if options.customers:
            customers = data.subsample(customers, options.customers, options.seed)
        savings = contest.run(
            customers,
            folds=options.folds,
            repeats=options.repeats,
            seed=options.seed,
            name=customers.name,
            between=check,
        )
        facts = {
            "customers": len(customers.labels),
            "positive": customers.positive,
            "positive_share": float(customers.labels.mean()),
            "unit": customers.unit,
            "mean_fn": float(customers.fn.mean()),
            "mean_fp": float(customers.fp.mean()),
            "zero_fn_share": float((customers.fn == 0).mean()),
            "zero_fp_share": float((customers.fp == 0).mean()),
        }
        results.append(report.Result(customers.name, facts, options.folds, savings))
    text = report.text(results) + "\n"
    title = f"Savings on real customers ({options.folds} folds, repeats: {options.repeats})"
    record = {
        "seed": options.seed,
        "folds": options.folds,
        "repeats": options.repeats,
        "versions": {name: version(name) for name in ("jax", "scikit-learn", "empulse")},
        "results": [report.plain(result) for result in results],
    }
    files = {
        "png": report.draw(results, title),
        "json": (json.dumps(record, indent=1) + "\n").encode(),
        "md": text.encode(),
    }
    check()
    for suffix, content in files.items():
        write(options.output / f"{NAME}.{suffix}", content)
    print(f"Trained in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return text


if __name__ == "__main__":
    sys.exit(main())
