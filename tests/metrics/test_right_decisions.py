"""What right decisions cost: kept beside the costs of mistakes, and left out of the metrics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce

RNG = np.random.default_rng(0)


def draw(size=300):
    """A matrix for each example, after part 2 of scikit-learn's example of credit cards."""
    amounts = np.round(RNG.exponential(80, size), 2)
    matrices = np.empty((size, 2, 2))
    matrices[:, 0, 0], matrices[:, 0, 1] = -0.02 * amounts, 5.0
    matrices[:, 1, 0], matrices[:, 1, 1] = amounts, -50.0
    truth, decided = RNG.integers(0, 2, (2, size))
    return amounts, matrices, truth, decided


def business_metric(truth, decided, amounts):
    """The gain, as that example adds it up."""
    refused_fraud = 50 * np.sum((truth == 1) & (decided == 1))
    accepted_fraud = -amounts[(truth == 1) & (decided == 0)].sum()
    refused = -5 * np.sum((truth == 0) & (decided == 1))
    accepted = (0.02 * amounts[(truth == 0) & (decided == 0)]).sum()
    return refused_fraud + accepted_fraud + refused + accepted


def test_metric_and_right_decisions_are_the_business_metric_of_scikit_learn():
    amounts, matrices, truth, decided = draw()
    costs = rwwce.binary_costs(matrices)
    above = rwwce.binary_real_world_cost(decided, truth, *costs)
    right = np.asarray(costs.right)[np.arange(len(truth)), truth].mean()
    gain = business_metric(truth, decided, amounts) / len(truth)
    np.testing.assert_allclose(-(above + right), gain, rtol=1e-5)


def test_the_bayes_threshold_decides_by_all_four_costs():
    """Where a fraud is smaller than the fee to stop it, too: then fn is negative."""
    _, matrices, *_ = draw()
    matrices[:, 1, 1] = 5.0
    probs = RNG.random(len(matrices))
    costs = rwwce.binary_costs(matrices)
    assert np.any(costs.fn < 0)
    positive = probs.astype(np.float32) > rwwce.bayes_threshold(*costs)
    distribution = np.stack([1 - probs, probs], axis=-1)
    expected = np.einsum("nk,nkj->nj", distribution, matrices)
    np.testing.assert_array_equal(positive, expected[:, 1] < expected[:, 0])


def test_a_matrix_for_all_examples():
    costs = rwwce.binary_costs([[0, 1], [5, 0]])
    np.testing.assert_allclose(rwwce.bayes_threshold(*costs), 1 / 6, rtol=1e-6)
    assert (costs.fn, costs.fp) == (5, 1)
    np.testing.assert_array_equal(costs.right, [0, 0])
    of_bytes = rwwce.binary_costs(np.uint8([[3, 1], [5, 9]]))
    assert (of_bytes.fn, of_bytes.fp) == (-4, -2)


def test_costs_of_two_classes_in_jax():
    matrix = jnp.array([[[1.0, 4.0], [9.0, -2.0]]])
    costs = jax.jit(rwwce.binary_costs)(matrix)
    assert costs.fn.dtype == jnp.float32
    for name, expected in (("fn", [11]), ("fp", [3]), ("right", [[1, -2]])):
        np.testing.assert_array_equal(getattr(costs, name), expected)
    slope = jax.grad(lambda matrix: rwwce.bayes_threshold(*rwwce.binary_costs(matrix)).sum())(
        matrix
    )
    assert np.all(np.isfinite(slope))
    assert np.isnan(rwwce.binary_costs([[np.nan, 1], [2, 0]]).fp)


def test_costs_of_two_classes_in_double_precision(x64):
    matrices = RNG.random((4, 2, 2))
    for given in (matrices, jnp.asarray(matrices)):
        costs = rwwce.binary_costs(given)
        assert costs.fn.dtype == jnp.float64
        np.testing.assert_array_equal(costs.fn, matrices[:, 1, 0] - matrices[:, 1, 1])


@pytest.mark.always
@pytest.mark.parametrize(
    ("matrix", "error", "message"),
    [
        (np.ones((3, 3)), ValueError, r"matrix must be \(..., 2, 2\), got shape \(3, 3\)\.$"),
        (np.ones(2), ValueError, r"matrix must be \(..., 2, 2\), got shape \(2,\)\.$"),
        (np.ones((2, 2), bool), TypeError, r"matrix must be costs, .* got dtype bool\.$"),
        (jnp.ones((2, 2), bool), TypeError, r"matrix must be costs, .* got dtype bool\.$"),
        ([["a", "b"], ["c", "d"]], TypeError, r"matrix must be an array of numbers, got"),
    ],
)
def test_matrices_that_are_refused(matrix, error, message):
    with pytest.raises(error, match=f"^{message}"):
        rwwce.binary_costs(matrix)


