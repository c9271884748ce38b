"""A call of every public function on one batch, with every kind of costs and with actions.

Meshes, shard_map, exports and vmap are tried with all of them: a new function is one more line.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import rwwce_jax as rwwce
from rwwce_jax.flax import RealWorldCost

ROWS, CLASSES, ACTIONS = 16, 8, 3


def batch_of(rng, rows, classes):
    """What the functions are told of examples, their first axis."""

    def normal(*shape):
        return np.float32(rng.normal(size=shape) * 4)

    def ids(number, *shape, lowest=0):
        return rng.integers(lowest, number, (rows, *shape))

    return {
        "logits": normal(rows, classes),
        "soft": np.float32(rng.dirichlet(np.ones(classes), rows)),
        "sets": ids(2, classes),
        "other_sets": ids(2, classes),
        "row_costs": np.float32(rng.random((rows, classes)) + 0.5),
        "hidden": normal(rows, 4),
        "ids": ids(classes),
        "other_ids": ids(classes),
        "decisions": ids(classes + ACTIONS),
        "candidates": ids(classes, 3, lowest=-1),
        "scores": normal(rows),
        "truth": ids(2),
        "decided": ids(2),
        "amounts": np.float32(rng.random(rows) + 0.1),
        "known": np.arange(rows) % 5 > 0,
        "counts": ids(9, classes, classes),
        "weights": np.float32(ids(4)),
    }


def shared_of(rng, classes):
    """Costs that all examples share: whole numbers, so that they are the same as integers."""
    pairs = {(k, (k + 3) % classes): int(rng.integers(1, 6)) for k in range(classes - 1)}
    return {
        "by_class": np.float32(rng.integers(1, 4, classes)),
        "matrix": np.float32(rng.integers(0, 6, (classes, classes))),
        "pairs": rwwce.pair_costs(pairs, classes),
        "actions": np.float32(rng.integers(1, 4, (classes, ACTIONS))),
    }


BATCH = batch_of(np.random.default_rng(0), ROWS, CLASSES)
SHARED = shared_of(np.random.default_rng(1), CLASSES)
OF_CLASSES = {name for name, array in BATCH.items() if array.shape == (ROWS, CLASSES)}


class Call(NamedTuple):
    """A call by the names of the arguments in the batch and the costs; all else is itself."""

    function: Any
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]

    def __str__(self):
        given = [*self.arguments, *self.keywords.values()]
        return f"{self.function.__name__}({', '.join(map(str, given))})"

    def __call__(self, values):
        def value_of(x):
            return values.get(x, x) if isinstance(x, str) else x

        keywords = {name: value_of(x) for name, x in self.keywords.items()}
        return self.function(*map(value_of, self.arguments), **keywords)

    @property
    def names(self):
        given = (*self.arguments, *self.keywords.values())
        return [x for x in given if isinstance(x, str) and (x in BATCH or x in SHARED)]


def call(function, *arguments, **keywords):
    return Call(function, arguments, keywords)


def transposed(logits, *arguments, **keywords):
    return rwwce.categorical(logits.T, *arguments, axis=0, **keywords)


def by_weights(weights, *arguments, **keywords):
    return rwwce.categorical(*arguments, weights=weights, **keywords)


def of_examples(logits, labels, fn, fp):
    return rwwce.categorical(logits, labels, rwwce.ExampleCosts(fn), rwwce.ExampleCosts(fp))


def of_candidates(logits, labels, fn, classes):
    return rwwce.categorical(logits, labels, fn, rwwce.ExampleCosts(2.0, classes=classes))


def fused(hidden, labels, fn, fp, **keywords):
    classes = fn.shape[-1]
    kernel = np.cos(np.arange(4 * classes, dtype=np.float32)).reshape(4, classes)
    return rwwce.linear_categorical(hidden, kernel, labels, fn, fp, chunk_size=4, **keywords)


# Differentiated by their first argument.
LOSSES = [
    call(rwwce.categorical, "logits", "ids", "by_class", 0),
    call(transposed, "logits", "ids", 1.5, 2.5, where="known"),
    call(rwwce.categorical, "logits", "ids", "by_class", "matrix", weights="weights"),
    call(rwwce.categorical, "logits", "ids", 1.0, "matrix", reduction="none"),
    call(by_weights, "weights", "logits", "ids", "by_class", "matrix", where="known"),
    call(rwwce.categorical, "logits", "ids", "by_class", "pairs", where="known"),
    call(rwwce.categorical, "logits", "soft", "by_class", "matrix", reduction="none"),
    call(rwwce.categorical, "logits", "soft", "by_class", "pairs", weights="weights"),
    call(of_examples, "logits", "ids", "amounts", "row_costs"),
    call(of_candidates, "logits", "ids", "by_class", "candidates"),
    call(fused, "hidden", "ids", "by_class", "pairs", weights="weights"),
    call(fused, "hidden", "soft", "by_class", "matrix", where="known", reduction="none"),
    call(rwwce.multilabel, "logits", "sets", 1.0, "by_class", fp_pairs="pairs", where="known"),
    call(rwwce.multilabel, "logits", "soft", 1.0, 2.0, fp_pairs="matrix", weights="weights"),
    call(rwwce.binary, "scores", "truth", "amounts", 3.0, where="known", weights="weights"),
]


def metric(logits, labels, other_ids, soft, fn, fp, **counted):
    metric = RealWorldCost(fn, fp)
    metric.update(logits=logits, labels=labels, **counted)
    metric.update(predictions=other_ids, labels=soft)
    return metric.compute()


def metric_of_examples(predictions, labels, fn, classes):
    metric = RealWorldCost(rwwce.ExampleCosts(fn), rwwce.ExampleCosts(3.0, classes=classes))
    metric.update(predictions=predictions, labels=labels)
    return metric.compute()


def binary_metric(scores, labels):
    metric = RealWorldCost(2.0, 1.0, threshold=0.0)
    metric.update(logits=scores, labels=labels)
    return metric.compute()


binary_cost = rwwce.binary_real_world_cost
cost = rwwce.categorical_real_world_cost
multilabel_cost = rwwce.multilabel_real_world_cost
each = {"reduction": "none"}
FUNCTIONS = [
    call(rwwce.expected_cost, "soft", "by_class", "matrix", actions="actions"),
    call(rwwce.expected_cost, "soft", "by_class", "pairs", actions="actions"),
    call(rwwce.decide, "soft", "by_class", "matrix", actions="actions"),
    call(rwwce.decide, "soft", "by_class", "pairs"),
    call(rwwce.categorical_posterior, "logits", "by_class", "matrix"),
    call(rwwce.categorical_posterior, "logits", "by_class", "pairs"),
    call(cost, "other_ids", "ids", "by_class", "pairs", where="known", weights="weights"),
    call(cost, "decisions", "ids", 1.0, "matrix", actions="actions", **each),
    call(cost, "other_ids", "soft", "by_class", "matrix", weights="weights", **each),
    call(binary_cost, "decided", "truth", "amounts", 2.0, weights="weights", **each),
    call(multilabel_cost, "other_sets", "sets", "by_class", 2.0, fp_pairs="matrix", **each),
    call(rwwce.real_world_cost_from_confusion, "counts", "by_class", "matrix"),
    call(rwwce.confusion_matrix, "decisions", "ids", CLASSES, num_actions=ACTIONS, where="known"),
    call(rwwce.confusion_matrix, "other_ids", "soft", CLASSES, weights="weights"),
    call(rwwce.savings, 0.5, "ids", 1.0, "matrix", actions="actions", right="by_class"),
    call(rwwce.savings, 0.5, "ids", 1.0, "matrix", right=2.0, weights="weights"),
    call(rwwce.savings, 0.5, "truth", "amounts", 2.0),
    call(metric, "logits", "ids", "other_ids", "soft", "by_class", "matrix", weights="weights"),
    call(metric_of_examples, "other_ids", "ids", "amounts", "candidates"),
    call(binary_metric, "scores", "truth"),
    call(rwwce.bayes_threshold, 2.0, "amounts"),
    call(rwwce.best_threshold, "scores", "truth", "amounts", 1.0, weights="weights"),
    call(rwwce.fit_temperature, "logits", "ids", where="known"),
    call(rwwce.fit_temperature, "logits", "soft", weights="weights"),
    call(rwwce.fit_temperature, "scores", "truth", where="known"),
    call(rwwce.binary_posterior, "scores", "amounts", 2.0),
    call(rwwce.multilabel_decide, "soft", "by_class", 2.0, fp_pairs="pairs"),
]


def value_and_gradient(loss, argument):
    """By jax.vjp: an eager jax.grad without jax.set_mesh fails on explicit axes, of jnp.sum too."""
    value, pull_back = jax.vjp(loss, argument)
    return value, pull_back(jnp.ones_like(value))[0]


def results(batch, shared, calls=(*LOSSES, *FUNCTIONS)):
    """The value of each call, and the gradient of each loss."""
    values, found = batch | shared, {}
    for call in calls:
        if call in LOSSES:
            by = call.arguments[0]
            loss = partial(lambda call, by, x: call(values | {by: x}), call, by)
            found[str(call)] = value_and_gradient(loss, values[by])
        else:
            found[str(call)] = (call(values),)
    return found
