"""The command: trains and measures all arms."""

import sys

from experiments import command, rare_labels
from experiments.rare_labels import measures, networks, report


def run(quick: bool, seed: int, perform: command.Perform) -> dict[str, str | bytes]:
    """Trains what is not kept yet, and returns the report."""
    size = networks.QUICK if quick else networks.Size()
    name, parts = networks.corpus(size)
    names = (measures.FREQUENCY, *networks.ARMS)
    found, _ = perform({arm: (measures.run, arm, size, seed, name) for arm in names})
    measured = {way: columns for of, _ in found.values() for way, columns in of.items()}
    tried = {arm: losses for arm, (_, losses) in found.items() if losses}
    return {"rare_labels.md": report.text(name, size, parts, tried, measured)}


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return command.main("rare_labels", rare_labels.__doc__, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