# --- savings --------------------------------------------------------------------------------------


def published(matrices, truth, decided):
    """Bahnsen et al. (2014): all that the decisions cost, and the best constant decision."""
    each = np.arange(len(truth))
    cost, *constants = (matrices[each, truth, decision].mean() for decision in (decided, 0, 1))
    return 1 - cost / min(constants)


def portfolios():
    """200 portfolios, some with a fee for right alarms, and with costs of letting pass."""
    rng = np.random.default_rng(1)
    for _ in range(200):
        size = rng.choice([8, 40])
        amounts = rng.exponential(100, size)
        truth, decided = rng.integers(0, 2, (2, size))
        truth[:2] = 0, 1
        matrices = np.empty((size, 2, 2))
        matrices[:, 0, 0] = rng.choice([0.0, 0.01]) * amounts
        matrices[:, 0, 1] = rng.uniform(1, 20)
        matrices[:, 1, 0] = amounts
        matrices[:, 1, 1] = rng.choice([0.0, 5.0])
        yield matrices, truth, decided


def ours(matrices, truth, decided):
    costs = rwwce.binary_costs(matrices)
    cost = rwwce.binary_real_world_cost(decided, truth, *costs)
    return rwwce.savings(cost, truth, *costs, right=costs.right)


def test_savings_with_right_decisions_are_the_published_ones():
    for portfolio in portfolios():
        expected = published(*portfolio)
        np.testing.assert_allclose(ours(*portfolio), expected, rtol=2e-5, atol=2e-5)


def test_savings_are_those_of_empulse():
    metrics = pytest.importorskip("empulse.metrics")
    for matrices, truth, decided in portfolios():
        names = ("tn_cost", "fp_cost", "fn_cost", "tp_cost")
        outcomes = dict(zip(names, matrices.reshape(-1, 4).T, strict=True))
        theirs = metrics.savings_score(truth, decided, **outcomes)
        np.testing.assert_allclose(ours(matrices, truth, decided), theirs, rtol=2e-5, atol=2e-5)


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
    constants = [wide[labels, decision].mean() for decision in range(5)]
    each = rwwce.ExampleCosts(costs.right[labels])
    for right in (costs.right, each):
        saved = rwwce.savings(cost, labels, *costs, right=right, **given)
        np.testing.assert_allclose(saved, 1 - full / min(constants), rtol=1e-4, atol=1e-5)
    soft = np.eye(3, dtype=np.float32)[labels]
    saved = rwwce.savings(cost, soft, *costs, num_classes=3, right=costs.right, **given)
    np.testing.assert_allclose(saved, 1 - full / min(constants), rtol=1e-4, atol=1e-5)


def test_right_decisions_of_the_examples_that_count():
    labels, right = np.array([0, 1, 1, 0]), np.array([1.0, 2.0, 30.0, 4.0])
    where, weights = np.array([True, True, False, True]), np.array([1.0, 2.0, 5.0, 1.0])
    # Without right: nobody 2 * 8 / 4, everyone 2 * 6 / 4. Right decisions: (1 + 2 * 2 + 4) / 4.
    counted = {"where": where, "weights": weights}
    for of_right in (right, np.stack([right, right], axis=-1)):
        saved = rwwce.savings(1.0, labels, 8.0, 6.0, right=of_right, **counted)
        np.testing.assert_allclose(saved, 1 - (1 + 9 / 4) / (3 + 9 / 4), rtol=1e-6)
    fn, fp = [6.0, 8.0], 0.0
    saved = rwwce.savings(
        1.0, labels, fn, fp, num_classes=2, right=rwwce.ExampleCosts(right), **counted
    )
    np.testing.assert_allclose(saved, 1 - (1 + 9 / 4) / (3 + 9 / 4), rtol=1e-6)


def test_nothing_to_save_where_the_best_constant_decision_gains():
    labels = np.array([0, 1])
    assert np.isnan(rwwce.savings(0.0, labels, 2.0, 2.0, right=-1.0))
    assert np.isnan(rwwce.savings(0.0, labels, 2.0, 2.0, right=-1.5))
    np.testing.assert_allclose(rwwce.savings(0.0, labels, 2.0, 2.0, right=-0.5), 2.0)


@pytest.mark.always
@pytest.mark.parametrize("classes", [None, 3])
@pytest.mark.parametrize("right", ["1", np.ones(5), True, np.ones((4, 3))])
def test_right_decisions_that_are_refused(right, classes):
    with pytest.raises((TypeError, ValueError), match=r"^right must be [^\n]+\.$"):
        rwwce.savings(1.0, [0, 1, 1, 0], 1.0, 1.0, num_classes=classes, right=right)
