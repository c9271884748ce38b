"""Networks that are trained together are those that are trained one by one."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from paper_in_small import digits

from experiments.paper import data, training
from experiments.paper.data import Examples

pytestmark = [
    pytest.mark.repository,
    pytest.mark.experiments,
    pytest.mark.usefixtures("standard_promotion"),
]


def _logistic(batch: training.Batch) -> jax.Array:
    truth = (batch.classes == batch.task).astype(jnp.float32)
    losses = optax.sigmoid_binary_cross_entropy(batch.logits[:, 0], truth)
    return training.mean(losses, batch.where)


def _squared(batch: training.Batch) -> jax.Array:
    return training.mean((batch.logits[:, 0] - (batch.classes == batch.task)) ** 2, batch.where)


LOSSES = [_logistic, _squared]


def _logits(weights: Any, pixels: Any) -> Any:
    (w1, b1), (w2, b2) = weights
    return jnp.maximum(0, pixels @ w1.T + b1) @ w2.T + b2


@partial(jax.jit, static_argnames="loss")
def _update(weights: Any, state: Any, pixels: Any, classes: Any, task: Any, loss: Any) -> Any:
    where = jnp.ones(len(pixels), bool)

    def objective(weights: Any) -> jax.Array:
        scores = _logits(weights, pixels)
        return loss(training.Batch(scores, classes, where, task, jnp.zeros(2)))

    updates, state = training.OPTIMIZER.update(jax.grad(objective)(weights), state)
    return optax.apply_updates(weights, updates), state


def test_training_is_that_of_networks_one_by_one() -> None:
    """Each data set and loss by itself, batch by batch, without padding or masks."""
    rng = np.random.default_rng(0)
    # Sizes for which the last batch is incomplete, or missing where the other has one.
    rows = [rng.permutation(1797)[:size].astype(np.int32) for size in (130, 230)]
    steps = [rng.random(len(each), dtype=np.float32) for each in rows]
    examples = [
        Examples(each, rng.permutation(each), step) for each, step in zip(rows, steps, strict=True)
    ]
    tasks = np.array([3, 8], np.int32)
    train = partial(training.train, digits(), examples, tasks, LOSSES, (5, 1))
    start, trained = train(0, seed=4, table=1), train(2, seed=4, table=1)
    for number, each in enumerate(examples):
        for index, loss in enumerate(LOSSES):
            weights = jax.tree.map(lambda x, i=(number, index): x[i], start)
            state = training.OPTIMIZER.init(weights)
            for epoch in range(2):
                order = data.stream(4, 1, number, epoch).permutation(len(each.rows))
                for first in range(0, len(order), 100):
                    batch = order[first : first + 100]
                    base = digits().pixels[each.rows[batch]] / np.float32(255)
                    partner = digits().pixels[each.partners[batch]] / np.float32(255)
                    pixels = base + each.steps[batch, None] * (partner - base)
                    classes = digits().classes[each.rows[batch]]
                    weights, state = _update(weights, state, pixels, classes, tasks[number], loss)
            ours = jax.tree.map(lambda x, i=(number, index): x[i], trained)
            for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(weights), strict=True):
                np.testing.assert_allclose(a, b, atol=2e-5)
    (first, biases), _ = start
    np.testing.assert_array_equal(first[:, 0], first[:, 1])  # the losses start alike,
    assert np.all(first[0] != first[1])  # the data sets do not
    assert np.all(np.abs(first) <= np.sqrt(6 / (64 + 5)))
    assert not biases.any()


def test_logits_are_each_networks_own() -> None:
    """Two data sets, two losses, and more rows than are evaluated at once, with some left over."""
    rng = np.random.default_rng(0)
    rows = rng.integers(1797, size=(2, training.BLOCK + 37))
    weights = [
        (rng.normal(size=(2, 2, *size)).astype("f"), rng.normal(size=(2, 2, size[0])).astype("f"))
        for size in [(6, 64), (3, 6)]
    ]
    actual = training.logits(weights, digits(), rows)
    assert actual.shape == (2, 2, rows.shape[1], 3)
    for index in np.ndindex(2, 2):
        own = jax.tree.map(lambda x, index=index: x[index], weights)
        expected = _logits(own, digits().pixels[rows[index[0]]] / np.float32(255))
        np.testing.assert_allclose(actual[index], expected, rtol=1e-4, atol=1e-4)
