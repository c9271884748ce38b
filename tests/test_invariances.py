"""What the losses must equal: Optax's where they coincide, and themselves where nothing may change.

Hypothesis draws the numbers, in a few fixed shapes, so that each function compiles once for each
precision. The derivatives of the gradient, in double precision, are at the end.
"""

import functools
import itertools
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
from rwwce_jax._numerics import arithmetic, real_world, softmax

B, K = 6, 4
OTHERS = np.array([[j for j in range(K) if j != k] for k in range(K)], np.int32)
OFF_DIAGONAL = ~np.eye(K, dtype=bool)

# Relative to a row's costs times 1 + its largest logit: what rounding the logits changes.
TOLERANCE = {"float32": 5e-7, "float64": 1e-15}


# --- The oracle: Optax ----------------------------------------------------------------------------


def log_odds(logits):
    """log(p / (1 - p)) of the softmax: each class as a sigmoid of its own."""
    return logits - jax.nn.logsumexp(logits[..., OTHERS], axis=-1)


def sigmoid_losses(logits, weights, costs):
    """Optax's binary cross-entropy, with weights for the positives and costs for the negatives."""
    positive = optax.sigmoid_binary_cross_entropy(logits, jnp.ones_like(logits))
    negative = optax.sigmoid_binary_cross_entropy(logits, jnp.zeros_like(logits))
    return weights * positive + costs * negative


def as_probabilities(labels, dtype):
    if jnp.issubdtype(labels.dtype, jnp.integer):
        return jax.nn.one_hot(labels, K, dtype=dtype)
    return labels


def equation_6(logits, labels, fn, fp):
    """Its sums written out, with Optax's binary cross-entropy of the log-odds for -log(1 - p)."""
    labels = as_probabilities(labels, logits.dtype)
    off_diagonal = jnp.where(OFF_DIAGONAL, jnp.broadcast_to(fp, (K, K)), 0)
    weights = labels * jnp.broadcast_to(fn, labels.shape)
    costs = jnp.matmul(labels, off_diagonal, precision="highest")
    return jnp.sum(sigmoid_losses(log_odds(logits), weights, costs), axis=-1)


def class_weighted_cross_entropy(logits, labels, fn, _):
    if jnp.issubdtype(labels.dtype, jnp.integer):
        return fn[labels] * optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return optax.softmax_cross_entropy(logits, labels * jnp.broadcast_to(fn, labels.shape))


def cross_entropy(logits, labels, *_):
    return class_weighted_cross_entropy(logits, labels, jnp.ones(K, logits.dtype), None)


def binary_cross_entropy_on_the_softmax(logits, labels, *_):
    labels = as_probabilities(labels, logits.dtype)
    return jnp.sum(optax.sigmoid_binary_cross_entropy(log_odds(logits), labels), axis=-1)


def binary_cross_entropy_of_the_difference(logits, labels, fn, fp):
    """Two classes: a miss of class 1 costs fn[1] and its false alarm fp[1, 0], and vice versa."""
    labels = labels.astype(logits.dtype)
    positive, negative = (fn[1] + fp[1, 0]) * labels, (fn[0] + fp[0, 1]) * (1 - labels)
    return sigmoid_losses(logits[..., 1] - logits[..., 0], positive, negative)


def weighted_binary_cross_entropy(logits, labels, fn, fp):
    weights = jnp.where(labels == 1, fn, fp)
    return weights * optax.sigmoid_binary_cross_entropy(logits, labels.astype(logits.dtype))


def soft_binary_cross_entropy(logits, labels, fn, fp):
    return sigmoid_losses(logits, fn * labels, fp * (1 - labels))


def binary_cross_entropy(logits, labels, *_):
    return optax.sigmoid_binary_cross_entropy(logits, labels.astype(logits.dtype))


# --- The losses, one per example ------------------------------------------------------------------


def binary(logits, labels, fn, fp):
    return rwwce.binary(logits, labels, fn, fp, reduction="none")


def categorical(logits, labels, fn, fp):
    return rwwce.categorical(logits, labels, fn, fp, reduction="none")


vmapped = jax.vmap(categorical)


def without_fp(logits, labels, fn, _):
    """False positives that are known to be free while tracing have a kernel of their own."""
    return rwwce.categorical(logits, labels, fn, 0, reduction="none")


# --- What is drawn --------------------------------------------------------------------------------


class Problem(NamedTuple):
    """Logits, labels of both kinds, and costs, all of them exact in float32."""

    logits: np.ndarray
    labels: np.ndarray
    probs: np.ndarray
    fn: np.ndarray
    fp: np.ndarray


def integers(shape, low, high):
    return hnp.arrays(np.int64, shape, elements=st.integers(low, high), fill=st.nothing())


def logits_of(shape):
    """Logits up to 2, 31 or 250: never certain, sometimes, nearly always. The first often tie."""
    return st.builds(
        np.multiply, integers(shape, -2000, 2000), st.sampled_from([2.0**-10, 2.0**-6, 2.0**-3])
    )


def costs_of(shape):
    return integers(shape, 0, 8).map(lambda quarters: quarters / 4)


def probabilities_between(cuts):
    return np.diff(np.sort(cuts, axis=-1), prepend=0, append=8) / 8


problems = st.builds(
    Problem,
    logits_of((B, K)),
    integers(B, 0, K - 1),
    integers((B, K - 1), 0, 8).map(probabilities_between),
    costs_of(K),
    costs_of((K, K)),
)
pairs = st.builds(
    Problem,
    logits_of((B, 2)),
    integers(B, 0, 1),
    integers((B, 1), 0, 8).map(probabilities_between),
    costs_of(2),
    costs_of((2, 2)),
)
binary_problems = st.builds(
    Problem,
    logits_of(B),
    integers(B, 0, 1),
    integers(B, 0, 8).map(lambda eighths: eighths / 8),
    costs_of(B),
    costs_of(B),
)


