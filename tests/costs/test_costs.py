"""Cost matrices turned into fn and fp."""

import dataclasses
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce
from rwwce_jax.costs import Costs, costs_from_matrix, pair_costs


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


def test_float64_where_it_is_the_default(x64):
    matrices = np.random.default_rng(0).random((4, 2, 2)) + 1 - np.eye(2)
    of_examples = [rwwce.binary_costs(given).fn for given in (matrices, jnp.asarray(matrices))]
    for fn in (*of_examples, [costs_from_matrix(matrix).fn[1] for matrix in matrices]):
        np.testing.assert_array_equal(fn, matrices[:, 1, 0] - matrices[:, 1, 1])
    for costs in ((np.float64(3), 1), (3, np.ones(2)), (jnp.float64(3), 1)):
        assert rwwce.bayes_threshold(*costs).dtype == jnp.float64
    assert rwwce.bayes_threshold(np.float32(3), 1.5).dtype == jnp.float32


def test_repr():
    lines = repr(Costs(1.0, 19.0 * np.eye(10)[::-1])).splitlines()
    assert lines[1] == "  true 0 predicted 9: 20.0"
    assert len(lines) == 22
    assert lines[-1] == "  ... and 70 more, of 1.0 at most"
    assert repr(Costs(1.0, 0.0)) == "Costs(fn=1.0, fp=0.0)"
    assert "PairCosts of 3 classes" in repr(Costs(1.0, pair_costs({(0, 1): 2}, 3)))


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
        ([[-1e39, 1], [1, 0]], {}, ValueError, r"matrix\[0, 0\] .* range of float32"),
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


@pytest.mark.parametrize(
    ("matrix", "names", "listed"),
    [
        ([[1, 1, 1], [1, 1, 20], [1, 1, 1]], None, "0, 2"),  # weights, as in keras issue 2115
        ([[0, 1, 2], [0, 0, 0], [3, 0, 0]], ("cat", "dog", "none"), "dog"),  # a dummy row
    ],
)
def test_classes_whose_mistakes_cost_nothing_are_named(matrix, names, listed):
    sentence = (
        f"matrix has classes of which no mistake costs more than the right decision: {listed}; "
        "weights of pairs, with ones on the diagonal, are no costs."
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(sentence)}$") as caught:
        fn, fp = costs_from_matrix(matrix, class_names=names)
    assert [warning.filename for warning in caught] == [__file__]
    marginal = np.array(matrix) - np.diagonal(matrix)[:, None]
    np.testing.assert_array_equal(np.where(np.eye(3), 0, fn[:, None] + fp), marginal)


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
        (np.ones(2), ValueError),
        (np.ones((2, 2), bool), TypeError),
        (jnp.ones((2, 2), bool), TypeError),
        ([["a", "b"], ["c", "d"]], TypeError),
    ],
)
def test_matrices_of_two_classes_that_are_refused(matrix, error):
    with pytest.raises(error, match=r"^matrix must be [^\n]+\.$"):
        rwwce.binary_costs(matrix)


def test_costs_in_a_module_of_equinox_are_trained_unless_their_gradient_is_stopped():
    eqx = pytest.importorskip("equinox")

    class Model(eqx.Module):
        weights: jax.Array
        fp: rwwce.PairCosts

        def loss(self, stop):
            fp = jax.lax.stop_gradient(self.fp) if stop else self.fp
            return rwwce.categorical(self.weights, jnp.array([0, 1]), 1.0, fp)

    model = Model(jnp.eye(2, 3), pair_costs({(0, 1): 19.0, (1, 2): 4.0}, 3))
    trained, stopped = (eqx.filter_grad(Model.loss)(model, stop) for stop in (False, True))
    assert np.all(trained.fp.costs > 0)
    assert not np.any(stopped.fp.costs)
    np.testing.assert_array_equal(stopped.weights, trained.weights)
