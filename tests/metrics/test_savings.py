"""The share of the cost that is saved over one decision for everyone, and right decisions."""

import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce

NAN = np.nan


def test_num_classes_tells_that_decisions_are_categorical():
    """With any axes of labels, and where no cost says so: fn of K classes is not of K examples."""
    rng = np.random.default_rng(0)
    labels, fn, fp = rng.integers(0, 4, 8), rng.random(4), rng.random((4, 4))
    saved = rwwce.savings(1.0, labels, fn, fp)
    for shape in (8, (2, 4)):
        again = rwwce.savings(1.0, labels.reshape(shape), fn, fp, num_classes=4)
        np.testing.assert_array_equal(again, saved)


def test_savings_of_labels_that_are_no_classes():
    assert jnp.isnan(rwwce.savings(1.0, np.array([0, 4]), 1, np.ones((4, 4))))
    assert jnp.isnan(rwwce.savings(1.0, np.array([0, 2]), 1, 1))
    assert jnp.isnan(rwwce.savings(NAN, np.array([0, 1]), 1, 1))


def portfolios():
    """Some with a fee for right alarms, and with costs of letting pass."""
    rng = np.random.default_rng(1)
    for size in [8] * 15 + [40] * 15:
        amounts = rng.exponential(100, size)
        truth, decided = rng.integers(0, 2, (2, size))
        truth[:2] = 0, 1
        matrices = np.empty((size, 2, 2))
        matrices[:, 0, 0] = rng.choice([0.0, 0.01]) * amounts
        matrices[:, 0, 1] = rng.uniform(1, 20)
        matrices[:, 1, 0] = amounts
        matrices[:, 1, 1] = rng.choice([0.0, 5.0])
        yield matrices, truth, decided, rwwce.binary_costs(matrices)


def test_savings_are_those_of_empulse():
    """Bahnsen et al. (2014): all that the decisions cost, and the best constant decision."""
    metrics = pytest.importorskip("empulse.metrics")
    for matrices, truth, decided, costs in portfolios():
        names = ("tn_cost", "fp_cost", "fn_cost", "tp_cost")
        outcomes = dict(zip(names, matrices.reshape(-1, 4).T, strict=True))
        theirs = metrics.savings_score(truth, decided, **outcomes)
        cost = rwwce.binary_real_world_cost(decided, truth, *costs)
        each = np.arange(len(truth))
        full = matrices[each, truth, decided].mean()
        np.testing.assert_allclose(cost + costs.right[each, truth].mean(), full, rtol=2e-5)
        saved = rwwce.savings(cost, truth, *costs, right=costs.right)
        np.testing.assert_allclose(saved, theirs, rtol=2e-5, atol=2e-5)


def test_right_decisions_between_classes():
    rng = np.random.default_rng(2)
    labels, decided = rng.integers(0, 3, (2, 200))
    wide = rng.uniform(2, 9, (3, 5)) + rng.uniform(-1, 5, 3)[:, None]
    wide[np.arange(3), np.arange(3)] = wide.min(1) - 0.5
    decided[::7] = 3
    costs = rwwce.costs_from_matrix(wide, num_actions=2)
    given = {"actions": costs.actions}
    cost = rwwce.categorical_real_world_cost(decided, labels, *costs, **given)
    full = wide[labels, decided].mean()
    np.testing.assert_allclose(cost + costs.right[labels].mean(), full, rtol=1e-5)
    expected = 1 - full / min(wide[labels, decision].mean() for decision in range(5))
    soft = np.eye(3, dtype=np.float32)[labels]
    each = rwwce.ExampleCosts(costs.right[labels])
    for truth, right in ((labels, costs.right), (labels, each), (soft, costs.right)):
        saved = rwwce.savings(cost, truth, *costs, num_classes=3, right=right, **given)
        np.testing.assert_allclose(saved, expected, rtol=1e-4, atol=1e-5)


def test_right_decisions_of_the_examples_that_count():
    labels, right = np.array([0, 1, 1, 0]), np.array([1.0, 2.0, 30.0, 4.0])
    where, weights = np.array([True, True, False, True]), np.array([1.0, 2.0, 5.0, 1.0])
    # Without right: nobody 2 * 8 / 4, everyone 2 * 6 / 4. Right decisions: (1 + 2 * 2 + 4) / 4.
    counted = {"where": where, "weights": weights}
    of_classes = {"right": rwwce.ExampleCosts(right), "num_classes": 2}
    for fn, fp, given in (
        (8.0, 6.0, {"right": right}),
        (8.0, 6.0, {"right": np.stack([right, right], axis=-1)}),
        ([6.0, 8.0], 0.0, of_classes),
    ):
        saved = rwwce.savings(1.0, labels, fn, fp, **given, **counted)
        np.testing.assert_allclose(saved, 1 - (1 + 9 / 4) / (3 + 9 / 4), rtol=1e-6)


def test_nothing_to_save_where_the_best_constant_decision_gains():
    labels = np.array([0, 1])
    for right, expected in ((-1.0, NAN), (-1.5, NAN), (-0.5, 2.0)):
        np.testing.assert_allclose(rwwce.savings(0.0, labels, 2.0, 2.0, right=right), expected)


@pytest.mark.always
@pytest.mark.parametrize("classes", [None, 3])
@pytest.mark.parametrize("right", ["1", np.ones(5), True, np.ones((4, 3))])
def test_right_decisions_that_are_refused(right, classes):
    with pytest.raises((TypeError, ValueError), match=r"^right must be [^\n]+\.$"):
        rwwce.savings(1.0, [0, 1, 1, 0], 1.0, 1.0, num_classes=classes, right=right)