def holds_for(strategy, dtypes=("float32", "float64"), **more):
    """Runs a test on what is drawn, in single and in double precision."""

    def decorate(test):
        @pytest.mark.parametrize("dtype", dtypes)
        @hypothesis.settings(max_examples=40)
        @hypothesis.given(problem=strategy, drawn=st.fixed_dictionaries(more))
        def run(dtype, problem, drawn):
            def cast(x):
                return x.astype(dtype) if np.asarray(x).dtype.kind == "f" else x

            with jax.enable_x64(dtype == "float64"):
                test(Problem(*map(cast, problem)), **jax.tree.map(cast, drawn))

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return decorate


# Where the shapes matter and not the numbers.
SINGLE = ("float32",)


# --- How it is compared ---------------------------------------------------------------------------


def quarters(shape, dtype):
    """Weights for the sum of the losses: different ones, so that no example passes for another."""
    return (1 + np.arange(np.prod(shape, dtype=int))).reshape(shape).astype(dtype) / 4


@functools.cache
def differentiated(loss):
    """Losses, and the gradients of a weighted sum of them, by logits, by fn and by fp."""

    @jax.jit
    def run(weights, logits, labels, fn, fp, *rest):
        losses, pull = jax.vjp(lambda z, fn, fp: loss(z, labels, fn, fp, *rest), logits, fn, fp)
        return losses, *pull(weights)

    def with_weights(logits, *rest, weights=None):
        if weights is None:
            examples = logits.shape if logits.ndim == 1 else logits.shape[:-1]
            weights = quarters(examples, "float64" if logits.dtype == "float64" else "float32")
        return tuple(map(np.asarray, run(weights, logits, *rest)))

    return with_weights


def unit_of(logits, *costs):
    """For each example, what an error is relative to."""
    largest = np.abs(logits) if logits.ndim == 1 else np.abs(logits).max(axis=-1)
    return (1 + sum(np.sum(cost) for cost in costs)) * (1 + largest)


def assert_same(actual, expected, unit, times=1):
    """Compares the losses, the gradients by logits, and as many of those by costs as are given."""
    dtype = actual[0].dtype
    assert all(x.dtype == dtype for x in actual)
    tolerance = times * TOLERANCE[str(dtype)] * unit
    weighted = tolerance * quarters(unit.shape, dtype)
    per_logit = weighted.reshape(weighted.shape + (1,) * (actual[1].ndim - weighted.ndim))
    tolerances = (tolerance, per_logit, *[weighted.sum()] * len(actual[2:]))
    for x, y, allowed in zip(actual, expected, tolerances, strict=True):
        assert_within(x, y, allowed)


def assert_within(actual, expected, allowed):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    error = np.abs(actual - expected)
    assert np.all(error <= allowed), (actual, expected, np.max(error / allowed))


# --- Equal to Optax's losses ----------------------------------------------------------------------


@holds_for(binary_problems)
def test_binary_is_weighted_binary_cross_entropy(problem):
    logits, labels, probs, fn, fp = problem
    unit = unit_of(logits, fn, fp)
    for truth, oracle in (
        (labels, weighted_binary_cross_entropy),
        (probs, soft_binary_cross_entropy),
    ):
        actual = differentiated(binary)(logits, truth, fn, fp)
        assert_same(actual, differentiated(oracle)(logits, truth, fn, fp), unit)
    exact = differentiated(weighted_binary_cross_entropy)(logits, labels, fn, fp)
    rtol = 4 * TOLERANCE[str(logits.dtype)]
    for x, y in zip(differentiated(binary)(logits, labels, fn, fp), exact, strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol)  # nothing cancels: small losses are as exact


@holds_for(binary_problems)
def test_binary_with_scalar_costs(problem):
    logits, labels, _, fn, fp = problem
    actual = differentiated(binary)(logits, labels, fn[0], fp[0])
    oracle = differentiated(weighted_binary_cross_entropy)
    assert_same(actual, oracle(logits, labels, fn[0], fp[0]), unit_of(logits, fn, fp))


@holds_for(binary_problems)
def test_binary_at_unit_costs_is_binary_cross_entropy(problem):
    logits, labels, probs, *_ = problem
    ones = np.ones(B, logits.dtype)
    for truth in (labels, probs):
        actual = differentiated(binary)(logits, truth, ones, ones)[:2]
        oracle = differentiated(binary_cross_entropy)
        assert_same(actual, oracle(logits, truth, ones, ones)[:2], unit_of(logits, 1))


@holds_for(problems)
def test_categorical_without_fp_is_class_weighted_cross_entropy(problem):
    logits, labels, probs, fn, fp = problem
    unit = unit_of(logits, fn)
    for truth in (labels, probs):
        expected = differentiated(class_weighted_cross_entropy)(logits, truth, fn, fp)[:3]
        for loss, free in (
            (without_fp, fp),
            (categorical, np.zeros_like(fp)),
            (categorical, np.zeros_like(fp[0, 0])),
        ):
            assert_same(differentiated(loss)(logits, truth, fn, free)[:3], expected, unit)


@holds_for(problems)
def test_categorical_at_fn_1_and_fp_0_is_cross_entropy(problem):
    logits, labels, probs, *_ = problem
    ones, zeros = np.ones(K, logits.dtype), np.zeros((K, K), logits.dtype)
    for truth in (labels, probs):
        expected = differentiated(cross_entropy)(logits, truth, ones, zeros)[:2]
        for loss in (without_fp, categorical):
            actual = differentiated(loss)(logits, truth, ones, zeros)[:2]
            assert_same(actual, expected, unit_of(logits, 1))


@holds_for(problems)
def test_categorical_at_unit_costs_is_binary_cross_entropy_on_the_softmax(problem):
    logits, labels, probs, *_ = problem
    ones, matrix = np.ones(K, logits.dtype), np.ones((K, K), logits.dtype)
    for truth in (labels, probs):
        oracle = differentiated(binary_cross_entropy_on_the_softmax)
        expected = oracle(logits, truth, ones, matrix)[:2]
        for fp in (matrix, matrix[0, 0]):
            actual = differentiated(categorical)(logits, truth, ones, fp)[:2]
            assert_same(actual, expected, unit_of(logits, K))


