"""Which recipe costs least: ``python -m experiments.recipes --help``."""

import signal

if __name__ == "__main__":
    # Ctrl-C ends the process at once, without a traceback: what is finished is kept on disk.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import joblib
from tqdm import tqdm

import rwwce_jax
from examples.downloads import UnavailableError
from experiments.recipes import recipes, report, tasks, timing, training

NAME = "recipes"
# The files of this folder that what is measured depends on; the others only show it.
CODE = ("tasks.py", "training.py", "recipes.py")
NO_MODEL = "none"  # the part of a task in which no network is trained
# How long the parts take, roughly, for the time left.
WORK = {NO_MODEL: 3, "linear": 2, "small": 3, "large": 12}
WORK_OF_ALL = 6


class Plan(NamedTuple):
    """What is run."""

    tasks: Sequence[str]
    sizes: Sequence[int | None]  # training examples; None is all
    models: Sequence[str]
    folds: int
    most_repeats: int
    timed: Sequence[str]  # the tasks on which the time of averaging is measured

    def parts(self) -> list[tuple[str, int | None, str]]:
        """Task, size and model of every part, in order."""
        return list(product(self.tasks, self.sizes, (NO_MODEL, *self.models)))


TASKS = ("pakdd", "telemarketing", "credit", "scheduling", "one-pair", "dense", "rare")
FULL = Plan(
    TASKS,
    (400, None),
    ("linear", "small", "large"),
    folds=5,
    most_repeats=2,
    timed=("scheduling", "one-pair"),
)
QUICK = Plan(
    ("credit", "scheduling"), (400,), ("linear", "small"), folds=2, most_repeats=1, timed=()
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code, 1 if the data cannot be had."""
    options = _parse(arguments)
    plan = QUICK if options.quick else FULL
    try:
        results, times = _measure(plan, options.seed, options.output)
    except UnavailableError as error:
        print(error, file=sys.stderr)
        return 1
    facts = {
        "plan": plan._asdict(),
        "seed": options.seed,
        "cores": joblib.cpu_count(),
        "minutes": round(sum(part["seconds"] for part in results) / 60, 1),
        "versions": _versions(),
        "times": times,
    }
    text = report.text(results, facts)
    name = f"{NAME}-quick" if options.quick else NAME
    record = json.dumps({**facts, "parts": results}, indent=1) + "\n"
    (options.output / f"{name}.json").write_text(record)
    (options.output / f"{name}.md").write_text(text)
    (options.output / f"{name}.png").write_bytes(report.draw(results))
    print(text)
    print(f"Written: {options.output}/{name}.md, .json, .png")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m experiments.{NAME}",
        description="Compares training with costs, deciding with costs and averaging networks, by"
        " the Real World Cost of their decisions, with the same splits, initial weights, batches"
        " and grid for all.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="two small tasks, two folds, no large network")
    add("--seed", type=int, default=0, help="of all randomness (default: 0)")
    add(
        "--output",
        type=Path,
        default=Path("output"),
        metavar="DIR",
        help="where finished parts, the tables and the picture go (default: output)",
    )
    options = parser.parse_args(arguments)
    if not 0 <= options.seed < 2**32:
        parser.error(f"argument --seed: must be from 0 to 2**32 - 1, got {options.seed}.")
    try:  # before the training, not after it
        options.output.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=options.output).close()
    except OSError as error:
        parser.error(f"argument --output: cannot write to {options.output}: {error.strerror}.")
    return options


def _measure(plan: Plan, seed: int, output: Path) -> tuple[list[dict], list[dict]]:
    """Returns all parts and times: what is kept of a run before, and else measured now."""
    # Results of other code or libraries lie elsewhere, and other arguments never meet.
    library = sorted(Path(rwwce_jax.__file__).parent.rglob("*.py"))
    code = [path.read_bytes() for path in [*(Path(__file__).with_name(c) for c in CODE), *library]]
    memory = joblib.Memory(output / NAME / joblib.hash([code, _versions()]), verbose=0)
    part, times = memory.cache(_part, ignore=["moved"]), memory.cache(timing.times)

    parts = [(*each, plan.folds, plan.most_repeats, seed) for each in plan.parts()]
    work = {each: WORK[each[2]] * (1 if each[1] else WORK_OF_ALL) for each in parts}
    missing = [each for each in parts if not part.check_call_in_cache(*each, None)]
    form = "{l_bar}{bar}| {elapsed}<{remaining}{postfix}"
    results = []
    with tqdm(total=sum(work[each] for each in missing), desc=NAME, bar_format=form) as bar:
        for each in parts:
            name, size, model, *_ = each
            bar.set_postfix_str(f"{name}, {size or 'all'}, {model}")
            results.append(part(*each, lambda share, each=each: bar.update(share * work[each])))
    return results, [found for name in plan.timed for found in times(name, None, seed)]


def _part(
    name: str,
    size: int | None,
    model: str,
    folds: int,
    most_repeats: int,
    seed: int,
    moved: Callable[[float], object],
) -> dict[str, Any]:
    """What is measured of one task, size and model; ``moved`` hears of each share that is done."""
    started = time.monotonic()
    task = tasks.TASKS[name]()
    repeats = min(task.repeats, most_repeats)
    splits = tasks.splits(task, size, folds=folds, repeats=repeats, seed=seed)
    if model == NO_MODEL:
        costs = recipes.without_networks(splits, seed, hasattr(task.features, "iloc"), moved)
    else:
        costs = recipes.networks(
            splits, training.train(splits, training.MODELS[model], seed, moved)
        )
    return {
        "task": name,
        "title": task.title,
        "size": size,
        "model": model,
        "folds": folds,
        "examples": splits.train.labels.shape[1],
        "fitted": splits.fitted,
        "tested": splits.test.labels.shape[1],
        "seconds": round(time.monotonic() - started, 1),
        "costs": costs,
    }


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("jax", "numpy", "optax", "scikit-learn")}


if __name__ == "__main__":
    sys.exit(main())
