"""The paper's experiments, and what it did not try: ``python -m examples.paper --help``."""

import argparse
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from examples.commands import check_options, cores, held_interrupt, write

NAME = "python -m examples.paper"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the experiments.

    Args:
        arguments: The command line, default ``sys.argv[1:]``.

    Returns:
        The exit code: 0, 1 if MNIST cannot be had, or 130 if interrupted.
    """
    options = _parse(arguments)
    try:
        return _run(options)
    except KeyboardInterrupt:
        print("\nInterrupted; the arms that are finished are kept.", file=sys.stderr)
        return 130


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=NAME,
        description="Reproduces Tables I and II, Figure 1 and section VII of the paper on MNIST,"
        " and compares its loss with ways to save cost that it did not try. An interrupted run"
        " goes on from the arms that it finished.",
    )
    parser.add_argument("--seed", type=int, default=0, help="of all randomness (default: 0)")
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the images, few networks, two epochs"
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="default: output/paper or output/paper-quick"
    )
    options = parser.parse_args(arguments)
    options.output = options.output or Path("output", "paper-quick" if options.quick else "paper")
    check_options(parser, options, bits=31)
    return options


def _run(options: argparse.Namespace) -> int:
    # Imported here, so that --help and a wrong option answer at once.
    with held_interrupt() as check:
        from examples import mnist
        from examples.paper import data

        check()
    started = time.monotonic()
    try:
        source = mnist.load("auto" if options.quick else "mnist")
    except mnist.UnavailableError as error:
        print(error, file=sys.stderr)
        return 1
    plan = data.QUICK if options.quick else data.FULL
    with held_interrupt() as check:
        text = _experiments(options, data.images(source, plan), plan, started, check)
    print(text)
    print(f"Tables, pictures and figures: {options.output}/report.md, .json, .png")
    return 0


def _experiments(
    options: argparse.Namespace,
    images: Any,
    plan: Any,
    started: float,
    check: Callable[[], None],
) -> str:
    """Trains what is not stored yet, writes the files, and returns the report."""
    from examples.paper import figures, report, section7, statistics, store, table1, table2

    key = store.key(images, plan, options.seed)
    kept = store.Store(options.output / "arms", key)
    more = {
        f"Table I, seed {seed}": seed
        for seed in range(options.seed + 1, options.seed + 1 + plan.more_seeds)
    }
    todo = [("Table I", table1, arm, options.seed) for arm in table1.ARMS]
    todo += [("Table II", table2, arm, options.seed) for arm in table2.ARMS]
    todo += [(table, table1, table1.PAPERS, seed) for table, seed in more.items()]
    results: dict[str, dict[str, Any]] = {table: {} for table, *_ in todo}
    seconds: dict[str, float] = {}
    for number, (table, module, arm, seed) in enumerate(todo, 1):
        name = f"{table}, {arm}"
        result = kept.load(name)
        if result is None:
            check()
            result = module.run(
                module.ARMS[arm],
                images,
                plan,
                seed,
                f"{name} (arm {number} of {len(todo)})",
                check,
            )
            kept.save(name, result)
            print(f"{name}: {result['seconds']['all']:.0f} s", file=sys.stderr, flush=True)
        else:
            print(f"{name}: kept from a run before", file=sys.stderr, flush=True)
        results[table] |= result["outcomes"]
        seconds[name] = result["seconds"]

    by_seed = {
        seed: {m: statistics.measures_1(outcome) for m, outcome in results[table].items()}
        for table, seed in [("Table I", options.seed), *more.items()]
    }
    first = by_seed[options.seed]
    second = {m: statistics.measures_2(outcome) for m, outcome in results["Table II"].items()}
    section = section7.run()
    facts = {
        "command": " ".join([NAME, *_written(options)]),
        "seed": options.seed,
        "key": key,
        "versions": {"python": platform.python_version(), **store.versions()},
        "machine": f"{cores()} CPU cores, {store.device()}",
        "seconds": seconds,
    }
    how = _how(facts, time.monotonic() - started)
    text = report.write(by_seed, second, section, full=not options.quick, how=how)
    # The bands are for the paper's experiment alone.
    bands = [] if options.quick else statistics.bands_1(first) + statistics.bands_2(second)
    facts |= {
        "bands": [{**band._asdict(), "held": band.held} for band in bands],
        "section VII": section._asdict(),
        **results,
    }
    files = {
        "report.md": text.encode(),
        "report.json": _json(facts).encode(),
        "figure1.png": figures.figure_1(section),
        "table1.png": figures.costs(
            first, statistics.PAPER_1, [table1.RWWCE], "Table I: means over the data sets"
        ),
        "table2.png": figures.costs(
            second, statistics.PAPER_2, [table2.RWWCE], "Table II: means over the pairs"
        ),
    }
    check()
    for file, content in files.items():
        write(options.output / file, content)
    return text


def _written(options: argparse.Namespace) -> list[str]:
    return [f"--seed={options.seed}", *(["--quick"] if options.quick else [])]


def _json(facts: dict[str, Any]) -> str:
    """As JSON, each list of numbers on one line."""
    text = json.dumps(facts, indent=1) + "\n"
    return re.sub(r"\[[^][{}\"]+\]", lambda found: re.sub(r"\s+", " ", found[0]), text)


def _how(facts: dict[str, Any], elapsed: float) -> str:
    versions = ", ".join(f"{library} {number}" for library, number in facts["versions"].items())
    lines = [
        f"`{facts['command']}` on {facts['machine']}, with {versions}.",
        "",
        "Seconds of each arm, of them in training (the compilation included):",
        "",
        *(
            f"- {arm}: {each['all']:.0f}, {each['training']:.0f}"
            for arm, each in facts["seconds"].items()
        ),
        "",
        (
            f"All arms: {sum(each['all'] for each in facts['seconds'].values()):.0f} s."
            f" This run of the command, which trains only what no run before did: {elapsed:.0f} s."
        ),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    # One CPU device for each core, for the networks to be spread over. Read when JAX is imported.
    os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(cores()))
    sys.exit(main())