@holds_for(problems)
def test_categorical_is_equation_6(problem):
    logits, labels, probs, fn, fp = problem
    for truth in (labels, probs):
        for fp_costs in (fp, fp[0, 0]):
            actual = differentiated(categorical)(logits, truth, fn, fp_costs)
            expected = differentiated(equation_6)(logits, truth, fn, fp_costs)
            assert_same(actual, expected, unit_of(logits, fn, fp))


@holds_for(pairs)
def test_two_classes_are_weighted_binary_cross_entropy(problem):
    logits, labels, _, fn, fp = problem
    actual = differentiated(categorical)(logits, labels, fn, fp)
    expected = differentiated(binary_cross_entropy_of_the_difference)(logits, labels, fn, fp)
    assert_same(actual, expected, unit_of(logits, fn, fp))


# --- Labels and costs given in another way --------------------------------------------------------


@holds_for(problems)
def test_class_ids_are_one_hot_labels(problem):
    logits, labels, _, fn, fp = problem
    one_hot = np.eye(K, dtype=logits.dtype)[labels]
    for fp_costs in (fp, fp[0, 0]):
        by_ids = differentiated(categorical)(logits, labels, fn, fp_costs)
        by_one_hot = differentiated(categorical)(logits, one_hot, fn, fp_costs)
        assert_same(by_one_hot, by_ids, unit_of(logits, fn, fp))
    by_one_hot = differentiated(categorical)(logits, one_hot, fn, fp)
    by_booleans = differentiated(categorical)(logits, one_hot.astype(bool), fn, fp)
    for x, y in zip(by_booleans, by_one_hot, strict=True):
        np.testing.assert_array_equal(x, y)


@holds_for(problems)
def test_probabilities_mix_the_losses_of_the_ids(problem):
    """Value and gradients are the mean over labels that are drawn with these probabilities."""
    logits, _, probs, fn, fp = problem
    for fp_costs in (fp, fp[0, 0]):
        mixture = [0, 0, 0, 0]
        for k in range(K):
            weights = probs[:, k] * quarters(B, logits.dtype)
            ids = np.full(B, k)
            of_class = differentiated(categorical)(logits, ids, fn, fp_costs, weights=weights)
            mixture[0] += probs[:, k] * of_class[0]
            mixture[1:] = [x + y for x, y in zip(mixture[1:], of_class[1:], strict=True)]
        actual = differentiated(categorical)(logits, probs, fn, fp_costs)
        assert_same(actual, mixture, unit_of(logits, fn, fp))


def test_probabilities_too_small_to_change_1_count():
    """Of a label that is all but certain, the rest decides what its false positives cost."""
    logits, probs = np.float32([30, 0, 0, 0]), np.float32([1, 1e-12, 0, 0])
    loss = rwwce.categorical(logits, probs, fn=0.0, fp=1e6)
    np.testing.assert_allclose(loss, 1e-6 * (30 - np.log(3)) + 3e6 * np.exp(-30.0), rtol=1e-5)


@holds_for(problems, SINGLE)
def test_scalar_costs_are_those_of_every_class(problem):
    logits, labels, probs, fn, fp = problem
    for truth in (labels, probs):
        losses, by_logits, by_fn, by_fp = differentiated(categorical)(
            logits, truth, np.full(K, fn[0]), np.full((K, K), fp[0, 0])
        )
        actual = differentiated(categorical)(logits, truth, fn[0], fp[0, 0])
        expected = (losses, by_logits, by_fn.sum(), by_fp.sum())
        assert_same(actual, expected, unit_of(logits, fn, fp))


@holds_for(problems, SINGLE, fn=costs_of((B, K)), fp=costs_of((B, K, K)))
def test_vmap_over_the_costs_of_each_example_is_a_loop(problem, fn, fp):
    """Each time of the loop takes an example without a batch."""
    logits, labels, probs, *_ = problem
    for truth in (labels, probs):
        losses, by_logits, by_fn, by_fp = differentiated(vmapped)(logits, truth, fn, fp)
        for i, weight in enumerate(quarters(B, logits.dtype)):
            expected = differentiated(categorical)(
                logits[i], truth[i], fn[i], fp[i], weights=np.asarray(weight)
            )
            actual = (losses[i], by_logits[i], by_fn[i], by_fp[i])
            allowed = 2 * B * TOLERANCE[str(logits.dtype)] * unit_of(logits, fn[i], fp[i])[i]
            for x, y in zip(actual, expected, strict=True):
                assert_within(x, y, allowed)


@holds_for(binary_problems, SINGLE)
def test_binary_costs_of_each_example_are_a_loop(problem):
    logits, labels, probs, fn, fp = problem
    rtol = 4 * TOLERANCE[str(logits.dtype)]
    for truth in (labels, probs):
        actual = differentiated(binary)(logits, truth, fn, fp)
        for i, weight in enumerate(quarters(B, logits.dtype)):
            expected = one_binary(np.asarray(weight), logits[i], truth[i], fn[i], fp[i])
            for x, y in zip(actual, expected, strict=True):
                np.testing.assert_allclose(x[i], y, rtol=rtol, atol=rtol)


@jax.jit
def one_binary(weight, logit, label, fn, fp):
    loss, pull = jax.vjp(lambda z, fn, fp: binary(z, label, fn, fp), logit, fn, fp)
    return loss, *pull(weight)


# --- Masks, repetition and reductions -------------------------------------------------------------


def masked(logits, labels, fn, fp, where):
    return rwwce.categorical(logits, labels, fn, fp, where=where, reduction="none")


def masked_without_fp(logits, labels, fn, _, where):
    return rwwce.categorical(logits, labels, fn, 0, where=where, reduction="none")


def masked_binary(logits, labels, fn, fp, where):
    return rwwce.binary(logits, labels, fn, fp, where=where, reduction="none")


