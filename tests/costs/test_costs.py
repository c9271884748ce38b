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


@pytest.mark.parametrize("split", ["cheapest", "fp_only"])
@pytest.mark.parametrize("num_classes", [2, 3, 10, 100])
def test_the_sum_is_the_marginal_cost(num_classes, split):
    matrix = draw_matrix(np.random.default_rng(num_classes), num_classes)
    costs = costs_from_matrix(matrix, split=split)
    np.testing.assert_array_equal(costs.right, matrix.diagonal().astype(np.float32))
    assert costs.actions is None
    fn, fp = costs
    assert fn.shape == (num_classes,)
    assert fp.shape == (num_classes, num_classes)
    assert fn.dtype == fp.dtype == jnp.float32
    np.testing.assert_array_equal(jnp.diagonal(fp), 0)
    off = ~np.eye(num_classes, dtype=bool)
    marginal = matrix - matrix.diagonal()[:, None]
    total = np.asarray(fn)[:, None] + np.asarray(fp)
    np.testing.assert_allclose(total[off], marginal[off], rtol=2.0**-22)
    if split == "fp_only":
        np.testing.assert_array_equal(fn, 0)
    else:
        cheapest = np.where(off, marginal, np.inf).min(axis=1)
        np.testing.assert_array_equal(fn, cheapest.astype(np.float32))
        np.testing.assert_array_equal(np.where(off, fp, np.inf).min(axis=1), 0)


def test_the_split_changes_the_loss_but_not_the_cost():
    rng = np.random.default_rng(0)
    matrix = draw_matrix(rng, 7)
    whole = rng.integers(0, 100, (7, 7)).astype(float)
    np.fill_diagonal(whole, -5)
    predictions, labels = rng.integers(0, 7, (2, 500))
    logits = jnp.asarray(rng.normal(size=(500, 7)), jnp.float32)
    for costs, rtol in ((matrix, 2.0**-22), (whole, 0)):
        both = [costs_from_matrix(costs, split=split) for split in ("cheapest", "fp_only")]
        real = [rwwce.categorical_real_world_cost(predictions, labels, *each) for each in both]
        # Whole numbers split exactly.
        np.testing.assert_allclose(real[0], real[1], rtol=rtol)
        exact = np.mean(costs[labels, predictions] - costs[labels, labels])
        np.testing.assert_allclose(real[0], exact, rtol=1e-6)
        probs = jax.nn.softmax(logits)
        decisions = [rwwce.decide(probs, *each) for each in both]
        np.testing.assert_array_equal(*decisions)
        losses = [rwwce.categorical(logits, labels, *each) for each in both]
        assert abs(losses[0] - losses[1]) > 0.01 * losses[0]


def test_only_fp_is_argmax_consistent():
    """The counterexample of docs/decisions.md, minimised for both splits."""
    matrix = np.ones((3, 3)) - np.eye(3)
    matrix[0, 1] = 20
    p = jnp.array([0.07, 0.84, 0.09])
    picked = {}
    for split in ("cheapest", "fp_only"):
        costs = costs_from_matrix(matrix, split=split)

        @jax.jit
        def descend(z, costs=costs):
            slope = jax.grad(lambda z: rwwce.categorical(z, p, *costs))
            return jax.lax.fori_loop(0, 5000, lambda _, z: z - 0.1 * slope(z), z)

        picked[split] = int(descend(jnp.zeros(3)).argmax())
        assert rwwce.decide(p, *costs) == 2
    assert picked == {"cheapest": 1, "fp_only": 2}


def test_float64_where_it_is_the_default(x64):
    fn, fp = costs_from_matrix([[0.1, 0.7], [0.3, 0.2]])
    assert fn.dtype == fp.dtype == jnp.float64
    np.testing.assert_array_equal(fn, [0.7 - 0.1, 0.3 - 0.2])


