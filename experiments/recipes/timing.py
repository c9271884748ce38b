"""What averaging costs in training time: all members side by side, against one."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from experiments.recipes import tasks, training

ROUNDS = 5


def times(name: str, size: int | None, seed: int) -> list[dict[str, Any]]:
    """Seconds to train one network by cross-entropy and to train all members, of each model."""
    task = tasks.TASKS[name]()
    splits = tasks.splits(task, size, folds=5, repeats=1, seed=seed)
    found = []
    for model, hidden in training.MODELS.items():
        runs = [_run(splits, hidden, count, seed) for count in (1, training.MEMBERS)]
        taken = [[run() for run in runs] for _ in range(1 + ROUNDS)]
        # The first round compiles. The least is what the machine's other work held up least.
        one, members = np.min(taken[1:], axis=0).round(3).tolist()
        facts = {"title": task.title, "model": model, "fitted": splits.fitted}
        found.append({**facts, "one": one, "members": members})
    return found


def _run(splits: tasks.Splits, hidden: int, count: int, seed: int) -> Callable[[], float]:
    members = np.stack([np.zeros(count, int), np.arange(count)], 1)
    costs = training.arms(splits)[training.CROSS_ENTROPY]
    table = tasks.Table(*(leaf[members[:, 0]] for leaf in splits.train))
    ones = np.ones((count, 1), np.float32)
    settings = training.Settings(
        *(cost[members[:, 0], None] for cost in costs),
        ones * training.LEARNING_RATES[0],
        ones * training.PENALTIES[0],
    )
    shape = (splits.train.inputs.shape[-1], hidden, splits.classes)
    weights = training.initial(shape, members, seed)
    order = training.batches(splits.fitted, training.Plan.of(splits.fitted), members, seed)
    arguments = jax.device_put((weights, order, table, settings))

    def seconds() -> float:
        started = time.monotonic()
        jax.block_until_ready(training._fit(splits.fitted, *arguments))
        return time.monotonic() - started

    return seconds
