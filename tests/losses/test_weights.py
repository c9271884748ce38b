"""An example of weight w counts as w examples, in the value and all gradients of every loss."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weighted import (
    IDS,
    LOSSES,
    ONE,
    SCORES,
    SOME,
    WEIGHTS,
    B,
    K,
    as_floats,
    close,
    every,
    repeated,
    some,
)

import rwwce_jax as rwwce

NAN, INF = np.nan, np.inf


@pytest.mark.sampled(3)
@every
def test_integer_weights_repeat_examples(name):
    loss = LOSSES[name]

    @jax.jit
    def both(z, times):
        weighted = jax.value_and_grad(lambda *x: loss(*x, weights=WEIGHTS), (0, 1))(z, times)
        return weighted, jax.value_and_grad(lambda *x: loss(*x, take=repeated), (0, 1))(z, times)

    weighted, of_repeated = both(SCORES, ONE)
    close(weighted, of_repeated)


@some
def test_reductions(name):
    """With "none" each loss times its weight: "sum" adds them up, the mean divides by theirs."""
    loss = jax.jit(partial(LOSSES[name], SCORES, ONE), static_argnames="reduction")
    each, weights, where = loss(reduction="none"), as_floats(WEIGHTS), WEIGHTS > 0
    close(loss(reduction="sum"), jnp.sum(each))
    close(loss(), jnp.mean(each))
    close(loss(where=where), jnp.mean(each[where]))
    close(loss(weights=weights, reduction="none"), each * weights)
    close(loss(weights=weights, reduction="sum"), jnp.sum(each * weights))
    mean = jnp.sum(each * weights) / float(WEIGHTS.sum())
    for scale in (1.0, 2.0**-20, 3.0, 1e6):
        close(loss(weights=as_floats(WEIGHTS * scale)), mean)


@pytest.mark.sampled(5)
@every
def test_gradient_by_the_weights(name):
    """The loss of each example, over the mean; of its gradient too; also where weights are 0."""
    loss = LOSSES[name]

    @jax.jit
    def run(z, w):
        each = loss(z, ONE, reduction="none")
        of_each = jax.jacrev(lambda z: loss(z, ONE, reduction="none"))(z)

        def total(z, w):
            return loss(z, ONE, weights=w, reduction="sum")

        by_weights = jax.grad(total, 1)(z, w), jax.grad(total, 1)(z, 0 * w)
        of_gradient = [jax.jacfwd(jax.grad(total), 1)(z, x) for x in (w, 0 * w)]
        of_mean = jax.grad(lambda w: loss(z, ONE, weights=w))(w)
        return each, jnp.moveaxis(of_each, 0, -1), by_weights, of_gradient, of_mean

    w = as_floats(WEIGHTS)
    each, of_each, by_weights, of_gradient, of_mean = run(SCORES, w)
    close(by_weights, (each, each))
    close(of_gradient, [of_each, of_each], rtol=1e-5)
    mean = np.sum(each * w) / np.sum(w)
    close(of_mean, (each - mean) / np.sum(w), rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in SOME if "fused" not in name])
def test_an_infinite_loss_of_weight_0_counts_0(name):
    """As with costs of 0; the gradient by the weights is finite too."""
    counts = WEIGHTS > 0
    possible = np.arange(K) == np.where(IDS == 3, 2, 3)[:, None]
    scores = np.where(possible | counts[:, None], SCORES, -INF)
    each = np.asarray(LOSSES[name](scores, ONE, reduction="none"))
    assert np.any(each[~counts] == INF)

    def mean(z, weights):
        return LOSSES[name](z, ONE, weights=weights)

    value, (by_scores, by_weights) = jax.value_and_grad(mean, (0, 1))(scores, as_floats(WEIGHTS))
    close(value, np.average(each[counts], weights=WEIGHTS[counts]))
    np.testing.assert_array_equal(by_scores[~counts], 0)
    assert np.all(np.isfinite(by_weights))


@some
def test_nan_of_weight_0_stays_nan(name):
    """What is no example is masked: see test_masks."""
    spoilt = np.where(WEIGHTS[:, None] == 0, np.float32(NAN), SCORES)
    assert np.isnan(LOSSES[name](spoilt, ONE, weights=WEIGHTS))


@some
def test_what_is_no_weight_gives_nan(name):
    loss = jax.jit(partial(LOSSES[name], times=ONE), static_argnames="reduction")

    @jax.jit
    @jax.grad
    def slopes(z, weights):
        return jnp.sum(LOSSES[name](z, ONE, weights=weights, reduction="none"))

    for wrong in (-1.0, -1e-30, INF, NAN):
        weights = jnp.ones(B).at[2].set(wrong)
        for reduction in ("mean", "sum"):
            assert np.isnan(loss(SCORES, weights=weights, reduction=reduction))
        each = loss(SCORES, weights=weights, reduction="none")
        for values in (each, np.max(np.abs(slopes(SCORES, weights)), axis=-1)):
            np.testing.assert_array_equal(np.isnan(values), np.arange(B) == 2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_never_widen_the_dtype(dtype, x64):
    """For the losses see test_dtypes."""
    double, ids, costs = WEIGHTS.astype(float), IDS.astype(np.int32), (np.float32(2), np.float32(3))
    truth, scores = ids % 2, jnp.asarray(SCORES[:, 0], dtype)
    cost = rwwce.categorical_real_world_cost(ids, ids[::-1], *costs, weights=double)
    assert cost.dtype == jnp.float32
    assert rwwce.savings(cost, truth, *costs, weights=double).dtype == jnp.float32
    assert rwwce.best_threshold(scores, truth, 1.0, 1.0, weights=double).dtype == dtype
    assert rwwce.fit_temperature(scores, truth, weights=double).dtype == jnp.float32


def test_integers_that_are_negative_and_weights_too_large_to_add_up_give_nan():
    for weights in ([2, -1], np.float32([3e38, 3e38])):
        assert np.isnan(rwwce.binary([20.0, 20.0], [1, 1], 1.0, 1.0, weights=weights))