ORDERS = {"order": st.permutations(range(B)).map(np.array)}


@holds_for(problems, **ORDERS)
def test_masked_examples_are_dropped_ones(problem, order):
    """Dropped means: with the losses and gradients of the others alone."""
    logits, labels, probs, fn, fp = problem
    dropped = order[4:]
    where = ~np.isin(np.arange(B), dropped)
    kept_weights = np.where(where, quarters(B, logits.dtype), 0)
    spoilt = logits.copy()
    spoilt[dropped] = [[np.nan] * K, [np.inf, -np.inf, 0, 0]]
    for truth, garbage in ((labels, [-1, K]), (probs, [[np.nan] * K, [-1] * K])):
        spoilt_truth = truth.copy()
        spoilt_truth[dropped] = garbage
        for loss, with_mask in ((categorical, masked), (without_fp, masked_without_fp)):
            losses, *gradients = differentiated(loss)(logits, truth, fn, fp, weights=kept_weights)
            expected = (np.where(where, losses, 0), *gradients)
            actual = differentiated(with_mask)(spoilt, spoilt_truth, fn, fp, where)
            assert_same(actual, expected, unit_of(logits, fn, fp))
            np.testing.assert_array_equal(actual[0][dropped], 0)
            np.testing.assert_array_equal(actual[1][dropped], 0)


@holds_for(binary_problems, **ORDERS)
def test_masked_binary_examples_are_dropped_ones(problem, order):
    logits, labels, _, fn, fp = problem
    dropped = order[4:]
    where = ~np.isin(np.arange(B), dropped)
    spoilt = [x.copy() for x in (logits, labels, fn, fp)]
    for x, garbage in zip(spoilt, (np.nan, -1, np.inf, np.nan), strict=True):
        x[dropped] = garbage
    expected = differentiated(binary)(logits, labels, fn, fp)
    for x, y in zip(differentiated(masked_binary)(*spoilt, where), expected, strict=True):
        np.testing.assert_array_equal(x[dropped], 0)
        np.testing.assert_allclose(x[where], y[where], rtol=4 * TOLERANCE[str(logits.dtype)])


@functools.partial(jax.jit, static_argnums=0)
def totals(loss, logits, labels, fn, fp, where):
    def total(reduction):
        return jax.value_and_grad(loss)(logits, labels, fn, fp, where=where, reduction=reduction)

    return total("sum"), total("mean")


@holds_for(problems, selected=integers(B, 0, 1))
def test_sum_and_mean_are_those_of_the_losses(problem, selected):
    """The mean divides by the number of what is selected, never by a sum of weights."""
    logits, labels, probs, fn, fp = problem
    where = selected == 1
    ones = np.ones(B, logits.dtype)
    count = np.asarray(max(where.sum(), 1), logits.dtype)
    allowed = TOLERANCE[str(logits.dtype)] * unit_of(logits, fn, fp).sum()
    for truth in (labels, probs):
        losses, by_logits, *_ = differentiated(masked)(logits, truth, fn, fp, where, weights=ones)
        (total, of_total), (mean, of_mean) = totals(rwwce.categorical, logits, truth, fn, fp, where)
        assert_within(total, np.sum(losses, dtype=logits.dtype), allowed)
        assert_within(of_total, by_logits, allowed)
        assert_within(mean, total / count, allowed)
        assert_within(of_mean, of_total / count, allowed)
        (total, _), (mean, of_mean) = totals(rwwce.categorical, logits, truth, fn, fp, None)
        losses, by_logits, *_ = differentiated(categorical)(logits, truth, fn, fp, weights=ones)
        assert_within(total, np.sum(losses, dtype=logits.dtype), allowed)
        assert_within(mean, total / B, allowed)
        assert_within(of_mean, by_logits / B, allowed)


@holds_for(binary_problems, selected=integers(B, 0, 1))
def test_sum_and_mean_are_those_of_the_binary_losses(problem, selected):
    logits, labels, _, fn, fp = problem
    where = selected == 1
    count = np.asarray(max(where.sum(), 1), logits.dtype)
    losses, *_ = differentiated(masked_binary)(logits, labels, fn, fp, where)
    (total, of_total), (mean, of_mean) = totals(rwwce.binary, logits, labels, fn, fp, where)
    allowed = TOLERANCE[str(logits.dtype)] * unit_of(logits, fn, fp).sum()
    assert_within(total, np.sum(losses, dtype=logits.dtype), allowed)
    assert_within(mean, total / count, allowed)
    assert_within(of_mean, of_total / count, allowed)


@jax.jit
def repeated(logits, labels, fn, fp, rows, where):
    def total(logits):
        return rwwce.categorical(logits[rows], labels[rows], fn, fp, where=where, reduction="sum")

    return jax.value_and_grad(total)(logits)


@holds_for(problems, SINGLE, counts=integers(K, 0, 3))
def test_integer_costs_repeat_examples(problem, counts):
    logits, labels, _, fn, fp = problem
    rows = np.repeat(np.arange(B), counts[labels])
    where = np.arange(3 * B) < rows.size
    padded = np.concatenate([rows, np.zeros(3 * B - rows.size, int)])
    value, gradient = repeated(logits, labels, fn, fp, padded, where)
    times = counts.astype(logits.dtype)
    losses, by_logits, *_ = differentiated(categorical)(
        logits, labels, times * fn, times[:, None] * fp, weights=np.ones(B, logits.dtype)
    )
    allowed = TOLERANCE[str(logits.dtype)] * unit_of(logits, 3 * fn, 3 * fp).sum()
    assert_within(np.sum(losses, dtype=logits.dtype), value, allowed)
    assert_within(by_logits, gradient, allowed)

    ones, zeros = np.ones(K, logits.dtype), np.zeros((K, K), logits.dtype)
    once = differentiated(cross_entropy)(logits, labels, ones, zeros)[0]
    assert_within(
        rwwce.categorical(logits, labels, counts, 0, reduction="sum"),
        np.sum(once[rows], dtype=logits.dtype),
        TOLERANCE[str(logits.dtype)] * unit_of(logits, counts).sum(),
    )


