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
    ones = np.ones(B, logits.dtype)
    check(binary, binary_cross_entropy, logits, probs, ones, ones, by=2)


@holds_for(problems)
def test_categorical_is_optax_s_loss_at_simple_costs(problem):
    logits, labels, probs, fn, fp = problem
    ones, zeros = np.ones(K, logits.dtype), np.zeros_like(fp)
    for truth in (labels, probs):
        for loss in (categorical, without_fp):
            check(loss, class_weighted_cross_entropy, logits, truth, fn, zeros, by=3)
            check(loss, cross_entropy, logits, truth, ones, zeros, by=2)
        for costs in (zeros + 1, ones[0]):
            reference = binary_cross_entropy_on_the_softmax
            check(categorical, reference, logits, truth, ones, costs, by=2)


@holds_for(problems)
def test_categorical_is_equation_6(problem):
    logits, labels, probs, fn, fp = problem
    for truth in (labels, probs):
        for costs in (fp, fp[0, 0]):
            check(categorical, equation_6, logits, truth, fn, costs)


@holds_for(pairs)
def test_two_classes_are_weighted_binary_cross_entropy(problem):
    logits, labels, _, fn, fp = problem
    check(categorical, binary_cross_entropy_of_the_difference, logits, labels, fn, fp)


def test_probabilities_too_small_to_change_1_count():
    """Of a label that is all but certain, the rest decides what its false positives cost."""
    logits, probs = np.float32([30, 0, 0, 0]), np.float32([1, 1e-12, 0, 0])
    loss = rwwce.categorical(logits, probs, fn=0.0, fp=1e6)
    np.testing.assert_allclose(loss, 1e-6 * (30 - np.log(3)) + 3e6 * np.exp(-30.0), rtol=1e-5)
