"""The share of the cost that is saved over one decision for everyone, and right decisions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
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

# --- Over one decision for everyone ---------------------------------------------------------------


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
def test_savings_over_one_binary_decision(**mistakes):
    check(binary_loop, (0, 1), **mistakes)


@categorical_mistakes
def test_savings_over_one_class(**mistakes):
    check(categorical_loop, range(K), **mistakes)


@categorical_mistakes
def test_num_classes_tells_that_decisions_are_categorical(predictions, labels, fn, fp, where):
    """With any axes of labels, and where no cost says so: fn of K classes is not of K examples."""
    saved = rwwce.savings(1.0, labels, fn, fp, where=where)
    for shape in (N, (2, N // 2)):
        mask = None if where is None else where.reshape(shape)
        again = rwwce.savings(1.0, labels.reshape(shape), fn, fp, num_classes=K, where=mask)
        np.testing.assert_array_equal(again, saved)


def test_savings_with_one_cost_per_true_class():
    labels, fn = np.array([0, 1, 2, 2]), np.array([1.0, 2.0, 3.0, 4.0])
    # Always class 2 costs (1 + 2) / 4, always class 3 that and 2 * 3 / 4 more.
    np.testing.assert_allclose(rwwce.savings(0.15, labels, fn, 0.0, num_classes=4), 0.8)


def test_savings_of_labels_that_are_no_classes():
    assert jnp.isnan(rwwce.savings(1.0, np.array([0, K]), 1, np.ones((K, K))))
    assert jnp.isnan(rwwce.savings(1.0, np.array([0, 2]), 1, 1))
    assert jnp.isnan(rwwce.savings(NAN, np.array([0, 1]), 1, 1))


# --- Costs of two classes from matrices -----------------------------------------------------------


def draw(rng, size):
    """A matrix for each example, after scikit-learn's example of credit cards: some gain."""
    amounts = np.round(rng.exponential(80, size), 2)
    matrices = np.empty((size, 2, 2))
    matrices[:, 0, 0], matrices[:, 0, 1] = -0.02 * amounts, 5.0
    matrices[:, 1, 0], matrices[:, 1, 1] = amounts, -50.0
    return matrices, *rng.integers(0, 2, (2, size))


def test_metric_and_right_decisions_are_all_that_decisions_cost():
    matrices, truth, decided = draw(np.random.default_rng(0), 300)
    costs, each = rwwce.binary_costs(matrices), np.arange(300)
    above = rwwce.binary_real_world_cost(decided, truth, *costs)
    right = np.asarray(costs.right)[each, truth].mean()
    np.testing.assert_allclose(above + right, matrices[each, truth, decided].mean(), rtol=1e-5)


def test_the_bayes_threshold_decides_by_all_four_costs():
    """Where a fraud is smaller than the fee to stop it, too: then fn is negative."""
    rng = np.random.default_rng(0)
    matrices, *_ = draw(rng, 300)
    matrices[:, 1, 1] = 5.0
    probs, costs = rng.random(300), rwwce.binary_costs(matrices)
    assert np.any(costs.fn < 0)
    expected = np.einsum("nk,nkj->nj", np.stack([1 - probs, probs], axis=-1), matrices)
    positive = probs.astype(np.float32) > rwwce.bayes_threshold(*costs)
    np.testing.assert_array_equal(positive, expected[:, 1] < expected[:, 0])


def test_a_matrix_for_all_examples():
    """Also of bytes, in jit, differentiated, and with NaN."""
    costs = rwwce.binary_costs(np.uint8([[3, 1], [5, 9]]))
    assert (costs.fn, costs.fp) == (-4, -2)
    matrix = jnp.array([[[1.0, 4.0], [9.0, -2.0]]])
    costs = jax.jit(rwwce.binary_costs)(matrix)
    assert costs.fn.dtype == jnp.float32
    for name, expected in (("fn", [11]), ("fp", [3]), ("right", [[1, -2]])):
        np.testing.assert_array_equal(getattr(costs, name), expected)
    slope = jax.grad(lambda x: rwwce.bayes_threshold(*rwwce.binary_costs(x)).sum())(matrix)
    assert np.all(np.isfinite(slope))
    assert np.isnan(rwwce.binary_costs([[NAN, 1], [2, 0]]).fp)


def test_costs_in_double_precision(x64):
    matrices = np.random.default_rng(0).random((4, 2, 2))
    for given in (matrices, jnp.asarray(matrices)):
        costs = rwwce.binary_costs(given)
        assert costs.fn.dtype == jnp.float64
        np.testing.assert_array_equal(costs.fn, matrices[:, 1, 0] - matrices[:, 1, 1])
    for costs in ((np.float64(3), 1), (3, np.ones(2)), (jnp.float64(3), 1)):
        assert rwwce.bayes_threshold(*costs).dtype == jnp.float64
    assert rwwce.bayes_threshold(np.float32(3), 1.5).dtype == jnp.float32


@pytest.mark.always
@pytest.mark.parametrize(
    ("matrix", "error"),
    [
        (np.ones((3, 3)), ValueError),
        (np.ones(2), ValueError),
        (np.ones((2, 2), bool), TypeError),
        (jnp.ones((2, 2), bool), TypeError),
        ([["a", "b"], ["c", "d"]], TypeError),
    ],
)
def test_matrices_that_are_refused(matrix, error):
    with pytest.raises(error, match=r"^matrix must be [^\n]+\.$"):
        rwwce.binary_costs(matrix)


# --- Savings with what right decisions cost -------------------------------------------------------


def portfolios():
    """Some with a fee for right alarms, and with costs of letting pass."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        size = rng.choice([8, 40])
        amounts = rng.exponential(100, size)
        truth, decided = rng.integers(0, 2, (2, size))
        truth[:2] = 0, 1
        matrices = np.empty((size, 2, 2))
        matrices[:, 0, 0] = rng.choice([0.0, 0.01]) * amounts
        matrices[:, 0, 1] = rng.uniform(1, 20)
        matrices[:, 1, 0] = amounts
        matrices[:, 1, 1] = rng.choice([0.0, 5.0])
        costs = rwwce.binary_costs(matrices)
        cost = rwwce.binary_real_world_cost(decided, truth, *costs)
        saved = rwwce.savings(cost, truth, *costs, right=costs.right)
        yield matrices, truth, decided, saved


def test_savings_with_right_decisions_are_the_published_ones():
    """Bahnsen et al. (2014): all that the decisions cost, and the best constant decision."""
    for matrices, truth, decided, saved in portfolios():
        each = np.arange(len(truth))
        cost, *constants = (matrices[each, truth, x].mean() for x in (decided, 0, 1))
        np.testing.assert_allclose(saved, 1 - cost / min(constants), rtol=2e-5, atol=2e-5)


def test_savings_are_those_of_empulse():
    metrics = pytest.importorskip("empulse.metrics")
    for matrices, truth, decided, saved in portfolios():
        names = ("tn_cost", "fp_cost", "fn_cost", "tp_cost")
        outcomes = dict(zip(names, matrices.reshape(-1, 4).T, strict=True))
        theirs = metrics.savings_score(truth, decided, **outcomes)
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
