"""Networks that are trained together are those that are trained one by one."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from paper_in_small import digits

from experiments.paper import data, training
from experiments.paper.data import Examples

pytestmark = [pytest.mark.repository, pytest.mark.usefixtures("standard_promotion")]


def _mean_of(elementwise: Callable[..., jax.Array]) -> training.Loss:
    def loss(logits: jax.Array, classes: jax.Array, where: jax.Array, task: Any) -> jax.Array:
        truth = (classes == task).astype(jnp.float32)
        return training.mean(elementwise(logits[:, 0], truth), where)

    return loss


def _squared(logits: jax.Array, truth: jax.Array) -> jax.Array:
    return (logits - truth) ** 2


def test_training_is_that_of_networks_one_by_one() -> None:
    """Each data set and loss by itself, batch by batch, without padding or masks."""
    rng = np.random.default_rng(0)
    # Sizes for which the last batch is incomplete, or missing where the other has one.
    rows = [rng.permutation(1797)[:size].astype(np.int32) for size in (230, 421)]
    steps = [rng.random(len(each), dtype=np.float32) for each in rows]
    examples = [
        Examples(each, rng.permutation(each), step) for each, step in zip(rows, steps, strict=True)
    ]
    tasks = np.array([3, 8], np.int32)
    losses = [_mean_of(optax.sigmoid_binary_cross_entropy), _mean_of(_squared)]
    options = {"widths": (5, 1), "seed": 4, "table": 1, "name": "", "between": lambda: None}
    start = training.train(digits(), examples, tasks, losses, epochs=0, **options)
    trained = training.train(digits(), examples, tasks, losses, epochs=2, **options)

    for number, each in enumerate(examples):
        for arm, elementwise in enumerate([optax.sigmoid_binary_cross_entropy, _squared]):
            weights = jax.tree.map(lambda x, i=(number, arm): x[i], start)
            state = training.OPTIMIZER.init(weights)
            for epoch in range(2):
                order = data.stream(4, 1, number, epoch).permutation(len(each.rows))
                for first in range(0, len(order), training.BATCH):
                    batch = order[first : first + training.BATCH]
                    base = digits().pixels[each.rows[batch]] / np.float32(255)
                    partner = digits().pixels[each.partners[batch]] / np.float32(255)
                    pixels = base + each.steps[batch, None] * (partner - base)
                    truth = digits().classes[each.rows[batch]] == tasks[number]

                    def objective(
                        weights: Any, x: Any = pixels, y: Any = truth, f: Any = elementwise
                    ) -> jax.Array:
                        (w1, b1), (w2, b2) = weights
                        hidden = jnp.maximum(0, x @ w1.T + b1[None])
                        return jnp.mean(f((hidden @ w2.T + b2[None])[:, 0], y.astype(np.float32)))

                    updates, state = training.OPTIMIZER.update(jax.grad(objective)(weights), state)
                    weights = optax.apply_updates(weights, updates)
            ours = jax.tree.map(lambda x, i=(number, arm): x[i], trained)
            for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(weights), strict=True):
                np.testing.assert_allclose(a, b, atol=2e-5)


def test_arms_start_alike_and_networks_do_not() -> None:
    examples = [Examples(np.arange(100))] * 2
    ((first, biases), _) = training.train(
        digits(),
        examples,
        np.zeros(2),
        [_mean_of(_squared)] * 2,
        widths=(3, 1),
        epochs=0,
        seed=0,
        table=1,
        name="",
        between=lambda: None,
    )
    np.testing.assert_array_equal(first[:, 0], first[:, 1])
    assert np.all(first[0] != first[1])
    assert np.all(np.abs(first) <= np.sqrt(6 / (64 + 3)))
    assert not biases.any()


def test_logits_are_each_networks_own() -> None:
    """Two data sets, two arms, and more rows than are evaluated at once, with some left over."""
    rng = np.random.default_rng(0)
    rows = rng.integers(1797, size=(2, training.BLOCK + 37))
    sizes = [(6, 64), (3, 6)]
    weights = [
        (rng.normal(size=(2, 2, *size)).astype("f"), rng.normal(size=(2, 2, size[0])).astype("f"))
        for size in sizes
    ]
    actual = training.logits(weights, digits(), data.Stack(rows, np.ones_like(rows, bool)))
    assert actual.shape == (2, 2, rows.shape[1], 3)
    for number, arm in np.ndindex(2, 2):
        (w1, b1), (w2, b2) = ((w[number, arm], b[number, arm]) for w, b in weights)
        hidden = np.maximum(0, digits().pixels[rows[number]] / 255 @ w1.T + b1)
        np.testing.assert_allclose(actual[number, arm], hidden @ w2.T + b2, rtol=1e-4, atol=1e-4)
