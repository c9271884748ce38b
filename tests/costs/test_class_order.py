"""Costs in the order of somebody else's classes: a model's, or those of a table's columns."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import TABLES

import rwwce_jax as rwwce

NAMES = ("refuse", "grant", "half")
ALPHABET = tuple(sorted(NAMES))
ORDER = [1, 2, 0]  # of the alphabet
MATRIX = np.array([[3.0, 2000.0, 900.0], [100.0, -5.0, 60.0], [60.0, 80.0, 0.5]])
COSTS = rwwce.costs_from_matrix(MATRIX, class_names=NAMES)
PAIRS = {("refuse", "grant"): 7.0, ("half", "refuse"): 2.0, ("half", "grant"): 3.0}


def assert_equal(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


@pytest.mark.parametrize("how", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_costs_in_the_order_of_a_model(how):
    expected = rwwce.costs_from_matrix(MATRIX[ORDER][:, ORDER], class_names=ALPHABET)
    for kind in (list, np.array):
        assert_equal(how(lambda costs, kind=kind: costs.ordered(kind(ALPHABET)))(COSTS), expected)
    assert_equal(how(lambda costs: costs.ordered(NAMES))(expected), COSTS)
    numbered = rwwce.costs_from_matrix(MATRIX, class_names="012")
    order = np.array([2, 0, 1])
    assert_equal(numbered.ordered(order).fn, COSTS.fn[order])


@pytest.mark.parametrize("how", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_pairs_numbers_and_actions_in_another_order(how):
    actions = jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])

    def costs(names, actions):
        pairs = rwwce.pair_costs(PAIRS, class_names=names)
        return rwwce.Costs(
            2.0, pairs, 0.5, actions, class_names=names, action_names=("ask", "wait")
        )

    ordered = how(lambda costs: costs.ordered(ALPHABET))(costs(NAMES, actions))
    assert_equal(ordered, costs(ALPHABET, actions[np.array(ORDER)]))


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
        (
            rwwce.Costs(1.0, MATRIX[:2], class_names=NAMES),
            NAMES,
            "fp must have shape (3, 3), got shape (2, 3).",
        ),
    ],
)
def test_names_that_are_refused(costs, names, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        costs.ordered(names)


# --- The columns of a table -----------------------------------------------------------------------

COLUMNS = ("grant", "ask", "refuse", "half", "wait")
WIDE = np.column_stack([MATRIX[:, 1], [9.0, 8.0, 7.0], MATRIX[:, [0, 2]], [6.0, 5.0, 4.0]])


@TABLES
def test_the_columns_of_a_table_are_found_by_their_names(table):
    moved = table(MATRIX[:, ORDER], index=NAMES, columns=ALPHABET)
    assert repr(rwwce.costs_from_matrix(moved)) == repr(COSTS)
    numbered = table(MATRIX, index=[3, 7, 11], columns=[3, 7, 11])
    assert repr(rwwce.costs_from_matrix(numbered, class_names=NAMES)) == repr(COSTS)


@TABLES
def test_further_columns_name_the_actions(table):
    for given in ({}, {"num_actions": 2}):
        costs = rwwce.costs_from_matrix(table(WIDE, index=NAMES, columns=COLUMNS), **given)
        assert costs.action_names == ("ask", "wait")
        assert costs.class_names == NAMES
        np.testing.assert_array_equal(costs.fp, COSTS.fp)
        np.testing.assert_array_equal(costs.actions, [[6, 3], [13, 10], [6.5, 3.5]])
    assert "true grant predicted ask: 13.0" in repr(costs)


@TABLES
def test_tables_that_are_refused(table):
    """A column of ids, as of a file that is read without its header, names no action."""
    wide = table(WIDE, index=NAMES, columns=COLUMNS)
    cheap = table(WIDE - 9 * (WIDE == 9), index=NAMES, columns=COLUMNS)
    with_ids = np.column_stack([range(3), MATRIX])
    mixed = table(MATRIX, index=[3, 11, 7], columns=[3, 11, 7])
    for given, options, message in (
        (wide, {"num_actions": 1}, r"matrix must be .* num_actions=1, got shape \(3, 5\)\.$"),
        (cheap, {}, r"matrix\[0, 3\] \(true 'refuse', predicted 'ask'\) must not cost less"),
        (with_ids, {}, r"matrix must be .* num_actions=0, got shape \(3, 4\)\.$"),
        (table(with_ids, index=range(3), columns=range(4)), {}, r".* num_actions=0, got shape"),
        (mixed, {"class_names": NAMES}, r"class_names must be those of .* \('3', '11', '7'\)"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            rwwce.costs_from_matrix(given, **options)
