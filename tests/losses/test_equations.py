"""The losses are Optax's where they coincide, and equation 6 of the paper everywhere."""

import numpy as np
from comparison import (
    TOLERANCE,
    assert_same,
    binary,
    categorical,
    differentiated,
    unit_of,
    without_fp,
)
from drawn import B, K, binary_problems, holds_for, pairs, problems
from references import (
    binary_cross_entropy,
    binary_cross_entropy_of_the_difference,
    binary_cross_entropy_on_the_softmax,
    class_weighted_cross_entropy,
    cross_entropy,
    equation_6,
    soft_binary_cross_entropy,
    weighted_binary_cross_entropy,
)

import rwwce_jax as rwwce


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


def test_probabilities_too_small_to_change_1_count():
    """Of a label that is all but certain, the rest decides what its false positives cost."""
    logits, probs = np.float32([30, 0, 0, 0]), np.float32([1, 1e-12, 0, 0])
    loss = rwwce.categorical(logits, probs, fn=0.0, fp=1e6)
    np.testing.assert_allclose(loss, 1e-6 * (30 - np.log(3)) + 3e6 * np.exp(-30.0), rtol=1e-5)
