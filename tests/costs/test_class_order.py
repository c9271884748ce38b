"""Costs in the order of the classes of a model."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce

NAMES = ("refuse", "grant", "half")
ALPHABET = tuple(sorted(NAMES))
ORDER = np.array([1, 2, 0])  # of the alphabet
MATRIX = np.array([[3.0, 2000.0, 900.0], [100.0, -5.0, 60.0], [60.0, 80.0, 0.5]])
COSTS = rwwce.costs_from_matrix(MATRIX, class_names=NAMES)
PAIRS = {("refuse", "grant"): 7.0, ("half", "refuse"): 2.0, ("half", "grant"): 3.0}
ACTIONS = jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])


def from_matrix(names, order):
    return rwwce.costs_from_matrix(MATRIX[order][:, order], class_names=names)


def of_pairs(names, order):
    pairs = rwwce.pair_costs(PAIRS, class_names=names)
    actions = {"action_names": ("ask", "wait"), "actions": ACTIONS[order]}
    return rwwce.Costs(2.0, pairs, 0.5, class_names=names, **actions)


@pytest.mark.always
@pytest.mark.parametrize("make", [from_matrix, of_pairs])
def test_costs_in_the_order_of_a_model(make):
    """Under jit, too."""
    given, expected = make(NAMES, np.arange(3)), make(ALPHABET, ORDER)
    for costs, names, ordered in (
        (given, list(ALPHABET), expected),
        (given, np.array(ALPHABET), expected),
        (expected, NAMES, given),
    ):
        actual = jax.jit(lambda costs, names=names: costs.ordered(names))(costs)
        assert jax.tree.structure(actual) == jax.tree.structure(ordered)
        jax.tree.map(np.testing.assert_array_equal, actual, ordered)


ORDERED_AS = "class_names must be those of the costs, "


@pytest.mark.always
@pytest.mark.parametrize(
    ("costs", "names", "message"),
    [
        (rwwce.Costs(1.0, MATRIX), NAMES, f"{ORDERED_AS}None, in any order, got ('refuse', "),
        (COSTS, NAMES[1:], f"{ORDERED_AS}{NAMES}, in any order, got ('grant', 'half')."),
        (COSTS, [*NAMES, "half"], "in any order, got ('refuse', 'grant', 'half', 'half')."),
        (
            rwwce.Costs([1.0, 2.0], MATRIX, class_names=NAMES),
            NAMES,
            "fn must have shape (3,), got shape (2,).",
        ),
    ],
)
def test_names_that_are_refused(costs, names, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        costs.ordered(names)
