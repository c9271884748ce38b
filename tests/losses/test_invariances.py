"""What must change nothing, or only the scale: labels in another form, masks, orders, shapes."""

import functools

import jax
import numpy as np
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
from drawn import SINGLE, B, K, binary_problems, holds_for, integers, problems
from hypothesis import strategies as st
from references import cross_entropy

import rwwce_jax as rwwce

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


def check_reductions(loss, with_mask, problem, truth, where):
    """The mean divides by the number of what is selected, never by a sum of weights."""
    logits, _, _, fn, fp = problem
    mask = np.ones(B, bool) if where is None else where
    ones, count = np.ones(B, logits.dtype), np.asarray(max(mask.sum(), 1), logits.dtype)
    losses, by_logits, *_ = differentiated(with_mask)(logits, truth, fn, fp, mask, weights=ones)
    (total, of_total), (mean, of_mean) = totals(loss, logits, truth, fn, fp, where)
    allowed = TOLERANCE[str(logits.dtype)] * unit_of(logits, fn, fp).sum()
    assert_within(total, np.sum(losses, dtype=logits.dtype), allowed)
    assert_within(of_total, by_logits, allowed)
    assert_within(mean, total / count, allowed)
    assert_within(of_mean, of_total / count, allowed)


@holds_for(problems, selected=integers(B, 0, 1))
def test_sum_and_mean_are_those_of_the_losses(problem, selected):
    for truth in (problem.labels, problem.probs):
        for where in (selected == 1, None):
            check_reductions(rwwce.categorical, masked, problem, truth, where)


@holds_for(binary_problems, selected=integers(B, 0, 1))
def test_sum_and_mean_are_those_of_the_binary_losses(problem, selected):
    check_reductions(rwwce.binary, masked_binary, problem, problem.labels, selected == 1)


@holds_for(problems, SINGLE, counts=integers(K, 0, 3))
def test_integer_costs_repeat_examples(problem, counts):
    """Costs of integers stay integers, and cross-entropy of repeated examples is weighted."""
    logits, labels, *_ = problem
    ones, zeros = np.ones(K, logits.dtype), np.zeros((K, K), logits.dtype)
    once = differentiated(cross_entropy)(logits, labels, ones, zeros)[0]
    assert_within(
        rwwce.categorical(logits, labels, counts, 0, reduction="sum"),
        np.sum(np.repeat(once, counts[labels]), dtype=logits.dtype),
        TOLERANCE[str(logits.dtype)] * unit_of(logits, counts).sum(),
    )


# --- Orders, shifts and scales --------------------------------------------------------------------


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


@pytest.mark.parametrize("axis", [0, 1, -2, -3])
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
