"""What is masked out is not there, in every loss; what is wrong spoils its own example alone."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weighted import LOSSES, ONE, SCORES, WEIGHTS, B, as_floats, close, every

NAN, INF = np.nan, np.inf
KEPT = np.array([True, False, True, True, False, False])  # of the last chunk of two rows, none


def dropped(x):
    return x[KEPT]


def spoilt(x, rows=~KEPT):
    """The labels, candidates and costs, wrong in these rows.

    Not the scores, which are traced: by these the loss is differentiated.
    """
    if isinstance(x, jax.Array):
        return x
    return np.where(rows.reshape(-1, *[1] * (x.ndim - 1)), x.dtype.type(99), x)


@pytest.mark.sampled(3)
@every
def test_masked_examples_are_dropped_ones(name):
    """Whatever they hold, in the scores, the labels, the costs and the weights."""

    def gradients(**counted):
        def mean(z, times, weights):
            return LOSSES[name](z, times, weights=weights, **counted)

        return jax.jit(jax.value_and_grad(mean, (0, 1, 2)))

    value, by = gradients(take=dropped)(SCORES, ONE, as_floats(WEIGHTS[KEPT]))
    masked = gradients(take=spoilt, where=KEPT)
    for wrong in (NAN, INF, -1.0, 7.0):
        scores = np.where(KEPT[:, None], SCORES, np.float32(wrong))
        weights = np.where(KEPT, np.float32(WEIGHTS), np.float32(wrong))
        actual, (by_scores, by_times, by_weights) = masked(scores, ONE, weights)
        close((actual, (by_scores, by_times, by_weights[KEPT])), (value, by))
        for x in (by_scores, by_weights):
            np.testing.assert_array_equal(x[~KEPT], 0)


@pytest.mark.sampled(3)
@every
def test_what_is_wrong_spoils_its_example_alone(name):
    is_wrong = np.arange(B) == 2

    def losses(take):
        def with_gradient(z):
            each, pull_back = jax.vjp(lambda z: LOSSES[name](z, ONE, take, reduction="none"), z)
            return each, pull_back(jnp.ones(B))[0].max(axis=-1)

        return jax.jit(with_gradient)

    scores = np.where(is_wrong[:, None], np.float32(NAN), SCORES)
    for found in (losses(lambda x: x)(scores), losses(partial(spoilt, rows=is_wrong))(SCORES)):
        for x in found:
            np.testing.assert_array_equal(np.isnan(x), is_wrong)


@pytest.mark.sampled(3)
@every
def test_nothing_to_average(name):
    """Of no example, of masked ones alone and of no weight at all the mean is 0, with gradients."""

    def mean(z, times, **counted):
        return LOSSES[name](z, times, **counted)

    @jax.jit
    def run(z, times):
        return [
            jax.value_and_grad(partial(mean, **counted), (0, 1))(z, times)
            for counted in (
                {"take": lambda x: x[:0]},
                {"take": partial(spoilt, rows=np.full(B, True)), "where": np.zeros(B, bool)},
                {"weights": jnp.zeros(B)},
            )
        ]

    empty, masked, weightless = run(SCORES, ONE)
    for x in jax.tree.leaves((empty, masked, weightless)):
        np.testing.assert_array_equal(x, 0)
    assert mean(SCORES, ONE, take=lambda x: x[:0], reduction="none").shape == (0,)
