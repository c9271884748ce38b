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