# --- What must change nothing, or only the scale --------------------------------------------------


@holds_for(problems, order=st.permutations(range(K)).map(np.array))
def test_permuting_the_classes(problem, order):
    logits, labels, probs, fn, fp = problem
    place = np.argsort(order)
    both = np.ix_(order, order)
    for truth, permuted in ((labels, place[labels]), (probs, probs[:, order])):
        losses, by_logits, by_fn, by_fp = differentiated(categorical)(logits, truth, fn, fp)
        actual = differentiated(categorical)(logits[:, order], permuted, fn[order], fp[both])
        expected = (losses, by_logits[:, order], by_fn[order], by_fp[both])
        assert_same(actual, expected, unit_of(logits, fn, fp))


@holds_for(problems, **ORDERS)
def test_permuting_the_examples(problem, order):
    logits, labels, _, fn, fp = problem
    weights = quarters(B, logits.dtype)
    losses, by_logits, *_ = differentiated(categorical)(logits, labels, fn, fp, weights=weights)
    actual = differentiated(categorical)(
        logits[order], labels[order], fn, fp, weights=weights[order]
    )
    np.testing.assert_array_equal(actual[0], losses[order])
    np.testing.assert_array_equal(actual[1], by_logits[order])


@holds_for(problems, offsets=integers((B, 1), -(2**9), 2**9))
def test_shifting_the_logits_changes_nothing(problem, offsets):
    logits, labels, probs, fn, fp = problem
    shifted = logits + offsets.astype(logits.dtype)
    np.testing.assert_array_equal(shifted - offsets, logits)
    for truth in (labels, probs):
        for loss in (categorical, without_fp):
            expected = differentiated(loss)(logits, truth, fn, fp)
            for x, y in zip(differentiated(loss)(shifted, truth, fn, fp), expected, strict=True):
                np.testing.assert_array_equal(x, y)
            allowed = TOLERANCE[str(logits.dtype)] * unit_of(logits, fn, fp) * B
            assert_within(np.sum(expected[1], axis=-1), np.zeros(B), allowed)


@holds_for(problems, power=st.integers(-9, 9))
def test_scaling_the_costs_scales_the_loss(problem, power):
    logits, labels, probs, fn, fp = problem
    scale = np.asarray(2.0**power, logits.dtype)
    for truth in (labels, probs):
        for loss in (categorical, without_fp):
            losses, by_logits, *by_costs = differentiated(loss)(logits, truth, fn, fp)
            actual = differentiated(loss)(logits, truth, scale * fn, scale * fp)
            expected = (scale * losses, scale * by_logits, *by_costs)
            subnormal = 2.0**20 * np.finfo(logits.dtype).tiny  # may be flushed to zero
            for x, y in zip(actual, expected, strict=True):
                np.testing.assert_allclose(x, y, rtol=0, atol=subnormal)


@holds_for(problems)
def test_the_loss_is_its_costs_times_its_gradients_by_them(problem):
    logits, labels, probs, fn, fp = problem
    for truth in (labels, probs):
        losses, _, by_fn, by_fp = differentiated(categorical)(logits, truth, fn, fp)
        total = np.sum(losses * quarters(B, logits.dtype), dtype=logits.dtype)
        allowed = B * TOLERANCE[str(logits.dtype)] * unit_of(logits, fn, fp).sum()
        assert_within(np.sum(fn * by_fn) + np.sum(fp * by_fp), total, allowed)
        np.testing.assert_array_equal(np.diag(by_fp), 0)
        assert np.all(losses >= 0)


# --- Shapes ---------------------------------------------------------------------------------------


@holds_for(problems, SINGLE)
def test_more_batch_dimensions(problem):
    logits, labels, probs, fn, fp = problem
    for truth in (labels, probs):
        expected = differentiated(categorical)(logits, truth, fn, fp)
        losses, by_logits, *by_costs = differentiated(categorical)(
            logits.reshape(2, 3, K), truth.reshape(2, 3, *truth.shape[1:]), fn, fp
        )
        assert losses.shape == (2, 3)
        actual = (losses.ravel(), by_logits.reshape(B, K), *by_costs)
        assert_same(actual, expected, unit_of(logits, fn, fp))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_axis_is_moveaxis(axis):
    rng = np.random.default_rng(0)
    fp = rng.random((3, 3)).astype(np.float32)
    logits = rng.normal(size=(2, 5, 3)).astype(np.float32)
    fn = np.float32([0.5, 1.0, 2.0])
    where = rng.random((2, 5)) < 0.7
    for truth in (rng.integers(0, 3, (2, 5)), np.float32(rng.dirichlet([1, 1, 1], (2, 5)))):
        moved_truth = truth if truth.ndim == 2 else np.moveaxis(truth, -1, axis)
        loss = jax.value_and_grad(rwwce.categorical)
        value, gradient = loss(logits, truth, fn, fp, where=where)
        moved = np.moveaxis(logits, -1, axis)
        moved_value, moved_gradient = loss(moved, moved_truth, fn, fp, axis=axis, where=where)
        np.testing.assert_array_equal(moved_value, value)
        np.testing.assert_array_equal(np.moveaxis(moved_gradient, axis, -1), gradient)


LARGE = 4200


