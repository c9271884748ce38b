"""Compares training with costs, deciding with costs and averaging networks on eight tasks.

Judged is the Real World Cost of decisions on test examples. Splits, initial weights, batches and
grid are the same for all.
"""

import sys
from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import NamedTuple

from experiments import command
from experiments.recipes import recipes, report, tasks


class Plan(NamedTuple):
    """What is run."""

    tasks: Sequence[str]
    settings: Sequence[tuple[int, str]]  # training examples, and the model
    folds: int
    timed: Sequence[str]  # the tasks on which processor time is measured


SETTINGS = ((400, "small"), (2000, "small"), (400, "large"))
FULL = Plan(tuple(tasks.TASKS), SETTINGS, folds=3, timed=("scheduling", "one-pair"))
QUICK = Plan(("credit", "scheduling"), ((400, "small"),), folds=2, timed=())


def run(quick, seed, perform):
    """Measures what is not kept yet, and returns the report and its picture."""
    plan = QUICK if quick else FULL
    settings = [*((size, recipes.NO_MODEL) for size, _ in plan.settings), *plan.settings]
    jobs = {
        f"{task}, {size}, {model}": (recipes.part, task, size, model, plan.folds, seed)
        for task, (size, model) in product(plan.tasks, settings)
    }
    timings = {f"times, {task}": (recipes.times, task, plan.folds, seed) for task in plan.timed}
    found, seconds = perform(jobs | timings)
    timed = [one for job in timings for one in found.pop(job)]
    how = f"`make experiment NAME=recipes ARGS=--seed={seed}` on {command.machine()}"
    how += f", in {sum(seconds.values()) / 60:.0f} minutes with what else ran there."
    parts = list(found.values())
    return {
        "recipes.md": report.text(parts, timed, how),
        "recipes.png": report.draw(parts),
    }


main = partial(command.main, "recipes", __doc__, run)


if __name__ == "__main__":
    sys.exit(main())
