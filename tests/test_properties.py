"""What the losses must equal: Optax's where they coincide, and themselves where nothing may change.

Hypothesis draws the numbers, in a few fixed shapes, so that each function compiles once for each
precision. The derivatives of the gradient, in double precision, are at the end.
"""

import functools
from typing import NamedTuple

import hypothesis
import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import strategies as st
from jax.test_util import check_grads

import rwwce_jax as rwwce
from rwwce_jax import _numerics

B, K = 6, 4
OTHERS = np.array([[j for j in range(K) if j != k] for k in range(K)])
OFF_DIAGONAL = ~np.eye(K, dtype=bool)

# Of the sum of a row's costs, times 1 + the largest magnitude of its logits: to round those is to
# move the loss by as much.
TOLERANCE = {"float32": 4e-7, "float64": 8e-16}


# --- The oracles: Optax ---------------------------------------------------------------------------


def sigmoid_losses(logits, weights, costs):
    """Optax's binary cross-entropy, the positive examples weighted and the negative ones."""
    positive = optax.sigmoid_binary_cross_entropy(logits, jnp.ones_like(logits))
    negative = optax.sigmoid_binary_cross_entropy(logits, jnp.zeros_like(logits))
    return weights * positive + costs * negative


def log_odds(logits):
    """The logits of the softmax's probabilities, each taken as a sigmoid: log(p / (1 - p))."""
    return logits - jax.nn.logsumexp(logits[..., OTHERS], axis=-1)


def real_world_losses(logits, weights, costs):
    """``-sum(weights * log p) - sum(costs * log(1 - p))``, by Optax."""
    return jnp.sum(sigmoid_losses(log_odds(logits), weights, costs), axis=-1)


def reference(logits, labels, fn, fp):
    """Equation 6 with its weights written out: labels are ids or probabilities."""
    if jnp.issubdtype(labels.dtype, jnp.integer):
        labels = jax.nn.one_hot(labels, K, dtype=logits.dtype)
    off_diagonal = jnp.where(OFF_DIAGONAL, jnp.broadcast_to(fp, (K, K)), 0)
    weights = labels * jnp.broadcast_to(fn, labels.shape)
    costs = jnp.matmul(labels, off_diagonal, precision="highest")
    return real_world_losses(logits, weights, costs)


# --- What is drawn --------------------------------------------------------------------------------


class Problem(NamedTuple):
    """A batch of logits, labels of either kind, and costs, all exact in float32."""

    logits: np.ndarray
    labels: np.ndarray
    probs: np.ndarray
    fn: np.ndarray
    fp: np.ndarray

    @property
    def unit(self):
        """What errors are measured in, by example."""
        return np.sum(self.fn) + np.sum(self.fp) * (1 + np.abs(self.logits).max(axis=-1))


class BinaryProblem(NamedTuple):
    """Logits, labels, probabilities and costs, each one per example."""

    logits: np.ndarray
    labels: np.ndarray
    probs: np.ndarray
    fn: np.ndarray
    fp: np.ndarray

    @property
    def unit(self):
        return (self.fn + self.fp) * (1 + np.abs(self.logits))


def integers(shape, low, high):
    return hnp.arrays(np.int64, shape, elements=st.integers(low, high), fill=st.nothing())


def logits_of(shape):
    """Logits up to 2, 31 or 250: hardly certain, sometimes and always. Small ones tie often."""
    return st.builds(
        np.multiply, integers(shape, -2000, 2000), st.sampled_from([2.0**-10, 2.0**-6, 2.0**-3])
    )


def costs_of(shape):
    return integers(shape, 0, 8).map(lambda costs: costs / 4)


def probabilities_of(counts):
    return (counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)).astype(np.float32)


problems = st.builds(
    Problem,
    logits_of((B, K)),
    integers(B, 0, K - 1),
    integers((B, K), 0, 8).map(probabilities_of),
    costs_of(K),
    costs_of((K, K)),
)
binary_problems = st.builds(
    BinaryProblem,
    logits_of(B),
    integers(B, 0, 1),
    integers(B, 0, 8).map(lambda eighths: eighths / 8),
    costs_of(B),
    costs_of(B),
)


def holds_for(strategy, **more):
    """Runs a test on what is drawn, in single and in double precision."""

    def decorate(test):
        @pytest.mark.parametrize("dtype", ["float32", "float64"])
        @hypothesis.settings(max_examples=40)
        @hypothesis.given(problem=strategy, drawn=st.fixed_dictionaries(more))
        def run(dtype, problem, drawn):
            cast = (x.astype(dtype) if x.dtype.kind == "f" else x for x in problem)
            with jax.enable_x64(dtype == "float64"):
                test(type(problem)(*cast), **drawn)

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return decorate


# --- How it is compared ---------------------------------------------------------------------------


def example_weights(shape, dtype):
    """A different weight for each example's loss, so that none can pass for another."""
    return (1 + jnp.arange(np.prod(shape, dtype=int), dtype=dtype)).reshape(shape) / 4


@functools.cache
def differentiated(loss):
    """Losses per example, and the gradients of a weighted sum of them by logits, fn and fp."""

    @jax.jit
    def run(logits, labels, fn, fp):
        losses, pull = jax.vjp(lambda z, *costs: loss(z, labels, *costs), logits, fn, fp)
        return losses, *pull(example_weights(losses.shape, losses.dtype))

    return run


