"""Costs in the order of somebody else's classes: a model's, or those of a table's columns."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import TABLES

import rwwce_jax as rwwce

NAMES = ("refuse", "grant", "half")
ORDER = [1, 2, 0]  # of the alphabet
MATRIX = np.array([[3.0, 2000.0, 900.0], [100.0, -5.0, 60.0], [60.0, 80.0, 0.5]])
COSTS = rwwce.costs_from_matrix(MATRIX, class_names=NAMES)
PAIRS = {("refuse", "grant"): 7.0, ("half", "refuse"): 2.0, ("half", "grant"): 3.0}


def by_hand(classes):
    """The same matrix, its rows and columns moved."""
    order = [NAMES.index(name) for name in classes]
    return rwwce.costs_from_matrix(MATRIX[order][:, order], class_names=list(classes))


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_costs_in_the_order_of_a_model(kind):
    classes = kind(sorted(NAMES))
    ordered, expected = COSTS.ordered(classes), by_hand(sorted(NAMES))
    for name in ("fn", "fp", "right"):
        np.testing.assert_array_equal(getattr(ordered, name), getattr(expected, name))
    assert ordered.class_names == tuple(sorted(NAMES))
    assert repr(ordered) == repr(expected)
    back = ordered.ordered(NAMES)
    assert jax.tree.all(jax.tree.map(np.array_equal, back, COSTS))


def test_decisions_by_the_columns_of_predict_proba():
    """Scikit-learn sorts the classes: decided by the costs of others, 1.63, not 0.45."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 600)
    features = rng.normal(size=(600, 2)) + 2 * np.eye(3)[truth][:, :2]
    model = LogisticRegression().fit(features, np.array(NAMES)[truth])
    probs = model.predict_proba(features)
    ours = rwwce.decide(probs, *COSTS.ordered(model.classes_))
    in_owners_order = probs[:, np.argsort(ORDER)]
    np.testing.assert_array_equal(
        model.classes_[ours], np.array(NAMES)[rwwce.decide(in_owners_order, *COSTS)]
    )


def test_pairs_numbers_and_actions_in_another_order():
    pairs = rwwce.pair_costs(PAIRS, class_names=NAMES)
    actions = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    costs = rwwce.Costs(2.0, pairs, 0.5, actions, class_names=NAMES, action_names=("ask", "wait"))
    ordered = costs.ordered(sorted(NAMES))
    expected = rwwce.pair_costs(PAIRS, class_names=sorted(NAMES))
    assert jax.tree.all(jax.tree.map(np.array_equal, ordered.fp, expected))
    assert (ordered.fn, ordered.right, ordered.action_names) == (2.0, 0.5, ("ask", "wait"))
    np.testing.assert_array_equal(ordered.actions, actions[ORDER])


def test_traced_costs_in_another_order():
    pairs = rwwce.Costs(
        [1.0, 2.0, 3.0], rwwce.pair_costs(PAIRS, class_names=NAMES), class_names=NAMES
    )
    for costs in (COSTS, pairs):
        traced = jax.jit(lambda costs: costs.ordered(sorted(NAMES)))(costs)
        assert traced.class_names == tuple(sorted(NAMES))
        for x, y in zip(
            jax.tree.leaves(traced), jax.tree.leaves(costs.ordered(sorted(NAMES))), strict=True
        ):
            np.testing.assert_array_equal(x, y)


def test_integers_as_classes():
    costs = rwwce.costs_from_matrix(MATRIX, class_names="012")
    np.testing.assert_array_equal(
        costs.ordered(np.array([2, 0, 1])).fn, costs.fn[jnp.array([2, 0, 1])]
    )


@pytest.mark.always
@pytest.mark.parametrize(
    ("costs", "names", "message"),
    [
        (
            rwwce.Costs(1.0, MATRIX),
            NAMES,
            "class_names must be those of the costs, None, in any order, got ('refuse', 'grant', ",
        ),
        (
            COSTS,
            ["grant", "half"],
            "costs, ('refuse', 'grant', 'half'), in any order, got ('grant', 'half').",
        ),
        (
            COSTS,
            [*NAMES, "half"],
            "in any order, got ('refuse', 'grant', 'half', 'half').",
        ),
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


@TABLES
def test_the_columns_of_a_table_are_found_by_their_names(table):
    order = [2, 0, 1]
    moved = table(MATRIX[:, order], index=NAMES, columns=[NAMES[k] for k in order])
    assert repr(rwwce.costs_from_matrix(moved)) == repr(COSTS)


@TABLES
def test_further_columns_name_the_actions(table):
    wide = np.column_stack([MATRIX[:, 1], [9.0, 8.0, 7.0], MATRIX[:, [0, 2]], [6.0, 5.0, 4.0]])
    columns = ["grant", "ask", "refuse", "half", "wait"]
    for given in ({}, {"num_actions": 2}):
        costs = rwwce.costs_from_matrix(table(wide, index=NAMES, columns=columns), **given)
        assert costs.action_names == ("ask", "wait")
        assert costs.class_names == NAMES
        np.testing.assert_array_equal(costs.fp, COSTS.fp)
        np.testing.assert_array_equal(costs.actions, [[6, 3], [13, 10], [6.5, 3.5]])
    assert "true grant predicted ask: 13.0" in repr(costs)
    with pytest.raises(
        ValueError, match=r"^matrix must be \(K, K \+ num_actions\) .*=1, got shape \(3, 5\)\.$"
    ):
        rwwce.costs_from_matrix(table(wide, index=NAMES, columns=columns), num_actions=1)
    with pytest.raises(
        ValueError, match=r"^matrix\[0, 3\] \(true 'refuse', predicted 'ask'\) must not"
    ):
        rwwce.costs_from_matrix(table(wide - 9 * (wide == 9), index=NAMES, columns=columns))


@TABLES
def test_the_width_of_a_table_names_no_action(table):
    """A column of ids, as of a file that is read without its header."""
    wide = np.column_stack([range(3), MATRIX])
    for given in (wide, table(wide, index=range(3), columns=range(4))):
        with pytest.raises(ValueError, match=r"num_actions=0, got shape \(3, 4\)\.$"):
            rwwce.costs_from_matrix(given)


@TABLES
def test_class_names_name_the_rows_that_are_numbers(table):
    numbered = table(MATRIX, index=[3, 7, 11], columns=[3, 7, 11])
    assert repr(rwwce.costs_from_matrix(numbered, class_names=NAMES)) == repr(COSTS)
    mixed = table(MATRIX, index=[3, 11, 7], columns=[3, 11, 7])
    with pytest.raises(ValueError, match=r"^class_names must be those of .* \('3', '11', '7'\)"):
        rwwce.costs_from_matrix(mixed, class_names=NAMES)
