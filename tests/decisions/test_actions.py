"""Decisions that are no class: as brute force over the wide matrix has them."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce

NAN, INF = np.nan, np.inf
RNG = np.random.default_rng(0)


def draw(rng):
    """Probabilities of 20 examples, and a matrix of up to six classes and three actions."""
    num_classes, num_actions = rng.integers(2, 7), rng.integers(1, 4)
    wide = rng.uniform(0.2, 3, (num_classes, num_classes + num_actions))
    wide *= 10 ** rng.uniform(-1, 1, (num_classes, 1))
    wide[np.arange(num_classes), np.arange(num_classes)] = 0
    wide[:, num_classes:] *= 0.3
    probs = rng.dirichlet(np.full(num_classes, rng.choice([0.3, 1.0, 5.0])), 20)
    return probs.astype(np.float32), wide, num_classes


def least_and_next(costs):
    first, second = np.sort(costs, axis=-1)[..., :2].T
    return first, second


def test_decisions_and_their_costs_are_brute_force():
    """1,000 matrices with 20 examples each; the costs as a matrix, and as fp alone."""
    referred = 0
    for _ in range(1000):
        probs, wide, num_classes = draw(RNG)
        costs = rwwce.costs_from_matrix(
            wide, num_actions=wide.shape[1] - num_classes, split=RNG.choice(["cheapest", "fp_only"])
        )
        expected = probs.astype(np.float64) @ wide
        found = rwwce.expected_cost(probs, *costs, actions=costs.actions)
        np.testing.assert_allclose(found, expected, rtol=2e-5)
        decided = np.asarray(rwwce.decide(probs, *costs, actions=costs.actions))
        first, second = least_and_next(expected)
        clear = second > first * (1 + 1e-5)
        np.testing.assert_array_equal(decided[clear], expected.argmin(-1)[clear])
        referred += np.sum(decided >= num_classes)
    assert 2000 < referred < 18000


FORMS = {
    "a number": (0.2, [[0.2]] * 3),
    "a matrix": ([[0.2, 1.0], [0.1, 0.0], [3.0, 0.3]], None),
    "integers": (np.array([[1], [0], [2]]), None),
}
FP = np.array([[0.0, 2.0, 0.0], [0.0, 0.0, 7.0], [0.0, 0.0, 0.0]])
PAIRS = rwwce.pair_costs({(0, 1): 2.0, (1, 2): 7.0}, 3)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "fp", [0.0, 0.5, FP, jnp.asarray(FP), PAIRS], ids=lambda x: type(x).__name__
)
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_all_forms_of_costs(form, fp, axis):
    actions, meant = FORMS[form]
    by_class = np.asarray(actions if meant is None else meant, np.float64)
    probs = RNG.dirichlet(np.ones(3), (4, 5)).astype(np.float32)
    expected = np.concatenate(
        [np.asarray(rwwce.expected_cost(probs, 1.0, fp)), probs @ by_class], axis=-1
    )
    moved = np.moveaxis(probs, -1, axis)
    found = rwwce.expected_cost(moved, 1.0, fp, actions=actions, axis=axis)
    np.testing.assert_allclose(np.moveaxis(found, axis, -1), expected, rtol=1e-6)
    decided = rwwce.decide(moved, 1.0, fp, actions=actions, axis=axis)
    assert decided.dtype == jnp.int32
    np.testing.assert_array_equal(decided, expected.argmin(-1))
    compiled = jax.jit(lambda p, actions: rwwce.decide(p, 1.0, fp, actions=actions, axis=axis))
    np.testing.assert_array_equal(compiled(moved, jnp.asarray(actions)), decided)


def test_referring_at_a_fifth():
    probs = np.array([[0.5, 0.5, 0.0], [0.9, 0.05, 0.05]])
    np.testing.assert_array_equal(rwwce.decide(probs, 1.0, 0.0, actions=0.2), [3, 0])


@pytest.mark.parametrize("refer", [0.1, 0.25, 0.4])
def test_two_classes_have_the_two_thresholds_of_chow(refer):
    """Positive above 1 - r / fn, negative below r / fp, and referred between them."""
    fn, fp = 2.0, 1.0
    p = np.linspace(0, 1, 1001).astype(np.float32)
    probs = np.stack([1 - p, p], axis=-1)
    decided = rwwce.decide(probs, [fp, fn], 0.0, actions=refer)
    low, high = refer / fn, 1 - refer / fp
    clear = (np.abs(p - low) > 1e-5) & (np.abs(p - high) > 1e-5)
    expected = np.where(p < low, 0, np.where(p > high, 1, 2))
    np.testing.assert_array_equal(np.asarray(decided)[clear], expected[clear])


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


# --- What is refused ------------------------------------------------------------------------------

BY_CLASS = (
    "actions must be a scalar or of shape (3, A) for A actions, got shape (3,); what one action "
    "costs by class is actions[:, None]."
)
PROBS = np.full((4, 3), 1 / 3)
CALLS = {
    "expected_cost": lambda actions: rwwce.expected_cost(PROBS, 1.0, 0.0, actions=actions),
    "decide": lambda actions: rwwce.decide(PROBS, 1.0, 0.0, actions=actions),
    "check_costs": lambda actions: rwwce.check_costs(np.ones(3), 0.0, actions=actions),
}


@pytest.mark.always
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("actions", "error", "message"),
    [
        (np.ones(3), ValueError, BY_CLASS),
        (
            np.ones((2, 1)),
            ValueError,
            "actions must be a scalar or of shape (3, A) for A actions, got shape (2, 1).",
        ),
        (True, TypeError, "actions must be costs, integers or floats, got dtype bool."),
        ("ask", TypeError, "actions must be an array of numbers, got 'ask'."),
    ],
)
def test_actions_that_are_refused(call, actions, error, message):
    with pytest.raises(error) as caught:
        CALLS[call](actions)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (-0.5, "actions must be a finite cost >= 0, got -0.5."),
        ([[1.0], [-2.0]], "actions[1, 0] must be a finite cost >= 0, got -2.0."),
        ([[1.0], [NAN]], "actions[1, 0] must be a finite cost >= 0, got nan."),
        (1e39, "actions must be a finite cost >= 0 in float32, got 1e+39."),
    ],
)
def test_costs_of_actions_that_make_no_sense(actions, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        rwwce.check_costs([1.0, 2.0], 0.0, actions=actions)


def test_costs_of_actions_that_pass():
    rwwce.check_costs([1.0, 2.0], 0.0, actions=[[0.0, 0.5], [1.0, 0.0]])
    with pytest.raises(ValueError, match=r"got only zeros: no mistake costs\.$"):
        rwwce.check_costs([0.0, 0.0], 0.0, actions=0.5)
    with pytest.raises(ValueError, match=r"^actions must be .* give fn=\[\.\.\.\] \* K\.$"):
        rwwce.check_costs(1.0, 0.0, actions=0.5)


def test_a_wide_matrix_needs_the_number_of_its_actions():
    wide = [[0.0, 2.0, 0.5], [3.0, -1.0, 0.25]]
    with pytest.raises(
        ValueError, match=r"^matrix must be \(K, K \+ num_actions\) .*=0, got shape"
    ):
        rwwce.costs_from_matrix(wide)
    costs = rwwce.costs_from_matrix(wide, num_actions=1)
    np.testing.assert_array_equal(costs.actions, [[0.5], [1.25]])
    np.testing.assert_array_equal(costs.right, [0, -1])
    assert "true 1 predicted 2: 1.25" in repr(costs)
    doubled = jax.jit(lambda costs: jax.tree.map(lambda x: 2 * x, costs))(costs)
    np.testing.assert_array_equal(doubled.actions, [[1], [2.5]])
    with pytest.raises(
        ValueError, match=r"^matrix\[1, 2\] must not cost less than the right decision"
    ):
        rwwce.costs_from_matrix([[0.0, 2.0, 0.5], [3.0, -1.0, -2.0]], num_actions=1)
    with pytest.raises(ValueError, match=r"^num_actions must be at least 0, got -1\.$"):
        rwwce.costs_from_matrix(wide, num_actions=-1)