@pytest.mark.parametrize("kind", ["ids", "probabilities"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_batches(dtype, kind):
    """Large arrays are summed, and rescued from underflow, in another way than small ones."""
    rng = np.random.default_rng(0)
    with jax.enable_x64(dtype == "float64"):
        truth = rng.integers(0, K, LARGE)
        if kind == "probabilities":
            truth = rng.dirichlet(np.ones(K), LARGE).astype(dtype)
        fn, fp = rng.random(K).astype(dtype), rng.random((K, K)).astype(dtype)
        for scale in (1, 1000):  # nothing underflows, or many rows do
            logits = rng.uniform(-4, 4, size=(LARGE, K)).astype(dtype) * scale
            assert not arithmetic.is_small(logits)
            expected = differentiated(equation_6)(logits, truth, fn, fp)
            actual = differentiated(categorical)(logits, truth, fn, fp)
            assert_same(actual, expected, unit_of(logits, fn, fp), times=4)
            if kind == "ids":
                expected = differentiated(class_weighted_cross_entropy)(logits, truth, fn, fp)[:3]
                actual = differentiated(without_fp)(logits, truth, fn, fp)[:3]
                assert_same(actual, expected, unit_of(logits, fn), times=4)


# --- Kinds of numbers -----------------------------------------------------------------------------

FORMS = {
    "Python numbers": lambda cost: np.asarray(cost).tolist(),
    "NumPy integers": np.asarray,
    "small NumPy integers": lambda cost: np.asarray(cost, np.int8),
    "NumPy doubles": lambda cost: np.asarray(cost, np.float64),
    "JAX integers": jnp.asarray,
    "JAX floats": lambda cost: jnp.asarray(cost, jnp.float32),
    "JAX half precision": lambda cost: jnp.asarray(cost, jnp.bfloat16),
    "lists of JAX scalars": lambda cost: jax.tree.map(jnp.float32, np.asarray(cost).tolist()),
}
MATRIX = [[0, 2, 3], [5, 0, 7], [11, 13, 0]]
CASES = {
    "categorical, scalar": (rwwce.categorical, (2, 3)),
    "categorical, dense": (rwwce.categorical, ([1, 2, 3], MATRIX)),
    "categorical, no fp": (rwwce.categorical, ([1, 2, 3], 0)),
    "binary, scalar": (rwwce.binary, (2, 3)),
    "binary, each its own": (rwwce.binary, ([2, 3], [5, 7])),
}


def value_and_gradient(loss, dtype, costs):
    logits, labels = np.array([[0.5, -1, 2], [3, 0, 1]], dtype), np.array([1, 0])
    scores = logits if loss is rwwce.categorical else logits[:, 0]
    return jax.value_and_grad(loss)(scores, labels, *costs)


def check_costs_given_as(dtype, case, actual):
    loss, costs = CASES[case]
    expected = value_and_gradient(loss, dtype, [np.asarray(cost, dtype) for cost in costs])
    for x, y in zip(actual, expected, strict=True):
        assert x.dtype == dtype
        np.testing.assert_allclose(x, y, rtol=4 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("case", CASES)
def test_costs_of_every_kind(case, form, dtype):
    loss, costs = CASES[case]
    with jax.enable_x64(dtype == "float64"):
        actual = value_and_gradient(loss, dtype, [form(cost) for cost in costs])
        check_costs_given_as(dtype, case, actual)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
@pytest.mark.parametrize("case", CASES)
def test_traced_costs(case, kind):
    loss, costs = CASES[case]
    traced = jax.jit(lambda *costs: value_and_gradient(loss, "float32", costs))
    check_costs_given_as("float32", case, traced(*(np.asarray(cost, kind) for cost in costs)))


@pytest.mark.parametrize("case", CASES)
def test_traced_costs_inside_of_lists(case):
    loss, costs = CASES[case]

    @jax.jit
    def traced(one):
        given = jax.tree.map(lambda cost: cost * one, costs)
        return value_and_gradient(loss, "float32", given)

    check_costs_given_as("float32", case, traced(1.0))


@pytest.mark.parametrize("half", [jnp.float16, jnp.bfloat16])
@hypothesis.settings(max_examples=40)
@hypothesis.given(problem=problems)
def test_half_precision_is_single_precision_at_the_ends(half, problem):
    labels, fn, fp = problem.labels, np.float32(problem.fn), np.float32(problem.fp)
    logits = jnp.asarray(problem.logits, half)
    losses, gradient, *_ = differentiated(categorical)(logits, labels, fn, fp)
    single = np.asarray(logits.astype(jnp.float32))
    exact, exact_gradient, *_ = differentiated(categorical)(single, labels, fn, fp)
    assert losses.dtype == jnp.float32
    assert gradient.dtype == half
    np.testing.assert_array_equal(losses, exact)
    np.testing.assert_array_equal(gradient, exact_gradient.astype(half))


# --- JAX's transformations ------------------------------------------------------------------------


def test_nested_transformations():
    """The gradient of a model is the same through jit in jit, checkpoints and scans."""
    fn, fp = np.float32([1, 2, 3, 4]), np.float32(DENSE)
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.normal(size=(12, 5)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, K, 12), jnp.int32)
    weights = jnp.asarray(3 * rng.normal(size=(5, K)), jnp.float32)
    batches = (inputs.reshape(4, 3, 5), labels.reshape(4, 3))

    def loss(weights, inputs, labels):
        return rwwce.categorical(jnp.tanh(inputs @ weights), labels, fn, fp, reduction="sum")

    def oracle(weights):
        return jnp.sum(equation_6(jnp.tanh(inputs @ weights), labels, fn, fp))

    def gradients_added(weights):
        def add(total, batch):
            return jax.tree.map(jnp.add, total, jax.value_and_grad(loss)(weights, *batch)), None

        return jax.lax.scan(add, (jnp.float32(0), jnp.zeros_like(weights)), batches)[0]

    def losses_added(weights):
        @jax.checkpoint
        def add(total, batch):
            return total + loss(weights, *batch), None

        return jax.lax.scan(add, jnp.float32(0), batches)[0]

    jit, both = jax.jit, jax.value_and_grad
    ways = {
        "eager": both(loss)(weights, inputs, labels),
        "jit in jit": jit(jit(both(jit(loss))))(weights, inputs, labels),
        "checkpoint": jit(both(jax.checkpoint(loss)))(weights, inputs, labels),
        "gradients added in a scan": jit(gradients_added)(weights),
        "gradient of a scan": jit(both(losses_added))(weights),
    }
    expected = both(oracle)(weights)
    for way, actual in ways.items():
        for x, y in zip(actual, expected, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5, err_msg=way)


# --- Derivatives of the gradient and by the costs, in double precision ----------------------------

# The label is class 0.
POINTS = {
    "ordinary": [0.3, -1.0, 2.0, 0.5],
    "the label on top": [20.0, 0.0, 0.3, -1.0],
    "the label below": [0.0, 20.0, 0.3, -1.0],
    "a near-tie": [1.0, 1.0001, 0.2, 0.0],
    "a tie": [1.0, 1.0, 0.2, 0.0],
    "a tie below": [0.2, 1.0, 1.0, 0.0],
    "a probability near 1/2": [1.09861, 0.0, 0.0, 0.0],
    "the label 60 on top": [60.0, 0.0, 1.0, 2.0],
    "the label 60 below": [0.0, 60.0, 1.0, 2.0],
    "the label 800 on top": [800.0, 0.0, 1.0, 2.0],
    "the label 800 below": [0.0, 800.0, 1.0, 2.0],
    "the label 1e4 below": [0.0, 1e4, 1.0, 2.0],
    "two 800 on top": [0.0, 800.0, 800.0, 1.0],
}
FN = np.array([0.5, 2.0, 1.0, 3.0])
DENSE = np.array([[0, 0, 2.5, 1], [1, 0, 0, 2], [3, 0.5, 0, 1], [0.25, 4, 2, 0]])
LABELS = {"ids": np.array(0), "probabilities": np.array([0.6, 0.2, 0.1, 0.1])}
COSTS = {"no fp": np.array(0.0), "scalar": np.array(1.5), "dense": DENSE}
DENSE_AND_NO_FP = pytest.mark.parametrize(
    ("kind", "costs"), [("ids", "no fp"), ("ids", "dense"), ("probabilities", "dense")]
)


def loss_and_arguments(kind, costs):
    """A loss of one example, what it takes after the logits, and the arguments to derive by."""
    loss = without_fp if costs == "no fp" else categorical
    by = (0, 2) if costs == "no fp" else (0, 2, 3)
    return loss, (LABELS[kind], FN, COSTS[costs]), by


def assert_close(actual, expected, message):
    """The oracle is exact to an ulp of the costs, which is more than a small derivative is."""
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-13, err_msg=message)


@functools.cache
def hessian_of_equation_6(by):
    return jax.jit(jax.hessian(equation_6, by))


def check_hessian(kind, costs, outer, inner):
    """All blocks: by logits, by costs and the mixed ones, zero costs and far gaps included."""
    loss, rest, by = loss_and_arguments(kind, costs)
    hessian = jax.jit(outer(inner(loss, by), by))
    for point, logits in POINTS.items():
        expected = hessian_of_equation_6(by)(np.array(logits), *rest)
        assert_close(hessian(np.array(logits), *rest), expected, point)


@pytest.mark.parametrize(
    ("kind", "costs"), [*itertools.product(["ids"], COSTS), ("probabilities", "dense")]
)
def test_hessian(kind, costs, x64):
    check_hessian(kind, costs, jax.jacfwd, jax.jacrev)


@DENSE_AND_NO_FP
def test_reverse_over_reverse(kind, costs, x64):
    check_hessian(kind, costs, jax.jacrev, jax.jacrev)


@DENSE_AND_NO_FP
def test_forward_over_forward(kind, costs, x64):
    check_hessian(kind, costs, jax.jacfwd, jax.jacfwd)


@DENSE_AND_NO_FP
def test_the_value_that_comes_with_a_gradient_can_be_differentiated(kind, costs, x64):
    """A custom derivative returns the value too, of which the next derivative is taken."""
    loss, (label, *rest), by = loss_and_arguments(kind, costs)
    positions = tuple(range(len(by)))

    def value(logits, *costs):
        return jax.value_and_grad(loss, by)(logits, label, *(costs or rest), *rest[len(costs) :])[0]

    arguments = rest[: len(by) - 1]
    reverse, forward = (jax.jit(way(value, positions)) for way in (jax.grad, jax.jacfwd))
    oracle = jax.jit(jax.grad(equation_6, by))
    for point, logits in POINTS.items():
        expected = oracle(np.array(logits), label, *rest)
        assert_close(reverse(np.array(logits), *arguments), expected, point)
        assert_close(forward(np.array(logits), *arguments), expected, point)


def test_gradient_penalty(x64):
    """A loss that uses both the value and the gradient of ours, differentiated by the logits."""

    def penalised(loss, logits):
        value, gradient = jax.value_and_grad(loss)(logits, LABELS["ids"], FN, DENSE)
        return value + 0.1 * jnp.sum(gradient**2)

    slope = jax.jit(jax.grad(penalised, 1), static_argnums=0)
    for point, logits in POINTS.items():
        expected = slope(equation_6, np.array(logits))
        assert_close(slope(categorical, np.array(logits)), expected, point)


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_finite_differences(mode, x64):
    """Of all losses in one compiled function: first and second derivatives by all arguments.

    Away from ties and from costs of zero, which a finite difference would step over.
    """
    points = ["ordinary", "the label on top", "the label below", "a near-tie"]
    logits = np.array([POINTS[point] for point in points])
    ids, probs = (np.stack([labels] * len(points)) for labels in LABELS.values())
    scalar = np.array(1.5)

    @jax.jit
    def losses(logits, fn, fp, scalar):
        return [
            rwwce.categorical(logits, ids, fn, fp),
            rwwce.categorical(logits, ids, scalar, scalar),
            rwwce.categorical(logits, ids, fn, 0),
            rwwce.categorical(logits, probs, fn, fp),
            rwwce.categorical(logits, probs, fn, scalar),
            rwwce.binary(logits / 2, probs, fn[None], scalar),
        ]

    arguments = (logits, FN, DENSE + 0.5, scalar)
    check_grads(losses, arguments, order=2, modes=(mode,), atol=1e-7, rtol=1e-7)


def test_binary_second_derivatives(x64):
    logits = np.array([0.3, -2.0, 20.0, -20.0, 60.0, -800.0, 0.0])
    axes, by = (0, 0, None, None), (0, 2, 3)
    oracle = jax.jit(jax.vmap(jax.hessian(soft_binary_cross_entropy, by), axes))
    hessian = jax.jit(jax.vmap(jax.hessian(binary, by), axes))
    reverse = jax.jit(jax.vmap(jax.jacrev(jax.jacrev(binary, by), by), axes))
    for labels in (np.zeros(7), np.ones(7), np.full(7, 0.25)):
        expected = oracle(logits, labels, 2.0, 3.0)
        assert_close(hessian(logits, labels, 2.0, 3.0), expected, "forward over reverse")
        assert_close(reverse(logits, labels, 2.0, 3.0), expected, "reverse over reverse")


@DENSE_AND_NO_FP
def test_hessian_of_large_batches(kind, costs, x64):
    """Its product with a vector, where underflow is rescued under a condition."""
    rng = np.random.default_rng(0)
    loss, (label, *rest), _ = loss_and_arguments(kind, costs)
    labels = np.stack([label] * LARGE)
    direction = rng.normal(size=(LARGE, K))

    @functools.partial(jax.jit, static_argnums=0)
    def products(loss, logits):
        gradient = jax.grad(lambda z: jnp.sum(loss(z, labels, *rest)))
        forward = jax.jvp(gradient, (logits,), (direction,))[1]
        return forward, jax.grad(lambda z: jnp.vdot(gradient(z), direction))(logits)

    for scale in (1.0, 400.0):
        logits = rng.uniform(-4, 4, size=(LARGE, K)) * scale
        assert not arithmetic.is_small(logits)
        assert_close(products(loss, logits), products(equation_6, logits), f"scale {scale}")


@pytest.mark.parametrize("kind", LABELS)
def test_hessian_in_single_precision(kind):
    """No NaN where float32 has long rounded the softmax to 0 and 1."""
    hessian = jax.jit(jax.hessian(categorical))
    for point, logits in POINTS.items():
        single = [np.asarray(x, np.float32) for x in (logits, FN, DENSE)]
        label = LABELS[kind] if kind == "ids" else np.float32(LABELS[kind])
        actual = hessian(single[0], label, *single[1:])
        with jax.enable_x64(True):
            arguments = (np.float64(single[0]), LABELS[kind], FN, DENSE)
            expected = hessian_of_equation_6(0)(*arguments)
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5, err_msg=point)


