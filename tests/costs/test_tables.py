"""Costs as a pandas DataFrame: names are kept, and ids in another order refused."""

import numpy as np
import pytest
from tables import TABLES

import rwwce_jax as rwwce

pytestmark = pytest.mark.always

NAMES = ("refuse", "grant", "half")
MATRIX = np.array([[0.0, 2000.0, 900.0], [100.0, 0.0, 60.0], [60.0, 80.0, 0.0]])
OTHER_ORDER = r"^{0} must name the classes by words, or by the ids 0 to {1} in their order, got "


@TABLES
def test_names_are_kept(table):
    expected = rwwce.costs_from_matrix(MATRIX, class_names=NAMES)
    named = table(MATRIX, index=NAMES, columns=NAMES)
    costs = rwwce.costs_from_matrix(named)
    assert costs.class_names == NAMES
    assert repr(costs) == repr(expected)
    assert "true refuse predicted grant: 2000.0" in repr(costs)
    np.testing.assert_array_equal(costs.fp, expected.fp)
    with pytest.raises(ValueError, match=r"^matrix\[0, 1\] \(true 'refuse', predicted 'grant'\)"):
        rwwce.costs_from_matrix(table(np.triu(np.full((3, 3), -1.0), 1), NAMES, NAMES))
    # Names that are given must be the same, and name what has none.
    unnamed = table(MATRIX, index=range(3), columns=range(3))
    for matrix in (named, unnamed):
        assert rwwce.costs_from_matrix(matrix, class_names=list(NAMES)).class_names == NAMES
    with pytest.raises(ValueError, match=r"^class_names must be those of the matrix, \('refuse', "):
        rwwce.costs_from_matrix(named, class_names=NAMES[::-1])


@TABLES
@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (range(3), NAMES),
        (NAMES, ("refuse", "grant", "Half")),
        (NAMES, ("refuse", "grant", "grant")),
        (("refuse", "grant", "grant"), NAMES),
    ],
    ids=str,
)
def test_classes_without_a_column_of_their_own_are_refused(table, rows, columns):
    with pytest.raises(ValueError, match=r"^matrix must have a column for each class of its rows"):
        rwwce.costs_from_matrix(table(MATRIX, index=rows, columns=columns))


def multilabel(table):
    return rwwce.multilabel(
        np.zeros(len(table.index)), np.zeros(len(table.index)), 1.0, 1.0, fp_pairs=table
    )


TAKERS = pytest.mark.parametrize(
    ("name", "call"),
    [
        ("matrix", rwwce.costs_from_matrix),
        (
            "fp",
            lambda table: rwwce.decide(np.full(len(table.index), 1 / len(table.index)), 1.0, table),
        ),
        ("fp", lambda table: rwwce.categorical_real_world_cost([0], [0], 1.0, table)),
        ("fp", lambda table: rwwce.check_costs(1.0, table)),
        ("fp_pairs", multilabel),
    ],
    ids=["matrix", "fp", "fp of the metric", "fp that is checked", "fp_pairs"],
)


@TAKERS
@TABLES
def test_ids_must_be_in_their_order(table, name, call):
    """The costs printed "true 2 predicted 10: 500.0", but the metric took 2 for the third row."""
    for names in (("0", "1", "10", "2"), (0, 1, 10, 2), (1, 2, 3), ("1.0", "2.0"), (1, 0)):
        size = len(names)
        with pytest.raises(ValueError, match=OTHER_ORDER.format(name, size - 1)):
            call(table(1 - np.eye(size), index=names, columns=names))
    for names in (range(3), ("0", "1", "2"), NAMES, ("0.5", "1", "2")):
        call(table(1 - np.eye(3), index=list(names), columns=list(names)))


def test_class_names_are_ids_in_their_order_or_words():
    with pytest.raises(ValueError, match=OTHER_ORDER.format("class_names", 2)):
        rwwce.costs_from_matrix(1 - np.eye(3), class_names=["0", "10", "2"])


@TABLES
def test_fp_of_a_table_whose_columns_are_in_another_order(table):
    with pytest.raises(ValueError, match=r"^fp must have .* give fp\.loc\[names, names\]\.$"):
        rwwce.decide(np.eye(3), 1.0, table(MATRIX, index=NAMES, columns=NAMES[::-1]))
