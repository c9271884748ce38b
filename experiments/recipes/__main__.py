"""Which recipe costs least: ``python -m experiments.recipes --help``."""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from examples.commands import check_options, cores, held_interrupt, write

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
        models = (NO_MODEL, *self.models)
        return [(*one, model) for one in self.settings() for model in models]

    def settings(self) -> list[tuple[str, int | None]]:
        """All tasks and sizes."""
        return [(task, size) for task in self.tasks for size in self.sizes]


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
    ("credit", "scheduling"), (400,), ("linear", "small"), folds=3, most_repeats=1, timed=()
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the comparison.

    Args:
        arguments: The command line, default ``sys.argv[1:]``.

    Returns:
        The exit code: 0, 1 if the data cannot be had, or 130 if interrupted.
    """
    options = _parse(arguments)
    # Imported here, so that --help and a wrong option answer at once.
    with held_interrupt() as check:
        from examples.datasets import UnavailableError

        try:
            return _run(options, check)
        except UnavailableError as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print(
                "\nInterrupted: what is finished is kept, and the same command goes on.",
                file=sys.stderr,
            )
            return 130


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m experiments.{NAME}",
        description="Compares training with costs, deciding with costs and averaging networks, by"
        " the Real World Cost of their decisions, with the same splits, initial weights, batches"
        " and grid for all.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="two small tasks, three folds, no large network")
    add("--seed", type=int, default=0, help="of all randomness (default: 0)")
    add(
        "--output",
        type=Path,
        default=Path("output"),
        metavar="DIR",
        help="where finished parts, the tables and the picture go (default: output)",
    )
    options = parser.parse_args(arguments)
    check_options(parser, options, bits=32)
    return options


def _run(options: argparse.Namespace, check: Callable[[], None]) -> int:
    from experiments.recipes import report

    plan = QUICK if options.quick else FULL
    results, times = _measure(plan, options, check)

    minutes = sum(part["seconds"] for part in results) / 60
    facts = {
        "plan": plan._asdict(),
        "seed": options.seed,
        "cores": cores(),
        "minutes": round(minutes, 1),
        "versions": _versions(),
        "times": times,
    }
    text = report.text(results, facts)
    name = f"{NAME}-quick" if options.quick else NAME
    record = {**facts, "parts": results}
    write(options.output / f"{name}.json", (json.dumps(record, indent=1) + "\n").encode())
    write(options.output / f"{name}.md", text.encode())
    write(options.output / f"{name}.png", report.draw(results))
    print(text)
    print(f"Written: {options.output}/{name}.md, .json, .png")
    return 0


def _measure(
    plan: Plan, options: argparse.Namespace, check: Callable[[], None]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Returns all parts and times: what is kept of a run before, and else measured now."""
    from tqdm import tqdm

    from experiments.recipes import timing

    folder = options.output / NAME / _key(plan, options.seed)
    folder.mkdir(parents=True, exist_ok=True)

    def path(task: str, size: int | None, model: str) -> Path:
        return folder / f"{task}-{size or 'all'}-{model}.json"

    def work(size: int | None, model: str) -> int:
        return WORK[model] * (1 if size else WORK_OF_ALL)

    parts = plan.parts()
    missing = [part for part in parts if not path(*part).exists()]
    total = sum(work(size, model) for _, size, model in missing)
    form = "{l_bar}{bar}| {elapsed}<{remaining}{postfix}"
    with tqdm(total=total, desc=NAME, bar_format=form, disable=not missing) as bar:
        for name, size in plan.settings():
            models = [model for *of, model in missing if of == [name, size]]
            if not models:
                continue
            check()
            for model, result in _parts(plan, name, size, models, options.seed, bar, work, check):
                write(path(name, size, model), (json.dumps(result) + "\n").encode())
    for name in plan.timed:
        check()
        if not path(name, None, "times").exists():
            found = timing.times(name, None, options.seed)
            write(path(name, None, "times"), (json.dumps(found) + "\n").encode())
    kept = [json.loads(path(*part).read_text()) for part in parts]
    times = [json.loads(path(name, None, "times").read_text()) for name in plan.timed]
    return kept, [one for found in times for one in found]


def _parts(
    plan: Plan,
    name: str,
    size: int | None,
    models: list[str],
    seed: int,
    bar: Any,
    work: Callable[[int | None, str], int],
    check: Callable[[], None],
) -> Any:
    """Yields each model with what was measured of one task and size."""
    from experiments.recipes import recipes, tasks, training

    task = tasks.TASKS[name]()
    repeats = min(task.repeats, plan.most_repeats)
    splits = tasks.splits(task, size, folds=plan.folds, repeats=repeats, seed=seed)
    for model in models:
        bar.set_postfix_str(f"{name}, {size or 'all'}, {model}")
        started = time.monotonic()

        def moved(share: float, model: str = model) -> None:
            bar.update(share * work(size, model))
            check()

        if model == NO_MODEL:
            costs = recipes.without_networks(splits, seed, hasattr(task.features, "iloc"), moved)
        else:
            trained = training.train(splits, training.MODELS[model], seed, moved)
            costs = recipes.networks(splits, trained)
        yield (
            model,
            {
                "task": name,
                "title": task.title,
                "size": size,
                "model": model,
                "folds": plan.folds,
                "examples": splits.train.labels.shape[1],
                "fitted": splits.fitted,
                "tested": splits.test.labels.shape[1],
                "seconds": round(time.monotonic() - started, 1),
                "costs": costs,
            },
        )
        check()


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("jax", "numpy", "optax", "scikit-learn")}


def _key(plan: Plan, seed: int) -> str:
    """A hash of all that the parts depend on: another key is another folder."""
    import rwwce_jax

    digest = hashlib.sha256(json.dumps([plan, seed, _versions()]).encode())
    library = Path(rwwce_jax.__file__).parent
    here = Path(__file__).parent
    for path in [*(here / name for name in CODE), *sorted(library.rglob("*.py"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main())