def test_repr_and_pytree():
    costs = costs_from_matrix([[0, 2], [3, -1]], class_names=["cat", "dog"])
    head = "Costs of 2 classes, what each mistake costs:\n  "
    named = head + "true dog predicted cat: 4.0\n  true cat predicted dog: 2.0"
    assert repr(costs) == named
    assert repr(pickle.loads(pickle.dumps(costs))) == named
    doubled = jax.jit(lambda c: jax.tree.map(lambda x: 2 * x, c))(costs)
    assert isinstance(doubled, Costs)
    assert repr(doubled) == head + "true dog predicted cat: 8.0\n  true cat predicted dog: 4.0"
    np.testing.assert_array_equal(doubled.right, [0, -2])
    assert repr(Costs(1.0, 0.0)) == "Costs(fn=1.0, fp=0.0)"
    assert "PairCosts of 3 classes" in repr(Costs(1.0, pair_costs({(0, 1): 2}, 3)))
    lines = repr(Costs(1.0, 19.0 * np.eye(10)[::-1])).splitlines()
    assert lines[1] == "  true 0 predicted 9: 20.0"
    assert len(lines) == 22
    assert lines[-1] == "  ... and 70 more, of 1.0 at most"
    loss = rwwce.categorical(jnp.zeros(2), 0, *costs)
    np.testing.assert_allclose(loss, 2 * np.log(2), rtol=1e-6)


def test_costs_are_two_and_keep_their_names():
    costs = costs_from_matrix([[0, 2], [3, 0]], class_names=["cat", "dog"])
    fn, fp = costs
    assert fn is costs.fn
    assert fp is costs.fp
    assert [leaf.shape for leaf in jax.tree.leaves(costs)] == [(2,), (2, 2), (2,)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), costs, costs)
    assert stacked.class_names == ("cat", "dog")
    assert repr(stacked).startswith("Costs(fn=")
    with pytest.raises(dataclasses.FrozenInstanceError):
        costs.fn = 1.0


@pytest.mark.always
@pytest.mark.parametrize(
    ("matrix", "error", "message"),
    [
        ([[0, 1, 2], [1, 0, 2]], ValueError, r"\(K, K \+ num_actions\) .*=0, got shape \(2, 3\)"),
        ([[0]], ValueError, "K >= 2"),
        ([1, 2], ValueError, r"got shape \(2,\)"),
        ([[0, np.nan], [1, 0]], ValueError, r"matrix\[0, 1\] must be a finite cost, got nan"),
        ([[0, 1], [np.inf, 0]], ValueError, r"matrix\[1, 0\] must be a finite cost, got inf"),
        ([[0, 1], [-1, 0]], ValueError, r"matrix\[1, 0\] must not cost less .* 0.0, got -1.0"),
        ([[2, 2], [3, 3]], ValueError, "a mistake that costs more"),
        ([[0, 1e39], [1, 0]], ValueError, r"matrix\[0, 1\] .* range of float32"),
        ([[-1e39, 1], [1, 0]], ValueError, r"matrix\[0, 0\] .* range of float32"),
        ([["0", "1"], ["1", "0"]], TypeError, "matrix must be an array of numbers"),
        ([[0, 1], [1]], ValueError, "matrix must be an array of numbers"),
        ([[False, True], [True, False]], TypeError, "got dtype bool"),
    ],
)
def test_refused(matrix, error, message):
    with pytest.raises(error, match=message):
        costs_from_matrix(matrix)


def test_refused_by_name():
    names = ["cat", "dog"]
    with pytest.raises(
        ValueError, match=r"matrix\[1, 0\] \(true 'dog', predicted 'cat'\) must not"
    ):
        costs_from_matrix([[0, 1], [-1, 0]], class_names=names)
    with pytest.raises(ValueError, match=r"2 different names, got \('cat', 'cat'\)"):
        costs_from_matrix([[0, 1], [1, 0]], class_names=["cat", "cat"])
    with pytest.raises(TypeError, match=r"class_names must be strings, got 0\.$"):
        costs_from_matrix([[0, 1], [1, 0]], class_names=range(2))
    with pytest.raises(ValueError, match="split must be one of cheapest, fp_only, got 'fn'"):
        costs_from_matrix([[0, 1], [1, 0]], split="fn")


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


def test_costs_in_a_module_of_equinox_are_trained_unless_their_gradient_is_stopped():
    eqx = pytest.importorskip("equinox")

    class Model(eqx.Module):
        weights: jax.Array
        fp: rwwce.PairCosts

        def loss(self, stop):
            fp = jax.lax.stop_gradient(self.fp) if stop else self.fp
            return rwwce.categorical(self.weights, jnp.array([0, 1]), 1.0, fp)

    model = Model(jnp.eye(2, 3), rwwce.pair_costs({(0, 1): 19.0, (1, 2): 4.0}, 3))
    trained, stopped = (eqx.filter_grad(Model.loss)(model, stop) for stop in (False, True))
    assert np.all(trained.fp.costs > 0)
    assert not np.any(stopped.fp.costs)
    np.testing.assert_array_equal(stopped.weights, trained.weights)
