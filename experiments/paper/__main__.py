"""The paper's experiments, and what it did not try: ``python -m experiments.paper --help``."""

import signal

if __name__ == "__main__":
    # Ctrl-C ends the process at once, without a traceback: what is finished is kept on disk.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import json
import os
import platform
import re
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import joblib
import numpy as np
from tqdm import tqdm

import rwwce_jax
from examples import datasets, downloads
from experiments.paper import data, figures, report, section7, statistics, table1, table2

LIBRARIES = ("jax", "jaxlib", "numpy", "optax", "scipy", "scikit-learn", "imbalanced-learn")
# The files of this folder that an arm's results depend on; the others only show them.
CODE = ("data.py", "training.py", "table1.py", "table2.py")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code, 1 if MNIST cannot be had."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.paper",
        description="Reproduces Tables I and II, Figure 1 and section VII of the paper on MNIST,"
        " and compares its loss with ways to save cost that it did not try. An interrupted run"
        " goes on from the arms that it finished.",
    )
    parser.add_argument("--seed", type=int, default=0, help="of all randomness (default: 0)")
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the images, few networks, one epoch"
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="default: output/paper or output/paper-quick"
    )
    options = parser.parse_args(arguments)
    if not 0 <= options.seed < 2**31:
        parser.error(f"argument --seed: must be from 0 to 2**31 - 1, got {options.seed}.")
    output = options.output or Path("output", "paper-quick" if options.quick else "paper")
    output.mkdir(parents=True, exist_ok=True)
    try:
        source = datasets.mnist("auto" if options.quick else "mnist")
    except downloads.UnavailableError as error:
        print(error, file=sys.stderr)
        return 1
    plan = data.QUICK if options.quick else data.FULL
    print(experiments(data.images(source, plan), plan, options.seed, output))
    print(f"Tables, pictures and figures: {output}/report.md, .json, .png")
    return 0


def experiments(images: data.Images, plan: data.Plan, seed: int, output: Path) -> str:
    """Trains what is not kept yet, writes the files, and returns the report."""
    seeds = range(seed, seed + 1 + plan.more_seeds)
    jobs = [(f"Table I, {arm}", table1.run, arm, seed) for arm in table1.ARMS]
    jobs += [(f"Table II, {arm}", table2.run, arm, seed) for arm in table2.ARMS]
    jobs += [
        (f"Table I, seed {other}, {table1.PAPERS}", table1.run, table1.PAPERS, other)
        for other in seeds[1:]
    ]
    versions = {"python": platform.python_version(), **{each: version(each) for each in LIBRARIES}}
    # Results of other data, code or libraries lie elsewhere, and other arguments never meet.
    library = sorted(Path(rwwce_jax.__file__).parent.rglob("*.py"))
    code = [path.read_bytes() for path in [*(Path(__file__).with_name(c) for c in CODE), *library]]
    memory = joblib.Memory(output / "arms" / joblib.hash([*images, code, versions]), verbose=0)
    by_seed: dict[int, statistics.Methods] = {each: {} for each in seeds}
    second: statistics.Methods = {}
    seconds = {}
    for name, run, arm, with_seed in tqdm(jobs, desc="Arms", disable=None):
        result = memory.cache(run, ignore=["images"])(arm, images, plan, with_seed)
        seconds[name] = result["seconds"]
        into = second if run is table2.run else by_seed[with_seed]
        for method, outcome in result["outcomes"].items():
            into[method] = {measure: np.array(values) for measure, values in outcome.items()}
        tqdm.write(f"{name}: {result['seconds']:.0f} s", file=sys.stderr)

    first, full = by_seed[seed], plan == data.FULL
    results = report.Results(by_seed, second, section7.run(), full)
    command = f"python -m experiments.paper --seed={seed}{'' if full else ' --quick'}"
    how = (
        f"`{command}` on {os.cpu_count()} CPU cores, with"
        f" {', '.join(map(' '.join, versions.items()))}.\n\n"
        "Seconds of each arm (the compilation included):\n\n"
        + "".join(f"- {name}: {each:.0f}\n" for name, each in seconds.items())
        + f"\nAll arms: {sum(seconds.values()):.0f} s."
    )
    text = report.write(results, how)
    (output / "report.md").write_text(text)
    (output / "report.json").write_text(_json(results, seconds))
    figures.figure_1(results.section, output / "figure1.png")
    for number, methods, paper, coloured, over in (
        (1, first, statistics.PAPER_1, table1.RWWCE, "Table I: means over the data sets"),
        (2, second, statistics.PAPER_2, table2.RWWCE, "Table II: means over the pairs"),
    ):
        figures.costs(methods, paper, [coloured], over, output / f"table{number}.png")
    return text


def _json(results: report.Results, seconds: dict[str, float]) -> str:
    """All that was measured, each list of numbers on one line."""
    facts = {
        "seconds": seconds,
        "section VII": results.section._asdict(),
        "Table I": results.by_seed,
        "Table II": results.second,
    }
    text = json.dumps(facts, indent=1, default=np.ndarray.tolist) + "\n"
    return re.sub(r"\[[^][{}\"]+\]", lambda found: re.sub(r"\s+", " ", found[0]), text)


if __name__ == "__main__":
    sys.exit(main())
