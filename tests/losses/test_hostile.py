"""What bad input gets, as docs/quickstart.md says: all cases in four ways."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce

pytestmark = pytest.mark.optimized

INF, NAN = np.inf, np.nan

# Each way takes a loss of (logits, *arguments) to a function to its value and gradient by logits.
# Cached, so that cases of the same shapes compile once.


def eager(loss):
    return lambda logits, *rest: (loss(logits, *rest), jax.grad(loss)(logits, *rest))


@functools.cache
def jitted(loss):
    return jax.jit(eager(loss))


@functools.cache
def vmapped(loss):
    batched = jax.jit(jax.vmap(jax.value_and_grad(loss)))

    def both(*arguments):
        values, gradients = batched(*jax.tree.map(lambda x: jnp.stack([x, x]), arguments))
        np.testing.assert_array_equal(values[0], values[1])
        return values[1], gradients[1]

    return both


@functools.cache
def forward(loss):
    @jax.jit
    def both(logits, *rest):
        def derivative(tangent):
            return jax.jvp(lambda z: loss(z, *rest), (logits,), (tangent.reshape(logits.shape),))

        basis = jnp.eye(logits.size, dtype=logits.dtype)
        values, derivatives = jax.vmap(derivative, out_axes=(None, 0))(basis)
        return values, derivatives.reshape(logits.shape)

    return both


WAYS = pytest.mark.parametrize("way", [eager, jitted, vmapped, forward])


def no_fp(logits, labels, fn):
    return rwwce.categorical(logits, labels, fn, 0)


def arguments(label, fn, fp):
    """The loss for these costs, and what it takes after the logits: 0 is known while tracing.

    All numbers are traced in float32, all arrays as they are, so that cases share programs.
    """
    costs = [jnp.asarray(x, getattr(x, "dtype", np.float32)) for x in (fn, fp)]
    if isinstance(fp, int) and fp == 0:
        return no_fp, (jnp.asarray(label), costs[0])
    return rwwce.categorical, (jnp.asarray(label), *costs)


DENSE = np.float32([[0, 2, 3], [5, 0, 7], [11, 13, 0]])
NAN_DIAGONAL = np.float32([[NAN, 2, 9], [3, INF, 9], [9, 9, NAN]])
ONE_PAIR = np.float32([[0, 0, 1], [0, 0, 0], [0, 0, 0]])

# name: logits of one example, its label, fn, fp, the loss, and what its gradient must be:
# an array, "finite", "not NaN" or "NaN".
CATEGORICAL = {
    "a gap of 1e4, the label on top": ([1e4, 0, 0], 0, 1, DENSE, 0, [0, 0, 0]),
    "a gap of 1e4, the label below": ([0, 1e4, 0], 0, 1, DENSE, 3e4 - 2 * np.log(2), "finite"),
    "magnitude 3e38": ([3e38, 3e38, -3e38], 0, 1, 0, np.log(2), [-0.5, 0.5, 0]),
    "magnitude 3e38, dense": ([3e38, 3e38, -3e38], 0, 1, DENSE, 3 * np.log(2), [-1.5, 1.5, 0]),
    "a tie at 1e8": ([1e8, 1e8, 0], 0, 1, 0, np.log(2), [-0.5, 0.5, 0]),
    "a tie at 1e8, dense": ([1e8, 1e8, 0], 0, 1, DENSE, 3 * np.log(2), [-1.5, 1.5, 0]),
    "a common offset of 1e8": ([1e8 + 8, 1e8, 1e8], 0, 1, 0, np.log1p(2 * np.exp(-8)), "finite"),
    "-inf on another class": ([0, -INF, 0], 0, 1, DENSE, 4 * np.log(2), [-2, 0, 2]),
    "-inf on the label": ([-INF, 0, 0], 0, 1, DENSE, INF, "not NaN"),
    "-inf on the label, no fn": ([-INF, 0, 0], 0, 0, DENSE, 5 * np.log(2), [0, -0.5, 0.5]),
    "only the label is finite": ([0, -INF, -INF], 0, 1, DENSE, 0, [0, 0, 0]),
    "only the label is finite, fp = 0": ([0, -INF, -INF], 0, 1, 0, 0, [0, 0, 0]),
    "only another is finite, weight 0": ([-INF, 0, -INF], 0, 1, 0, INF, "not NaN"),
    "only another is finite, dense weight 0": ([-INF, 0, -INF], 0, 1, 0 * DENSE, INF, "not NaN"),
    "only another is finite, weight 2": ([-INF, 0, -INF], 0, 1, DENSE, INF, "not NaN"),
    "only another is finite, weight 2, no fn": ([-INF, 0, -INF], 0, 0, DENSE, INF, "not NaN"),
    "all -inf": ([-INF, -INF, -INF], 0, 1, DENSE, NAN, "NaN"),
    "all -inf, fp = 0": ([-INF, -INF, -INF], 0, 1, 0, NAN, "NaN"),
    "a NaN": ([0, NAN, 0], 0, 1, DENSE, NAN, "NaN"),
    "a NaN, fp = 0": ([0, NAN, 0], 0, 1, 0, NAN, "NaN"),
    "a NaN, all costs 0": ([0, NAN, 0], 0, 0, 0, NAN, "NaN"),
    "+inf": ([0, INF, 0], 0, 1, DENSE, NAN, "NaN"),
    "+inf on the label, fp = 0": ([INF, 0, 0], 0, 1, 0, NAN, "NaN"),
    "zero weight on a saturated class": ([0, 1e3, 0], 0, 0, ONE_PAIR, 0, [0, 0, 0]),
    "label -1": ([0, 1, 0], -1, 1, DENSE, NAN, "NaN"),
    "label -1, fp = 0": ([0, 1, 0], -1, 1, 0, NAN, "NaN"),
    "label K": ([0, 1, 0], 3, 1, DENSE, NAN, "NaN"),
    "label K, scalar fp": ([0, 1, 0], 3, 1, 2.5, NAN, "NaN"),
    "integer costs": ([0, 0, 0], 0, 1, np.int32(DENSE), np.log(3) + 5 * np.log(1.5), "finite"),
    "costs of 0": ([0, 1, 0], 0, 0, 0, 0, [0, 0, 0]),
    "costs of 1e30": ([0, 1, 0], 0, 1e30, 1e30, "finite", "finite"),
    "costs of 1e30 at a gap of 1e4": ([0, 1e4, 0], 0, 1e30, 1e30, "finite", "finite"),
    "a NaN diagonal": ([0, 0, -INF], 0, 1, NAN_DIAGONAL, 3 * np.log(2), [-1.5, 1.5, 0]),
}

BINARY = {
    "inf, right": (INF, 1, 2, 3, 0, 0),
    "-inf, right": (-INF, 0, 2, 3, 0, 0),
    "inf, wrong": (INF, 0, 2, 3, INF, 3),
    "-inf, wrong": (-INF, 1, 2, 3, INF, -2),
    "-inf, wrong at no cost": (-INF, 1, 0, 3, 0, 0),
    "NaN": (NAN, 1, 2, 3, NAN, NAN),
    "NaN at no cost": (NAN, 1, 0, 0, NAN, NAN),
    "a gap of 1e4": (-1e4, 1, 2, 3, 2e4, -2),
    "label -1": (0.0, -1, 2, 3, NAN, NAN),
    "label 2": (0.0, 2, 2, 3, NAN, NAN),
    "costs of 1e30": (1.0, 0, 1e30, 1e30, 1e30 * np.log1p(np.e), "finite"),
}


def check(actual, expected, case):
    if isinstance(expected, str):
        good = {"finite": np.isfinite, "NaN": np.isnan, "not NaN": lambda x: ~np.isnan(x)}
        assert np.all(good[expected](actual)), (actual, expected, case)
    else:
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-7, err_msg=case)


@WAYS
@pytest.mark.parametrize("labels_as", ["ids", "one-hot"])
def test_categorical(labels_as, way):
    for case, (logits, label, fn, fp, value, gradient) in CATEGORICAL.items():
        if labels_as == "one-hot" and not 0 <= label < 3:
            continue
        label = label if labels_as == "ids" else jax.nn.one_hot(label, 3)
        loss, rest = arguments(label, fn, fp)
        actual, slope = way(loss)(jnp.asarray(logits, jnp.float32), *rest)
        check(actual, value, case)
        check(slope, gradient, case)


@WAYS
def test_binary(way):
    for case, (logit, label, fn, fp, value, gradient) in BINARY.items():
        rest = (jnp.asarray(x, jnp.float32) for x in (label, fn, fp))
        actual, slope = way(rwwce.binary)(jnp.float32(logit), *rest)
        check(actual, value, case)
        check(slope, gradient, case)


@pytest.mark.parametrize("mode", [jax.jacrev, jax.jacfwd])
def test_costs_of_impossible_classes_have_finite_gradients(mode):
    """A logit of inf that is right: its cost changes nothing, and the other's gradient stays."""
    logits, labels = jnp.array([jnp.inf, 0.3, -jnp.inf]), jnp.array([1, 0, 0])
    by_logits, *by_costs = jax.jit(mode(rwwce.binary, (0, 2, 3)))(logits, labels, 2.0, 3.0)
    np.testing.assert_allclose(by_logits, [0, 1 / (1 + np.exp(-0.3)), 0], rtol=1e-6)
    np.testing.assert_allclose(by_costs, (0, np.log1p(np.exp(0.3)) / 3), rtol=1e-6)
    logits = jnp.array([[0, -jnp.inf, 0], [0, -jnp.inf, -jnp.inf]])
    for labels in (np.array([2, 0]), np.eye(3, dtype=np.float32)[[2, 0]]):
        for fp in (np.ones((3, 3), np.float32), 2, 0):
            loss, rest = arguments(labels, np.ones(3, np.float32), fp)
            by = tuple(range(2, 1 + len(rest)))
            for gradient in jax.jit(mode(loss, by))(logits, *rest):
                assert np.all(np.isfinite(gradient)), (labels, fp, gradient)
