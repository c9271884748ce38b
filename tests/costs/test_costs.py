"""Cost matrices turned into fn and fp."""

import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce
from rwwce_jax.costs import Costs, costs_from_matrix


def draw_matrix(rng, num_classes):
    """Costs of all decisions, with benefits and penalties on the diagonal."""
    matrix = rng.random((num_classes, num_classes)) * 10 ** rng.uniform(-3, 3, (num_classes, 1))
    right = rng.normal(size=num_classes) * 10
    matrix += right[:, None]
    np.fill_diagonal(matrix, right)
    return matrix


RNG = np.random.default_rng(0)
MATRICES = {
    "two classes": (draw_matrix(RNG, 2), 2.0**-22),
    "many classes": (draw_matrix(RNG, 100), 2.0**-22),
    "whole numbers": (RNG.integers(0, 100, (7, 7)) - 105.0 * np.eye(7), 0),  # split exactly
}


@pytest.mark.always
@pytest.mark.parametrize("kind", MATRICES)
def test_the_sum_is_the_marginal_cost(kind):
    """However it is split, so that metrics and decisions are the same; the losses are not."""
    matrix, rtol = MATRICES[kind]
    off = ~np.eye(len(matrix), dtype=bool)
    marginal = matrix - matrix.diagonal()[:, None]
    cheapest = np.where(off, marginal, np.inf).min(axis=1).astype(np.float32)
    for split, expected in (("cheapest", cheapest), ("fp_only", np.zeros(len(matrix)))):
        costs = costs_from_matrix(matrix, split=split)
        fn, fp = costs
        assert fn is costs.fn
        assert fp is costs.fp
        assert costs.actions is None
        assert fn.dtype == fp.dtype == jnp.float32
        np.testing.assert_array_equal(costs.right, matrix.diagonal().astype(np.float32))
        np.testing.assert_array_equal(jnp.diagonal(fp), 0)
        np.testing.assert_array_equal(fn, expected)
        assert np.all(fp >= 0)
        total = np.asarray(fn)[:, None] + np.asarray(fp)
        np.testing.assert_allclose(total[off], marginal[off], rtol=rtol)


def test_a_wide_matrix_has_actions():
    costs = costs_from_matrix([[0.0, 2.0, 0.5], [3.0, -1.0, 0.25]], num_actions=1)
    np.testing.assert_array_equal(costs.actions, [[0.5], [1.25]])
    np.testing.assert_array_equal(costs.right, [0, -1])
    assert "true 1 predicted 2: 1.25" in repr(costs)


def test_costs_are_a_pytree_that_keeps_its_names():
    costs = costs_from_matrix([[0, 2], [3, -1]], class_names=["cat", "dog"])
    assert repr(pickle.loads(pickle.dumps(costs))) == repr(costs)
    doubled = jax.jit(lambda c: jax.tree.map(lambda x: 2 * x, c))(costs)
    assert isinstance(doubled, Costs)
    assert repr(doubled).splitlines()[1] == "  true dog predicted cat: 8.0"
    np.testing.assert_array_equal(doubled.right, [0, -2])
    stacked = jax.tree.map(lambda *x: jnp.stack(x), costs, costs)
    assert stacked.class_names == ("cat", "dog")
    assert repr(stacked).startswith("Costs(fn=")
    with pytest.raises(dataclasses.FrozenInstanceError):
        costs.fn = 1.0


NAMES = {"class_names": ["cat", "dog"]}
GOOD = [[0, 1], [1, 0]]
WIDE = [[0.0, 2.0, 0.5], [3.0, -1.0, -2.0]]


@pytest.mark.always
@pytest.mark.parametrize(
    ("matrix", "options", "error", "message"),
    [
        (WIDE, {}, ValueError, r"matrix must be \(K, K \+ num_actions\) .*=0, got shape \(2, 3\)"),
        (WIDE, {"num_actions": 1}, ValueError, r"matrix\[1, 2\] must not cost less"),
        (WIDE, {"num_actions": -1}, ValueError, r"num_actions must be at least 0, got -1\.$"),
        ([[0]], {}, ValueError, "matrix .* K >= 2"),
        ([1, 2], {}, ValueError, r"matrix .* got shape \(2,\)"),
        ([[0, np.nan], [1, 0]], {}, ValueError, r"matrix\[0, 1\] must be a finite cost, got nan"),
        ([[0, 1], [-1, 0]], {}, ValueError, r"matrix\[1, 0\] must not cost less .* 0.0, got -1.0"),
        ([[0, 1], [-1, 0]], NAMES, ValueError, r"matrix\[1, 0\] \(true 'dog', predicted 'cat'\)"),
        ([[2, 2], [3, 3]], {}, ValueError, "matrix must hold a mistake that costs more"),
        ([[0, 1e39], [1, 0]], {}, ValueError, r"matrix\[0, 1\] .* range of float32"),
        ([["0", "1"], ["1", "0"]], {}, TypeError, "matrix must be an array of numbers"),
        ([[0, 1], [1]], {}, ValueError, "matrix must be an array of numbers"),
        ([[False, True], [True, False]], {}, TypeError, "matrix .* got dtype bool"),
        (GOOD, {"class_names": ["cat", "cat"]}, ValueError, "class_names .* 2 different names"),
        (GOOD, {"class_names": "20"}, ValueError, "class_names must .* by the ids 0 to 1 in their"),
        (GOOD, {"class_names": range(2)}, TypeError, r"class_names must be strings, got 0\.$"),
        (GOOD, {"split": "fn"}, ValueError, "split must be one of cheapest, fp_only, got 'fn'"),
    ],
)
def test_matrices_that_are_refused(matrix, options, error, message):
    with pytest.raises(error, match=f"^{message}"):
        costs_from_matrix(matrix, **options)


def test_classes_whose_mistakes_cost_nothing_are_named():
    """As where weights of pairs, with ones on the diagonal, are taken for costs."""
    with pytest.warns(UserWarning, match=r"than the right decision: 0, 2; weights of") as caught:
        costs_from_matrix([[1, 1, 1], [1, 1, 20], [1, 1, 1]])
    assert [warning.filename for warning in caught] == [__file__]


def test_costs_of_two_classes_from_one_matrix():
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
    assert np.isnan(rwwce.binary_costs([[np.nan, 1], [2, 0]]).fp)


@pytest.mark.always
@pytest.mark.parametrize(
    ("matrix", "error"),
    [
        (np.ones((3, 3)), ValueError),
        (np.ones((2, 2), bool), TypeError),
        ([["a", "b"], ["c", "d"]], TypeError),
    ],
)
def test_matrices_of_two_classes_that_are_refused(matrix, error):
    with pytest.raises(error, match=r"^matrix must be [^\n]+\.$"):
        rwwce.binary_costs(matrix)
