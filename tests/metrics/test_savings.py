"""The share of the cost that is saved over one decision for everyone."""

import jax.numpy as jnp
import numpy as np
from mistakes import (
    K,
    N,
    binary_loop,
    binary_mistakes,
    categorical_loop,
    categorical_mistakes,
    everyone,
)

import rwwce_jax as rwwce

NAN = np.nan


def check(cost_by_loop, decisions, predictions, labels, fn, fp, where):
    rest = labels, fn, fp, everyone if where is None else where
    least = min(cost_by_loop(np.full(N, decision), *rest) for decision in decisions)
    cost = cost_by_loop(predictions, *rest)
    saved = rwwce.savings(cost, labels, fn, fp, where=where)
    if least == 0:
        assert jnp.isnan(saved)
    else:
        share = cost / least
        np.testing.assert_allclose(saved, 1 - share, rtol=1e-5, atol=1e-5 * share)


@binary_mistakes
def test_savings_over_one_binary_decision_for_everyone(**mistakes):
    check(binary_loop, (0, 1), **mistakes)


@categorical_mistakes
def test_savings_over_one_class_for_everyone(**mistakes):
    check(categorical_loop, range(K), **mistakes)


@categorical_mistakes
def test_num_classes_tells_that_decisions_are_categorical(predictions, labels, fn, fp, where):
    """With any axes of labels, and where no cost says so: fn of K classes is not of K examples."""
    selected = everyone if where is None else where
    cost = categorical_loop(predictions, labels, fn, fp, selected)
    saved = rwwce.savings(cost, labels, fn, fp, num_classes=K, where=where)
    np.testing.assert_array_equal(saved, rwwce.savings(cost, labels, fn, fp, where=where))
    square = (2, N // 2)
    mask = None if where is None else where.reshape(square)
    again = rwwce.savings(cost, labels.reshape(square), fn, fp, num_classes=K, where=mask)
    np.testing.assert_array_equal(again, saved)


def test_savings_with_one_cost_per_true_class():
    labels, fn = np.array([0, 1, 2, 2]), np.array([1.0, 2.0, 3.0, 4.0])
    # Always class 2 costs (1 + 2) / 4, always class 3 that and 2 * 3 / 4 more.
    np.testing.assert_allclose(rwwce.savings(0.15, labels, fn, 0.0, num_classes=4), 0.8)


def test_savings_of_labels_that_are_no_classes():
    assert jnp.isnan(rwwce.savings(1.0, np.array([0, K]), 1, np.ones((K, K))))
    assert jnp.isnan(rwwce.savings(1.0, np.array([0, 2]), 1, 1))
    assert jnp.isnan(rwwce.savings(NAN, np.array([0, 1]), 1, 1))
