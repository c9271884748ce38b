"""Gradients that are added up over micro-batches, of which some have fewer examples left."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rwwce_jax as rwwce

PARTS = 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(PARTS, 8, 3)).astype(np.float32)
WHERE = np.arange(8) < np.array([8, 1, 5, 0])[:, None]
LABELS = RNG.integers(0, 2, (PARTS, 8))
LOSSES = {
    "binary": (rwwce.binary, RNG.normal(size=3).astype(np.float32), (20.0, 0.5)),
    "categorical": (
        rwwce.categorical,
        RNG.normal(size=(3, 3)).astype(np.float32),
        ([1.0, 2.0, 40.0], [[0.0, 1.0, 2.0], [3.0, 0.0, 4.0], [5.0, 6.0, 0.0]]),
    ),
}


def accumulated(loss, weights, **options):
    """One step of gradient descent, whose batch is cut into parts."""
    optimizer = optax.MultiSteps(optax.sgd(0.1), every_k_schedule=PARTS, **options)
    state = optimizer.init(weights)
    for part in zip(X, LABELS, WHERE, strict=True):
        updates, state = optimizer.update(jax.grad(loss)(weights, *part), state)
    return updates


@pytest.mark.usefixtures("standard_promotion")  # for optax.MultiSteps
@pytest.mark.parametrize(("function", "weights", "costs"), LOSSES.values(), ids=LOSSES)
def test_sums_over_the_count_add_up_to_the_mean_of_the_batch(function, weights, costs):
    def mean(weights, x, labels, where):
        return function(x @ weights, labels, *costs, where=where)

    def of_part(weights, x, labels, where):
        return function(x @ weights, labels, *costs, where=where, reduction="sum") / count

    count = WHERE.sum().astype(np.float32)
    expected = -0.1 * jax.grad(mean)(jnp.asarray(weights), X, LABELS, WHERE)
    found = accumulated(of_part, jnp.asarray(weights), use_grad_mean=False)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    of_means = accumulated(mean, jnp.asarray(weights))
    assert np.abs(of_means - expected).max() > 0.1 * np.abs(expected).max()
