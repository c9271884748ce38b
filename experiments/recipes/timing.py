"""What averaging costs in training time: all members side by side, against one."""

import time
from typing import Any

import jax
import numpy as np

from experiments.recipes import tasks, training


def times(name: str, size: int | None, seed: int) -> list[dict[str, Any]]:
    """Seconds to train one network by cross-entropy and to train all members, of each model."""
    task = tasks.TASKS[name]()
    splits = tasks.splits(task, size, folds=2, repeats=1, seed=seed)
    found = []
    for model, hidden in training.MODELS.items():
        one, all_members = (
            _seconds(splits, hidden, count, seed) for count in (1, training.MEMBERS)
        )
        found.append(
            {
                "title": task.title,
                "model": model,
                "fitted": splits.fitted,
                "one": one,
                "members": all_members,
            }
        )
    return found


def _seconds(splits: tasks.Splits, hidden: int, count: int, seed: int) -> float:
    members = np.stack([np.zeros(count, int), np.arange(count)], 1)
    costs = training.arms(splits)[training.CROSS_ENTROPY]
    table = tasks.Table(*(leaf[members[:, 0]] for leaf in splits.train))
    ones = np.ones((count, 1), np.float32)
    settings = training.Settings(
        *(cost[members[:, 0], None] for cost in costs),
        ones * training.LEARNING_RATES[0],
        ones * training.PENALTIES[0],
    )
    columns, outputs = splits.train.inputs.shape[-1], splits.classes
    weights = training.initial((columns, hidden, outputs), members, seed)
    plan = training.Plan.of(splits.fitted)
    order = training.batches(splits.fitted, plan, members, seed)
    arguments = jax.device_put((weights, order, table, settings))
    taken = []
    for _ in range(3):  # the first compiles
        started = time.monotonic()
        jax.block_until_ready(training._fit(splits.fitted, *arguments))
        taken.append(time.monotonic() - started)
    return round(min(taken), 3)