def test_the_softmax_of_accelerators(x64, monkeypatch):
    """What is compiled for other platforms, here: values, gradients and second derivatives."""

    def oracle(logits, weights, costs):
        return jnp.sum(sigmoid_losses(log_odds(logits), weights, costs), axis=-1)

    def loss(logits, weights, costs):
        return real_world.real_world_loss(logits, None, weights, costs)

    @functools.partial(jax.jit, static_argnums=0)
    def everything(loss, *arguments):
        by = (0, 1, 2)
        gradient = jax.grad(loss, by)
        forward, reverse = jax.jacfwd(gradient, by), jax.jacrev(gradient, by)
        return [way(*arguments) for way in (loss, gradient, forward, reverse)]

    monkeypatch.setattr(real_world, "split_softmax", softmax.fusible_softmax)
    for point, logits in POINTS.items():
        for weights, costs in ((FN, DENSE[0]), ([1.0, 0, 0, 0], DENSE[1]), (FN, np.zeros(K))):
            arguments = (np.array(logits), np.array(weights), np.array(costs))
            assert_close(everything(loss, *arguments), everything(oracle, *arguments), point)


# --- Gradients by the costs of impossible examples ------------------------------------------------


def test_binary_gradients_by_costs_at_infinite_logits():
    """A cost that an example does not pay has no gradient there: 0 * inf is 0."""
    logits = jnp.array([jnp.inf, -jnp.inf, 0.5, -0.5])
    labels, fn, fp = jnp.array([1, 0, 1, 0]), jnp.full(4, 2.0), jnp.full(4, 3.0)
    by_fn, by_fp = jax.grad(rwwce.binary, (2, 3))(logits, labels, fn, fp, reduction="sum")
    softplus = np.log1p(np.exp(-0.5))
    np.testing.assert_allclose(by_fn, [0, 0, softplus, 0], rtol=1e-6)
    np.testing.assert_allclose(by_fp, [0, 0, 0, softplus], rtol=1e-6)


