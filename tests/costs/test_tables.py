"""Costs as a pandas DataFrame: its names are kept, its columns found, other orders refused."""

import numpy as np
import pytest
from pandas import DataFrame
from refusals import ACCEPTED, BETWEEN_CLASSES

import rwwce_jax as rwwce

pytestmark = pytest.mark.always

NAMES = ("refuse", "grant", "half")
MATRIX = np.array([[3.0, 2000.0, 900.0], [100.0, -5.0, 60.0], [60.0, 80.0, 0.5]])
COSTS = rwwce.costs_from_matrix(MATRIX, class_names=NAMES)
COLUMNS = ("grant", "ask", "refuse", "half", "wait")
WIDE = np.column_stack([MATRIX[:, 1], [9.0, 8.0, 7.0], MATRIX[:, [0, 2]], [6.0, 5.0, 4.0]])


def test_the_columns_of_a_table_are_found_by_their_names():
    moved = DataFrame(MATRIX[:, [1, 2, 0]], index=NAMES, columns=("grant", "half", "refuse"))
    numbered = DataFrame(MATRIX, index=[3, 7, 11], columns=[3, 7, 11])
    unnamed = DataFrame(MATRIX, index=range(3), columns=range(3))
    for matrix, names in (
        (moved, None),
        (moved, list(NAMES)),
        (numbered, NAMES),
        (unnamed, NAMES),
    ):
        costs = rwwce.costs_from_matrix(matrix, class_names=names)
        assert costs.class_names == NAMES
        assert repr(costs) == repr(COSTS)
        np.testing.assert_array_equal(costs.fp, COSTS.fp)
    assert "true refuse predicted grant: 1997.0" in repr(costs)


def test_further_columns_name_the_actions():
    for given in ({}, {"num_actions": 2}):
        costs = rwwce.costs_from_matrix(DataFrame(WIDE, index=NAMES, columns=COLUMNS), **given)
        assert costs.action_names == ("ask", "wait")
        assert costs.class_names == NAMES
        np.testing.assert_array_equal(costs.fp, COSTS.fp)
        np.testing.assert_array_equal(costs.actions, [[6, 3], [13, 10], [6.5, 3.5]])
    assert "true grant predicted ask: 13.0" in repr(costs)


def test_tables_that_are_refused():
    """A column of ids, as of a file that is read without its header, names no action."""
    wide = DataFrame(WIDE, index=NAMES, columns=COLUMNS)
    cheap = DataFrame(WIDE - 9 * (WIDE == 9), index=NAMES, columns=COLUMNS)
    with_ids = np.column_stack([range(3), MATRIX])
    named = DataFrame(MATRIX, index=NAMES, columns=NAMES)
    mixed = DataFrame(MATRIX, index=[3, 11, 7], columns=[3, 11, 7])
    no_column = "matrix must have a column for each class of its rows"
    those = r"class_names must be those of the matrix, \("
    for given, options, message in (
        (wide, {"num_actions": 1}, r"matrix must be .* num_actions=1, got shape \(3, 5\)\.$"),
        (cheap, {}, r"matrix\[0, 3\] \(true 'refuse', predicted 'ask'\) must not cost less"),
        (with_ids, {}, r"matrix must be .* num_actions=0, got shape \(3, 4\)\.$"),
        (DataFrame(with_ids, index=range(3), columns=range(4)), {}, r".* num_actions=0, got shape"),
        (named, {"class_names": NAMES[::-1]}, f"{those}'refuse', "),
        (mixed, {"class_names": NAMES}, rf"{those}'3', '11', '7'\)"),
        (DataFrame(MATRIX, range(3), NAMES), {}, no_column),
        (DataFrame(MATRIX, NAMES, ["refuse", "grant", "grant"]), {}, no_column),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            rwwce.costs_from_matrix(given, **options)


TAKERS = [
    (rwwce.costs_from_matrix, "matrix"),
    (rwwce.multilabel, "fp_pairs"),
    *((function, "fp") for function in BETWEEN_CLASSES),
]


@pytest.mark.parametrize(("function", "name"), TAKERS)
def test_ids_must_be_in_their_order(function, name):
    """The costs printed "true 2 predicted 10: 500.0", but the metric took 2 for the third row."""

    def call(rows, columns):
        arguments = ACCEPTED.get(function, {})
        function(**arguments | {name: DataFrame(1 - np.eye(3), index=rows, columns=columns)})

    for names in (("0", "10", "2"), (0, 10, 2), (1, 2, 3), ("1.0", "2.0", "3.0"), (1, 0, 2)):
        with pytest.raises(ValueError, match=f"^{name} must name .* by the ids 0 to 2 in their "):
            call(names, names)
    for names in (list(range(3)), ("0", "1", "2"), NAMES, ("0.5", "1", "2")):
        call(names, names)
    if function is not rwwce.costs_from_matrix:
        loc = rf"^{name} must have .* give {name}\.loc\[names, names\]\.$"
        with pytest.raises(ValueError, match=loc):
            call(NAMES, NAMES[::-1])
