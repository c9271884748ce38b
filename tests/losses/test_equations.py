"""The losses are Optax's where they coincide, equation 6 everywhere, and change only as it does."""

import jax
import numpy as np
import optax
import pytest
from comparison import (
    TOLERANCE,
    assert_same,
    assert_within,
    binary,
    categorical,
    differentiated,
    quarters,
    unit_of,
    without_fp,
)
from drawn import B, K, binary_problems, holds_for, integers, pairs, problems
from hypothesis import strategies as st
from references import (
    binary_cross_entropy_of_the_difference,
    class_weighted_cross_entropy,
    equation_6,
    soft_binary_cross_entropy,
    weighted_binary_cross_entropy,
)

import rwwce_jax as rwwce


def check(loss, reference, logits, labels, fn, fp, by=4):
    """Compares losses, gradients by logits, and of those by costs as many as make ``by``."""
    actual = differentiated(loss)(logits, labels, fn, fp)[:by]
    expected = differentiated(reference)(logits, labels, fn, fp)[:by]
    assert_same(actual, expected, unit_of(logits, fn, fp))


@holds_for(binary_problems)
def test_binary_is_weighted_binary_cross_entropy(problem):
    logits, labels, probs, fn, fp = problem
    check(binary, weighted_binary_cross_entropy, logits, labels, fn[0], fp[0])
    check(binary, soft_binary_cross_entropy, logits, probs, fn, fp)
    exact = differentiated(weighted_binary_cross_entropy)(logits, labels, fn, fp)
    rtol = 4 * TOLERANCE[str(logits.dtype)]
    for x, y in zip(differentiated(binary)(logits, labels, fn, fp), exact, strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol)  # nothing cancels: small losses are as exact


@holds_for(problems)
def test_categorical_is_equation_6(problem):
    """Without costs of false positives it is Optax's cross-entropy, weighted by class."""
    logits, labels, probs, fn, fp = problem
    for truth in (labels, probs):
        for costs in (fp, fp[0, 0]):
            check(categorical, equation_6, logits, truth, fn, costs)
        for loss in (categorical, without_fp):
            check(loss, class_weighted_cross_entropy, logits, truth, fn, np.zeros_like(fp), by=3)


@holds_for(pairs)
def test_two_classes_are_weighted_binary_cross_entropy(problem):
    logits, labels, _, fn, fp = problem
    check(categorical, binary_cross_entropy_of_the_difference, logits, labels, fn, fp)


def test_probabilities_too_small_to_change_1_count():
    """Of a label that is all but certain, the rest decides what its false positives cost."""
    logits, probs = np.float32([30, 0, 0, 0]), np.float32([1, 1e-12, 0, 0])
    loss = rwwce.categorical(logits, probs, fn=0.0, fp=1e6)
    np.testing.assert_allclose(loss, 1e-6 * (30 - np.log(3)) + 3e6 * np.exp(-30.0), rtol=1e-5)


RNG = np.random.default_rng(0)
LOGITS, IDS = np.float32(RNG.normal(size=(B, K)) * 5), RNG.integers(0, K, B)
FN, FP = np.float32(RNG.random(K)), np.float32(RNG.random((K, K)))


def test_costs_of_1_are_optaxs_losses():
    def softmax(logits, labels, *_):
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels)

    def sigmoid(logits, labels, *_):
        return optax.sigmoid_binary_cross_entropy(logits, labels)

    one = np.float32(1)
    check(without_fp, softmax, LOGITS, IDS, one, 0 * one, by=2)
    check(binary, sigmoid, LOGITS[:, 0], np.float32(IDS % 2), one, one, by=2)


def test_permuting_the_classes_permutes_the_gradients():
    order = np.array([2, 0, 3, 1])
    both = np.ix_(order, order)
    run = differentiated(categorical)
    actual = run(LOGITS[:, order], np.argsort(order)[IDS], FN[order], FP[both])
    losses, by_logits, by_fn, by_fp = run(LOGITS, IDS, FN, FP)
    expected = losses, by_logits[:, order], by_fn[order], by_fp[both]
    assert_same(actual, expected, unit_of(LOGITS, FN, FP))


def test_integer_costs_are_repeated_samples():
    times = np.arange(K, dtype=np.float32)
    rows = np.repeat(np.arange(B), np.arange(K)[IDS])

    def of_costs(z):
        return rwwce.categorical(z, IDS, times, times[:, None] * FP, reduction="sum")

    def of_repeated(z):
        return rwwce.categorical(z[rows], IDS[rows], 1, FP, reduction="sum")

    found = jax.jit(lambda z: [jax.value_and_grad(f)(z) for f in (of_costs, of_repeated)])(LOGITS)
    for x, y in zip(*found, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


@holds_for(problems, offsets=integers((B, 1), -(2**9), 2**9))
def test_shifting_the_logits_changes_nothing(problem, offsets):
    logits, labels, probs, fn, fp = problem
    shifted = logits + offsets.astype(logits.dtype)
    np.testing.assert_array_equal(shifted - offsets, logits)
    for truth in (labels, probs):
        for loss in (categorical, without_fp):
            run = differentiated(loss)
            found = zip(run(shifted, truth, fn, fp), run(logits, truth, fn, fp), strict=True)
            for x, y in found:
                np.testing.assert_array_equal(x, y)


@holds_for(problems, power=st.integers(-9, 9))
def test_scaling_the_costs_scales_the_loss(problem, power):
    """And the loss is its costs times its gradients by them, of which the diagonal has none."""
    logits, labels, probs, fn, fp = problem
    scale = np.asarray(2.0**power, logits.dtype)
    subnormal = 2.0**20 * np.finfo(logits.dtype).tiny  # may be flushed to zero
    run = differentiated(categorical)
    for truth in (labels, probs):
        losses, by_logits, *by_costs = run(logits, truth, fn, fp)
        actual = run(logits, truth, scale * fn, scale * fp)
        expected = (scale * losses, scale * by_logits, *by_costs)
        for x, y in zip(actual, expected, strict=True):
            np.testing.assert_allclose(x, y, rtol=0, atol=subnormal)
        total = np.sum(losses * quarters(B, logits.dtype), dtype=logits.dtype)
        allowed = B * TOLERANCE[str(logits.dtype)] * unit_of(logits, fn, fp).sum()
        assert_within(np.sum(fn * by_costs[0]) + np.sum(fp * by_costs[1]), total, allowed)
        np.testing.assert_array_equal(np.diag(by_costs[1]), 0)


@pytest.mark.parametrize("axis", [0, 1, -2, -3])
def test_axis_is_moveaxis(axis):
    """Each of two axes of examples has the loss that it has by itself; booleans are one-hot."""
    rng = np.random.default_rng(0)
    fn, fp = np.float32([0.5, 1.0, 2.0]), rng.random((3, 3)).astype(np.float32)
    logits = rng.normal(size=(2, 5, 3)).astype(np.float32)
    ids, soft = rng.integers(0, 3, (2, 5)), np.float32(rng.dirichlet([1, 1, 1], (2, 5)))
    moved = np.moveaxis(logits, -1, axis)
    for truth, same in ((ids, ids), (soft, soft), (np.eye(3, dtype=bool)[ids], ids)):
        moved_truth = truth if truth.ndim == 2 else np.moveaxis(truth, -1, axis)
        losses = rwwce.categorical(moved, moved_truth, fn, fp, axis=axis, reduction="none")
        flat = categorical(logits.reshape(10, 3), same.reshape(10, *same.shape[2:]), fn, fp)
        np.testing.assert_allclose(losses, flat.reshape(2, 5), rtol=1e-6)