def assert_same(actual, expected, unit, times=1):
    """Compares losses and gradients, by logits and by costs, as exact as the logits are."""
    dtype = np.dtype(actual[0].dtype)
    assert all(x.dtype == dtype for x in actual)
    tolerance = times * TOLERANCE[str(dtype)] * (unit + 1)
    losses, by_logits, *by_costs = actual
    expected_losses, expected_by_logits, *expected_by_costs = expected
    weight = np.asarray(example_weights(losses.shape, losses.dtype)).max(initial=1)
    assert_within(losses, expected_losses, tolerance)
    rows = tolerance.reshape(tolerance.shape + (1,) * (by_logits.ndim - tolerance.ndim))
    assert_within(by_logits, expected_by_logits, weight * rows)
    for x, y in zip(by_costs, expected_by_costs, strict=True):
        assert_within(x, y, weight * tolerance.sum())


def assert_within(actual, expected, tolerance):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert np.all(np.abs(actual - expected) <= tolerance), (actual, expected, tolerance)


def binary(logits, labels, fn, fp):
    return rwwce.binary(logits, labels, fn, fp, reduction="none")


def categorical(logits, labels, fn, fp):
    return rwwce.categorical(logits, labels, fn, fp, reduction="none")


def categorical_no_fp(logits, labels, fn, fp):
    """False positives known to be free while tracing: a function of its own inside the library."""
    return categorical(logits, labels, fn, 0) + 0 * jnp.sum(fp)


# --- Equal to Optax's losses ----------------------------------------------------------------------


def weighted_binary_cross_entropy(logits, labels, fn, fp):
    weights = jnp.where(labels == 1, fn, fp)
    return weights * optax.sigmoid_binary_cross_entropy(logits, labels.astype(logits.dtype))


def soft_binary_cross_entropy(logits, labels, fn, fp):
    return sigmoid_losses(logits, fn * labels, fp * (1 - labels))


@holds_for(binary_problems)
def test_binary_is_weighted_binary_cross_entropy(problem):
    logits, labels, probs, fn, fp = problem
    assert_same(
        differentiated(binary)(logits, labels, fn, fp),
        differentiated(weighted_binary_cross_entropy)(logits, labels, fn, fp),
        problem.unit,
    )
    assert_same(
        differentiated(binary)(logits, probs, fn, fp),
        differentiated(soft_binary_cross_entropy)(logits, probs, fn, fp),
        problem.unit,
    )
    ones = np.ones_like(fn)
    assert_within(
        differentiated(binary)(logits, probs, ones, ones)[0],
        optax.sigmoid_binary_cross_entropy(jnp.asarray(logits), jnp.asarray(probs)),
        4 * TOLERANCE[str(logits.dtype)] * (1 + np.abs(logits)),
    )


def class_weighted_cross_entropy(logits, labels, fn, fp):
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return losses * fn[labels] + 0 * jnp.sum(fp)


def soft_class_weighted_cross_entropy(logits, labels, fn, fp):
    return optax.softmax_cross_entropy(logits, labels * jnp.broadcast_to(fn, labels.shape)) + (
        0 * jnp.sum(fp)
    )


@pytest.mark.parametrize("loss", [categorical, categorical_no_fp])
@holds_for(problems, scalar=st.booleans())
def without_fp(problem, scalar, loss):
    pass


def check_without_fp(problem, scalar, loss):
    """Compares all but the gradient by fp, which the known zero does not have."""
    logits, labels, probs, fn, fp = problem
    free = np.zeros_like(fp[0, 0] if scalar else fp)
    for truth, expected in (
        (labels, class_weighted_cross_entropy),
        (probs, soft_class_weighted_cross_entropy),
    ):
        assert_same(
            differentiated(loss)(logits, truth, fn, free)[:3],
            differentiated(expected)(logits, truth, fn, free)[:3],
            problem.unit,
        )


@holds_for(problems, scalar=st.booleans())
def test_categorical_without_fp_is_class_weighted_cross_entropy(problem, scalar):
    check_without_fp(problem, scalar, categorical)


@holds_for(problems)
def test_categorical_without_fp_known_while_tracing(problem):
    check_without_fp(problem, True, categorical_no_fp)


@holds_for(problems)
def test_categorical_with_fn_1_and_fp_0_is_cross_entropy(problem):
    logits, labels, probs, *_ = problem
    unit = 1 + np.abs(logits).max(axis=-1)
    tolerance = 4 * TOLERANCE[str(logits.dtype)] * unit
    assert_within(
        categorical(logits, labels, 1, 0),
        optax.softmax_cross_entropy_with_integer_labels(jnp.asarray(logits), labels),
        tolerance,
    )
    assert_within(
        categorical(logits, probs, 1, 0),
        optax.softmax_cross_entropy(jnp.asarray(logits), jnp.asarray(probs)),
        tolerance,
    )


@holds_for(problems)
def test_categorical_with_fn_1_and_fp_1_is_binary_cross_entropy_on_the_softmax(problem):
    logits, labels, probs, *_ = problem
    one = np.ones((), logits.dtype)

    def softmax_as_sigmoids(logits, labels, fn, fp):
        if jnp.issubdtype(labels.dtype, jnp.integer):
            labels = jax.nn.one_hot(labels, K, dtype=logits.dtype)
        return jnp.sum(optax.sigmoid_binary_cross_entropy(log_odds(logits), labels), axis=-1) + (
            0 * (fn + fp)
        )

    for truth in (labels, probs[probs.sum(axis=-1) > 0.5]):
        of_truth = slice(len(truth))
        pass


@holds_for(problems, scalar=st.booleans())
def test_categorical_is_equation_6(problem, scalar):
    logits, labels, probs, fn, fp = problem
    fp = fp[0, 0] if scalar else fp
    for truth in (labels, probs):
        assert_same(
            differentiated(categorical)(logits, truth, fn, fp),
            differentiated(reference)(logits, truth, fn, fp),
            problem.unit,
        )
