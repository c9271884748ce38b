"""Decisions that are no class: as brute force over the wide matrix has them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce

NAN = np.nan
RNG = np.random.default_rng(0)


def draw(rng, num_classes, num_actions):
    """Probabilities of 100 examples, and a matrix of classes and actions."""
    wide = rng.uniform(0.2, 3, (num_classes, num_classes + num_actions))
    wide *= 10 ** rng.uniform(-1, 1, (num_classes, 1))
    wide[np.arange(num_classes), np.arange(num_classes)] = 0
    wide[:, num_classes:] *= 0.3
    probs = rng.dirichlet(np.full(num_classes, rng.choice([0.3, 1.0, 5.0])), 100)
    return probs.astype(np.float32), wide


@pytest.mark.parametrize(("num_classes", "num_actions"), [(2, 1), (6, 3)])
def test_decisions_and_their_costs_are_brute_force(num_classes, num_actions):
    """100 matrices with 100 examples each; the costs as a matrix, and as fp alone."""
    referred = 0
    for _ in range(100):
        probs, wide = draw(RNG, num_classes, num_actions)
        split = RNG.choice(["cheapest", "fp_only"])
        costs = rwwce.costs_from_matrix(wide, num_actions=num_actions, split=split)
        expected = probs.astype(np.float64) @ wide
        found = rwwce.expected_cost(probs, *costs, actions=costs.actions)
        np.testing.assert_allclose(found, expected, rtol=2e-5)
        decided = np.asarray(rwwce.decide(probs, *costs, actions=costs.actions))
        first, second = np.sort(expected, axis=-1)[..., :2].T
        clear = second > first * (1 + 1e-5)
        np.testing.assert_array_equal(decided[clear], expected.argmin(-1)[clear])
        referred += np.sum(decided >= num_classes)
    assert 1000 < referred < 9000


FP = np.array([[0.0, 2.0, 0.0], [0.0, 0.0, 7.0], [0.0, 0.0, 0.0]])
PAIRS = rwwce.pair_costs({(0, 1): 2.0, (1, 2): 7.0}, 3)


@pytest.mark.always
@pytest.mark.parametrize(
    ("actions", "meant", "fp"),
    [
        (0.2, [[0.2]] * 3, 0.5),
        ([[0.2, 1.0], [0.1, 0.0], [3.0, 0.3]], None, FP),
        (np.array([[1], [0], [2]]), None, PAIRS),
    ],
    ids=["a number", "a matrix", "integers"],
)
def test_all_forms_of_costs(actions, meant, fp):
    by_class = np.asarray(actions if meant is None else meant, np.float64)
    probs = RNG.dirichlet(np.ones(3), (4, 5)).astype(np.float32)
    of_classes = np.asarray(rwwce.expected_cost(probs, 1.0, fp))
    expected = np.concatenate([of_classes, probs @ by_class], axis=-1)
    moved = np.moveaxis(probs, -1, 0)
    for how in (lambda f: f, jax.jit):
        costs = how(lambda p, a: rwwce.expected_cost(p, 1.0, fp, actions=a, axis=0))
        np.testing.assert_allclose(
            np.moveaxis(costs(moved, jnp.asarray(actions)), 0, -1), expected, rtol=1e-6
        )
    decided = rwwce.decide(moved, 1.0, fp, actions=actions, axis=0)
    assert decided.dtype == jnp.int32
    np.testing.assert_array_equal(decided, expected.argmin(-1))


def test_ties_go_to_the_class_and_nan_is_no_decision():
    probs = np.array([[0.5, 0.5], [NAN, 0.5]], np.float32)
    np.testing.assert_array_equal(rwwce.decide(probs, 1.0, 0.0, actions=0.5), [0, -1])
    assert rwwce.decide(probs[0], 1.0, 0.0, actions=[[NAN], [0.0]]) == -1
    costs = rwwce.expected_cost(probs, 1.0, 0.0, actions=0.5)
    np.testing.assert_array_equal(np.isnan(costs[1]), True)


def test_actions_can_be_differentiated():
    probs, actions = jnp.array([0.25, 0.75]), jnp.array([[2.0], [4.0]])
    slope = jax.grad(lambda a: rwwce.expected_cost(probs, 1.0, 0.0, actions=a)[-1])(actions)
    np.testing.assert_array_equal(slope, [[0.25], [0.75]])


@pytest.mark.parametrize("function", [rwwce.expected_cost, rwwce.decide])
def test_actions_of_other_classes_are_refused(function):
    """As by ``check_costs``, whose messages have tests of their own."""
    with pytest.raises(
        ValueError, match=r"^actions must be .* of shape \(3, A\) .* shape \(2, 1\)"
    ):
        function(np.full((4, 3), 1 / 3), 1.0, 0.0, actions=np.ones((2, 1)))