@pytest.mark.parametrize("direction", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_binary_slopes_at_infinite_logits(direction):
    """In forward mode too, where a tangent may be a zero that JAX does not know of."""
    logits = jnp.array([jnp.inf, -jnp.inf, 0.5])
    labels = jnp.array([1, 0, 1])
    tangents = tuple(jnp.full(3, tangent, jnp.float32) for tangent in direction)

    def loss(logits, fn, fp):
        return binary(logits, labels, fn, fp)

    _, slopes = jax.jvp(loss, (logits, jnp.full(3, 2.0), jnp.full(3, 3.0)), tangents)
    below = 1 / (1 + np.exp(0.5))
    expected = {0: -2 * below, 1: np.log1p(np.exp(-0.5)), 2: 0}[direction.index(1)]
    np.testing.assert_allclose(slopes, [0, 0, expected], rtol=1e-6)


@pytest.mark.parametrize("fp", [0, 1.5, np.ones((3, 3), np.float32)], ids=["0", "scalar", "dense"])
def test_an_impossible_label_leaves_the_gradients_by_costs_of_others_alone(fp):
    logits = jnp.array([[0.0, 1, 2], [-jnp.inf, 0, 1], [0, 1, 0]])
    labels = jnp.array([1, 0, 2])

    def outer_two(fn, logits):
        return jnp.sum(rwwce.categorical(logits, labels, fn, fp, reduction="none")[::2])

    fn = jnp.ones(3)
    expected = jax.grad(outer_two)(fn, logits.at[1].set(0))
    np.testing.assert_allclose(jax.grad(outer_two)(fn, logits), expected, rtol=1e-6)
