"""A call of every public function on one batch, with every kind of costs and with actions.

Meshes, shard_map and exports are tried with all of them: a new function is one more line here.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import rwwce_jax as rwwce
from rwwce_jax.flax import RealWorldCost

ROWS, CLASSES, ACTIONS = 16, 8, 3
RNG = np.random.default_rng(0)
KERNEL = np.float32(RNG.normal(size=(CLASSES, CLASSES)))
RIGHT = np.float32(RNG.integers(1, 4, CLASSES))


class Batch(NamedTuple):
    """What the functions are given. The first axis is that of the examples."""

    # With the classes as their second axis.
    logits: Any = np.float32(RNG.normal(size=(ROWS, CLASSES)) * 4)
    soft: Any = np.float32(RNG.dirichlet(np.ones(CLASSES), ROWS))
    sets: Any = RNG.integers(0, 2, (ROWS, CLASSES))
    other_sets: Any = RNG.integers(0, 2, (ROWS, CLASSES))
    costs: Any = np.float32(RNG.random((ROWS, CLASSES)) + 0.5)
    # Without them.
    hidden: Any = np.float32(RNG.normal(size=(ROWS, CLASSES)))
    ids: Any = RNG.integers(0, CLASSES, ROWS)
    other_ids: Any = RNG.integers(0, CLASSES, ROWS)
    decisions: Any = RNG.integers(0, CLASSES + ACTIONS, ROWS)
    candidates: Any = RNG.integers(-1, CLASSES, (ROWS, 3))
    scores: Any = np.float32(RNG.normal(size=ROWS) * 4)
    truth: Any = RNG.integers(0, 2, ROWS)
    decided: Any = RNG.integers(0, 2, ROWS)
    amounts: Any = np.float32(RNG.random(ROWS) + 0.1)
    known: Any = np.arange(ROWS) % 5 > 0
    weights: Any = np.float32(np.arange(ROWS) % 4)
    counts: Any = RNG.integers(0, 9, (ROWS, CLASSES, CLASSES))


OF_CLASSES = ("logits", "soft", "sets", "other_sets", "costs")


class Shared(NamedTuple):
    """Costs that all examples share: whole numbers, so that they are the same as integers."""

    by_class: Any = np.float32(RNG.integers(1, 4, CLASSES))
    matrix: Any = np.float32(RNG.integers(0, 6, (CLASSES, CLASSES)))
    pairs: Any = rwwce.pair_costs({(k, (k * 3 + 1) % 8): k + 1.0 for k in range(7)}, CLASSES)
    actions: Any = np.float32(RNG.integers(1, 4, (CLASSES, ACTIONS)))


# What is differentiated, and by what.
LOSSES = {
    "no fp": ("logits", lambda d, s: rwwce.categorical(d.logits, d.ids, 1.5, 0)),
    "scalars": (
        "logits",
        lambda d, s: rwwce.categorical(d.logits.T, d.ids, 1.5, 2.5, axis=0, where=d.known),
    ),
    "matrix": (
        "logits",
        lambda d, s: rwwce.categorical(
            d.logits, d.ids, s.by_class, s.matrix, weights=d.weights, reduction="none"
        ),
    ),
    "matrix, by the weights": (
        "weights",
        lambda d, s: rwwce.categorical(
            d.logits, d.ids, s.by_class, s.matrix, where=d.known, weights=d.weights
        ),
    ),
    "pairs": ("logits", lambda d, s: rwwce.categorical(d.logits, d.ids, s.by_class, s.pairs)),
    "examples": (
        "logits",
        lambda d, s: rwwce.categorical(
            d.logits, d.ids, rwwce.ExampleCosts(d.amounts), rwwce.ExampleCosts(d.costs)
        ),
    ),
    "candidates": (
        "logits",
        lambda d, s: rwwce.categorical(
            d.logits, d.ids, 1.5, rwwce.ExampleCosts(2.0, classes=d.candidates)
        ),
    ),
    "soft, matrix": (
        "logits",
        lambda d, s: rwwce.categorical(
            d.logits, d.soft, s.by_class, s.matrix, where=d.known, reduction="none"
        ),
    ),
    "soft, pairs": (
        "logits",
        lambda d, s: rwwce.categorical(d.logits, d.soft, 1.0, s.pairs, weights=d.weights),
    ),
    "fused": (
        "hidden",
        lambda d, s: rwwce.linear_categorical(
            d.hidden, KERNEL, d.ids, s.by_class, s.pairs, weights=d.weights, chunk_size=4
        ),
    ),
    "multilabel": (
        "logits",
        lambda d, s: rwwce.multilabel(
            d.logits, d.sets, 1.0, s.by_class, fp_pairs=s.pairs, where=d.known, weights=d.weights
        ),
    ),
    "binary": (
        "scores",
        lambda d, s: rwwce.binary(d.scores, d.truth, d.amounts, 3.0, where=d.known),
    ),
}


def metric_of(*batches, **costs):
    metric = RealWorldCost(**costs)
    for batch in batches:
        metric.update(**batch)
    return metric.compute()


# What is not differentiated, and the main argument.
FUNCTIONS = {
    "expected_cost": (
        "soft",
        lambda d, s: rwwce.expected_cost(d.soft, s.by_class, s.matrix, actions=s.actions),
    ),
    "expected_cost, pairs": (
        "soft",
        lambda d, s: rwwce.expected_cost(d.soft, 1.0, s.pairs, actions=s.actions),
    ),
    "decide": (
        "soft",
        lambda d, s: rwwce.decide(d.soft, s.by_class, s.matrix, actions=s.actions),
    ),
    "decide, pairs": ("soft", lambda d, s: rwwce.decide(d.soft, s.by_class, s.pairs)),
    "posterior": (
        "logits",
        lambda d, s: rwwce.categorical_posterior(d.logits, s.by_class, s.matrix),
    ),
    "posterior, pairs": (
        "logits",
        lambda d, s: rwwce.categorical_posterior(d.logits, s.by_class, s.pairs),
    ),
    "cost": (
        "ids",
        lambda d, s: rwwce.categorical_real_world_cost(
            d.other_ids, d.ids, s.by_class, s.pairs, where=d.known, weights=d.weights
        ),
    ),
    "cost, actions": (
        "ids",
        lambda d, s: rwwce.categorical_real_world_cost(
            d.decisions, d.ids, 1.0, s.matrix, actions=s.actions, reduction="none"
        ),
    ),
    "cost, soft": (
        "soft",
        lambda d, s: rwwce.categorical_real_world_cost(
            d.other_ids, d.soft, s.by_class, s.matrix, weights=d.weights, reduction="none"
        ),
    ),
    "cost, binary": (
        "truth",
        lambda d, s: rwwce.binary_real_world_cost(
            d.decided, d.truth, d.amounts, 2.0, weights=d.weights, reduction="none"
        ),
    ),
    "cost, multilabel": (
        "sets",
        lambda d, s: rwwce.multilabel_real_world_cost(
            d.other_sets, d.sets, s.by_class, 2.0, fp_pairs=s.matrix, reduction="none"
        ),
    ),
    "from confusion": (
        "counts",
        lambda d, s: rwwce.real_world_cost_from_confusion(d.counts, s.by_class, s.matrix),
    ),
    "confusion": (
        "ids",
        lambda d, s: rwwce.confusion_matrix(
            d.decisions, d.ids, CLASSES, num_actions=ACTIONS, where=d.known
        ),
    ),
    "confusion, soft": (
        "soft",
        lambda d, s: rwwce.confusion_matrix(d.other_ids, d.soft, CLASSES, weights=d.weights),
    ),
    "savings": (
        "ids",
        lambda d, s: rwwce.savings(
            0.5, d.ids, 1.0, s.matrix, actions=s.actions, right=RIGHT, weights=d.weights
        ),
    ),
    "savings, binary": ("truth", lambda d, s: rwwce.savings(0.5, d.truth, d.amounts, 2.0)),
    "metric": (
        "logits",
        lambda d, s: metric_of(
            {"logits": d.logits, "labels": d.ids, "mask": d.known, "weights": d.weights},
            {"predictions": d.other_ids, "labels": d.soft},
            fn=s.by_class,
            fp=s.matrix,
        ),
    ),
    "metric, examples": (
        "ids",
        lambda d, s: metric_of(
            {"predictions": d.other_ids, "labels": d.ids},
            fn=rwwce.ExampleCosts(d.amounts),
            fp=rwwce.ExampleCosts(3.0, classes=d.candidates),
        ),
    ),
    "metric, binary": (
        "scores",
        lambda d, s: metric_of(
            {"logits": d.scores, "labels": d.truth}, fn=2.0, fp=1.0, threshold=0.0
        ),
    ),
    "bayes_threshold": ("amounts", lambda d, s: rwwce.bayes_threshold(2.0, d.amounts)),
    "best_threshold": (
        "scores",
        lambda d, s: rwwce.best_threshold(d.scores, d.truth, d.amounts, 1.0, weights=d.weights),
    ),
    "fit_temperature": (
        "logits",
        lambda d, s: rwwce.fit_temperature(d.logits, d.ids, where=d.known),
    ),
    "fit_temperature, soft": (
        "logits",
        lambda d, s: rwwce.fit_temperature(d.logits, d.soft, weights=d.weights),
    ),
    "fit_temperature, binary": (
        "scores",
        lambda d, s: rwwce.fit_temperature(d.scores, d.truth, where=d.known),
    ),
    "binary_posterior": ("scores", lambda d, s: rwwce.binary_posterior(d.scores, d.amounts, 2.0)),
    "multilabel_decide": (
        "soft",
        lambda d, s: rwwce.multilabel_decide(d.soft, s.by_class, 2.0, fp_pairs=s.pairs),
    ),
}


def value_and_gradient(loss, argument):
    """By jax.vjp: an eager jax.grad outside of jax.set_mesh fails on explicit axes, of jnp.sum too.

    Where each example has a loss, the gradient is that of their sum.
    """
    value, pull_back = jax.vjp(loss, argument)
    return value, pull_back(jnp.ones_like(value))[0]


def results(batch, shared, *, names=tuple(LOSSES | FUNCTIONS)):
    """The result of each call by its name, and the gradient of each loss."""
    found = {name: (FUNCTIONS[name][1](batch, shared),) for name in names if name in FUNCTIONS}
    for name in names:
        if name in LOSSES:
            by, loss = LOSSES[name]
            of = partial(lambda loss, by, x: loss(batch._replace(**{by: x}), shared), loss, by)
            found[name] = value_and_gradient(of, getattr(batch, by))
    return found


def main_argument(name):
    """The name of the argument that decides how the result is sharded."""
    return (LOSSES | FUNCTIONS)[name][0]
