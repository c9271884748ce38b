"""The command of all experiments: its options, the results it keeps, the files it writes."""

import argparse
import importlib
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

import joblib
from tqdm import tqdm

import rwwce_jax
from examples.datasets import UnavailableError

LIBRARIES = ("jax", "jaxlib", "numpy", "optax", "scipy", "scikit-learn")
# What only shows results: with another text, nothing is trained again.
SHOWING = ("__main__.py", "command.py", "report.py", "statistics.py")
MODULES = {
    "paper": "experiments.paper.report",
    "recipes": "experiments.recipes.report",
    "rare_labels": "experiments.rare_labels.report",
    "language": "experiments.language",
}


def main(arguments=None):
    """Runs an experiment; returns the exit code, 1 if its data cannot be had.

    From ``--quick``, ``--seed`` and what performs jobs, its module's ``run`` makes the contents of
    files, first of the report, which is printed. A job is a function and its arguments.
    """
    parser = argparse.ArgumentParser(prog="python -m experiments")
    parser.add_argument("name", choices=MODULES)
    parser.add_argument("--quick", action="store_true", help="the same in small, in a minute")
    parser.add_argument("--seed", type=int, default=0, help="of all randomness (default: 0)")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="default: output/NAME, or NAME-quick"
    )
    options = parser.parse_args(arguments)
    folder = f"{options.name}-quick" if options.quick else options.name
    output = options.output or Path("output", folder)
    output.mkdir(parents=True, exist_ok=True)
    experiment = importlib.import_module(MODULES[options.name])
    try:
        files = experiment.run(options.quick, options.seed, performing(output))
    except UnavailableError as error:
        print(error, file=sys.stderr)
        return 1
    for file, content in files.items():
        (output / file).write_bytes(content.encode() if isinstance(content, str) else content)
    print(next(iter(files.values())))
    print(f"Written to {output}: {', '.join(files)}")
    return 0


def performing(output):
    """What makes of named jobs their results and seconds, unless they are on disk already."""
    packages = (Path(file).parent for file in (__file__, rwwce_jax.__file__))
    code = sorted(path for package in packages for path in package.rglob("*.py"))
    training = [path.read_bytes() for path in code if path.name not in SHOWING]
    # Results of other code or libraries lie elsewhere, and other arguments never meet.
    known = joblib.hash([training, versions()])
    timed = joblib.Memory(output / "kept" / known, verbose=0).cache(_timed)

    def perform(jobs):
        results, seconds = {}, {}
        for job, given in (bar := tqdm(jobs.items(), disable=None)):
            bar.set_description(job)
            results[job], seconds[job] = timed(*given)
        return results, seconds

    return perform


def _timed(function, *arguments):
    started = time.monotonic()
    return function(*arguments), time.monotonic() - started


def versions():
    return {"python": platform.python_version(), **{each: version(each) for each in LIBRARIES}}


def machine():
    return f"{os.cpu_count()} CPU cores, with {', '.join(map(' '.join, versions().items()))}"
