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


def assert_equal(actual, expected):
    for x, y in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(x, y)


@holds_for(problems)
def test_class_ids_are_one_hot_labels(problem):
    logits, labels, _, fn, fp = problem
    one_hot = np.eye(K, dtype=logits.dtype)[labels]
    for costs in (fp, fp[0, 0]):
        by_one_hot = differentiated(categorical)(logits, one_hot, fn, costs)
        by_ids = differentiated(categorical)(logits, labels, fn, costs)
        assert_same(by_one_hot, by_ids, unit_of(logits, fn, fp))
    by_booleans = differentiated(categorical)(logits, one_hot.astype(bool), fn, fp[0, 0])
    assert_equal(by_booleans, by_one_hot)


# --- Masks, repetition and reductions -------------------------------------------------------------


def masked(logits, labels, fn, fp, where):
    return rwwce.categorical(logits, labels, fn, fp, where=where, reduction="none")


def masked_without_fp(logits, labels, fn, _, where):
    return rwwce.categorical(logits, labels, fn, 0, where=where, reduction="none")


def masked_binary(logits, labels, fn, fp, where):
    return rwwce.binary(logits, labels, fn, fp, where=where, reduction="none")


def check_mask(loss, with_mask, where, arguments, garbage):
    """Masked examples are dropped ones: the others alone tell losses and gradients."""
    logits, _, fn, fp = arguments
    weights = np.where(where, quarters(B, logits.dtype), 0)
    losses, *gradients = differentiated(loss)(*arguments, weights=weights)
    spoilt = [x.copy() for x in arguments]
    for x, wrong in zip(spoilt, garbage, strict=False):
        x[~where] = wrong
    actual = differentiated(with_mask)(*spoilt, where)
    assert_same(actual, (np.where(where, losses, 0), *gradients), unit_of(logits, fn, fp))
    for x in actual if loss is binary else actual[:2]:
        np.testing.assert_array_equal(x[~where], 0)


ORDERS = {"order": st.permutations(range(B)).map(np.array)}
NAN_AND_INF = [[np.nan] * K, [np.inf, -np.inf, 0, 0]]


@holds_for(problems, **ORDERS)
def test_masked_examples_are_dropped_ones(problem, order):
    where = order < 4
    logits, labels, probs, *costs = problem
    for loss, with_mask in ((categorical, masked), (without_fp, masked_without_fp)):
        check_mask(loss, with_mask, where, (logits, labels, *costs), (NAN_AND_INF, [-1, K]))
        garbage = NAN_AND_INF, [[np.nan] * K, [-1] * K]
        check_mask(loss, with_mask, where, (logits, probs, *costs), garbage)


@holds_for(binary_problems, **ORDERS)
def test_masked_binary_examples_are_dropped_ones(problem, order):
    logits, labels, _, *costs = problem
    garbage = np.nan, -1, np.inf, np.nan
    check_mask(binary, masked_binary, order < 4, (logits, labels, *costs), garbage)


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
    logits, labels, _, fn, fp = problem
    both = np.ix_(order, order)
    losses, by_logits, by_fn, by_fp = differentiated(categorical)(logits, labels, fn, fp)
    actual = differentiated(categorical)(
        logits[:, order], np.argsort(order)[labels], fn[order], fp[both]
    )
    expected = (losses, by_logits[:, order], by_fn[order], by_fp[both])
    assert_same(actual, expected, unit_of(logits, fn, fp))


@holds_for(problems, offsets=integers((B, 1), -(2**9), 2**9))
def test_shifting_the_logits_changes_nothing(problem, offsets):
    logits, labels, probs, fn, fp = problem
    shifted = logits + offsets.astype(logits.dtype)
    np.testing.assert_array_equal(shifted - offsets, logits)
    for truth in (labels, probs):
        for loss in (categorical, without_fp):
            expected = differentiated(loss)(logits, truth, fn, fp)
            assert_equal(differentiated(loss)(shifted, truth, fn, fp), expected)


@holds_for(problems, power=st.integers(-9, 9))
def test_scaling_the_costs_scales_the_loss(problem, power):
    """And the loss is its costs times its gradients by them, of which the diagonal has none."""
    logits, labels, probs, fn, fp = problem
    scale = np.asarray(2.0**power, logits.dtype)
    subnormal = 2.0**20 * np.finfo(logits.dtype).tiny  # may be flushed to zero
    for truth in (labels, probs):
        losses, by_logits, *by_costs = differentiated(categorical)(logits, truth, fn, fp)
        actual = differentiated(categorical)(logits, truth, scale * fn, scale * fp)
        expected = (scale * losses, scale * by_logits, *by_costs)
        for x, y in zip(actual, expected, strict=True):
            np.testing.assert_allclose(x, y, rtol=0, atol=subnormal)
        total = np.sum(losses * quarters(B, logits.dtype), dtype=logits.dtype)
        allowed = B * TOLERANCE[str(logits.dtype)] * unit_of(logits, fn, fp).sum()
        assert_within(np.sum(fn * by_costs[0]) + np.sum(fp * by_costs[1]), total, allowed)
        np.testing.assert_array_equal(np.diag(by_costs[1]), 0)


@pytest.mark.parametrize("axis", [0, 1, -2, -3])
def test_axis_is_moveaxis(axis):
    """Of logits with two axes of examples, each with the loss that it has by itself."""
    rng = np.random.default_rng(0)
    fn, fp = np.float32([0.5, 1.0, 2.0]), rng.random((3, 3)).astype(np.float32)
    logits = rng.normal(size=(2, 5, 3)).astype(np.float32)
    for truth in (rng.integers(0, 3, (2, 5)), np.float32(rng.dirichlet([1, 1, 1], (2, 5)))):
        moved = np.moveaxis(logits, -1, axis)
        moved_truth = truth if truth.ndim == 2 else np.moveaxis(truth, -1, axis)
        losses = rwwce.categorical(moved, moved_truth, fn, fp, axis=axis, reduction="none")
        flat = categorical(logits.reshape(10, 3), truth.reshape(10, *truth.shape[2:]), fn, fp)
        np.testing.assert_allclose(losses, flat.reshape(2, 5), rtol=1e-6)
