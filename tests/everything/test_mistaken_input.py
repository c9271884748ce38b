"""What users give by mistake after training: one sentence, with the remedy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import TABLES

import rwwce_jax as rwwce

pytestmark = pytest.mark.always

INF, NAN = np.inf, np.nan
LOGITS = np.float32([[2.0, -1.0, 0.5], [0.1, 0.2, 3.0]])
PAIRS = rwwce.pair_costs({(0, 1): 2.0, (2, 1): 3.0}, 3)
NAMES = ("refuse", "grant", "half")
MATRIX = np.array([[0.0, 2000.0, 900.0], [100.0, 0.0, 60.0], [60.0, 80.0, 0.0]])
ENCODE = "encode labels and predictions by one table, [names.index(x) for x in labels]."
FOR_TWO = (
    "for two classes give scores[..., 1], for more use rwwce_jax.decide on their probabilities."
)
ARGMAX = "of logits or probabilities take argmax(-1)."
ONE_HOT = (
    "of one-hot labels take labels.argmax(-1); "
    "of several labels at once logits.ravel() and labels.ravel()."
)
LAST_AXIS = "; give the examples without their last axis, x[..., 0]."
NOT_ONE = "probs must add up to 1 over the classes of each example, got a sum of"
SOFTMAX = "of logits take jax.nn.softmax first."

MISTAKES = {
    "labels that are strings": (
        lambda: rwwce.binary(np.ones(2), ["yes", "no"], 1.0, 1.0),
        "labels must be an array of numbers, got ['yes', 'no']; " + ENCODE,
    ),
    "labels that are objects": (
        lambda: rwwce.categorical(LOGITS, np.array(["a", "b"], object), 1.0, 1.0),
        "labels must be an array of numbers, got array(['a', 'b'], dtype=object); " + ENCODE,
    ),
    "predictions that are strings": (
        lambda: rwwce.confusion_matrix(["a"], ["b"], 2),
        "predictions must be an array of numbers, got ['a']; " + ENCODE,
    ),
    "predictions that are logits": (
        lambda: rwwce.categorical_real_world_cost(LOGITS, [0, 2], 1.0, 0.0),
        "predictions must be integer class ids, got dtype float32; " + ARGMAX,
    ),
    "a cost that is no machine number": (
        lambda: rwwce.categorical(LOGITS, [0, 2], 10**20, 0.0),
        "fn must be an array of numbers, got 100000000000000000000; convert it by float().",
    ),
    "an array of objects, as of a DataFrame that may lack values": (
        lambda: rwwce.categorical(LOGITS, [0, 2], np.array([2, 1], object), 0.0),
        (
            "fn must be an array of numbers, got array([2, 1], dtype=object); convert it by "
            "astype(float)."
        ),
    ),
    "costs of other pairs": (
        lambda: rwwce.categorical(LOGITS, [0, 2], 1.0, dataclasses.replace(PAIRS, costs=[1.0])),
        "fp.costs must have one cost per pair, shape (2,), got shape (1,).",
    ),
    "one-hot labels to fit a temperature": (
        lambda: rwwce.fit_temperature(LOGITS, np.eye(3, dtype=int)[:2]),
        "labels must be class ids, got the logits' shape (2, 3): " + ONE_HOT,
    ),
    "labels whose mask would be forgotten": (
        lambda: rwwce.binary([0.0, 9.0], np.ma.masked_equal([0, 1], 1), 1.0, 1.0),
        (
            "labels must be an array without a mask, got a numpy.ma.MaskedArray; give its data, "
            "and by where the examples that count."
        ),
    ),
    "names that are ids in another order": (
        lambda: rwwce.costs_from_matrix(1 - np.eye(3), class_names=["0", "10", "2"]),
        (
            "class_names must name the classes by words, or by the ids 0 to 2 in their order, got "
            "('0', '10', '2'); sort them by number, or give words as class_names."
        ),
    ),
    "labels that are dates": (
        lambda: rwwce.confusion_matrix([1], np.array(["2020-01-01"], "M8[D]"), 2),
        "labels must be an array of numbers, got array(['2020-01-01'], dtype='datetime64[D]').",
    ),
    "best_threshold of several classes": (
        lambda: rwwce.best_threshold(LOGITS, [0, 2], 1.0, 1.0),
        "scores must be one per example, shape (2,), got shape (2, 3); " + FOR_TWO,
    ),
    "best_threshold of two classes": (
        lambda: rwwce.best_threshold(LOGITS[:, :2], [0, 1], 1.0, 1.0),
        "scores must be one per example, shape (2,), got shape (2, 2); " + FOR_TWO,
    ),
    "best_threshold of one column": (
        lambda: rwwce.best_threshold(LOGITS[:, :1], [0, 1], 1.0, 1.0),
        "labels must have the shape of the examples (2, 1), got shape (2,)" + LAST_AXIS,
    ),
    "logits to decide": (
        lambda: rwwce.decide(LOGITS, 1.0, 0.0),
        f"{NOT_ONE} 3.3; {SOFTMAX}",
    ),
    "log-probabilities to decide, one example": (
        lambda: rwwce.decide(jax.nn.log_softmax(LOGITS[0]), 1.0, 0.0),
        f"{NOT_ONE} -5.22; {SOFTMAX}",
    ),
    "logits to decide, another axis": (
        lambda: rwwce.decide(jnp.asarray(LOGITS.T), 1.0, 0.0, axis=0),
        f"{NOT_ONE} 3.3; {SOFTMAX}",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_one_sentence_names_the_remedy(name):
    call, message = MISTAKES[name]
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert str(caught.value) == message


# --- decide ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float16, jnp.bfloat16])
@pytest.mark.parametrize("num_classes", [2, 10, 100_000])
def test_rounded_probabilities_are_accepted(num_classes, dtype):
    rng = np.random.default_rng(0)
    logits = 3 * rng.normal(size=(4, num_classes)).astype(np.float32)
    probs = np.asarray(jax.nn.softmax(logits)).astype(dtype)
    np.testing.assert_array_equal(rwwce.decide(probs, 1.0, 0.0), probs.argmax(-1))
    uniform = np.full((2, num_classes), 1 / num_classes).astype(dtype)
    np.testing.assert_array_equal(rwwce.decide(uniform, 1.0, 0.0), 0)


def test_what_is_no_logit_is_not_taken_for_one():
    """An example of which nothing is known is decided as -1, among others or alone."""
    probs = np.float32([[0.33, 0.33, 0.33], [NAN, 1.0, 2.0], [INF, 1.0, 0.0], [-0.1, 0.6, 0.5]])
    np.testing.assert_array_equal(rwwce.decide(probs, 1.0, 0.0), [0, -1, -1, -1])
    assert rwwce.decide(np.zeros((0, 3), np.float32), 1.0, 0.0).shape == (0,)
    wrong = np.concatenate([probs, LOGITS])
    with pytest.raises(ValueError, match=r"got a sum of 3\.3"):
        rwwce.decide(wrong, 1.0, 0.0)


def test_compiled_code_cannot_look_and_does_not_raise():
    each = jax.vmap(lambda z: rwwce.decide(z, 1.0, 0.0))
    for decide in (each, jax.jit(each)):
        np.testing.assert_array_equal(decide(LOGITS), [-1, 2])
        np.testing.assert_array_equal(decide(jax.nn.softmax(LOGITS)), [0, 2])


# --- A table as costs -----------------------------------------------------------------------------


@TABLES
def test_a_table_keeps_its_names(table):
    expected = rwwce.costs_from_matrix(MATRIX, class_names=NAMES)
    costs = rwwce.costs_from_matrix(table(MATRIX, index=NAMES, columns=NAMES))
    assert costs.class_names == NAMES
    assert repr(costs) == repr(expected)
    assert "true refuse predicted grant: 2000.0" in repr(costs)
    np.testing.assert_array_equal(costs.fp, expected.fp)
    with pytest.raises(ValueError, match=r"^matrix\[0, 1\] \(true 'refuse', predicted 'grant'\)"):
        rwwce.costs_from_matrix(table(np.triu(np.full((3, 3), -1.0), 1), NAMES, NAMES))


@TABLES
def test_class_names_name_a_table_without_names(table):
    unnamed = table(MATRIX, index=range(3), columns=range(3))
    assert rwwce.costs_from_matrix(unnamed, class_names=NAMES).class_names == NAMES
    named = table(MATRIX, index=NAMES, columns=NAMES)
    assert rwwce.costs_from_matrix(named, class_names=list(NAMES)).class_names == NAMES
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


SORTED_AS_STRINGS = ("0", "1", "10", "2")
INTEGERS = r"^{0} must name the classes by words, or by the ids 0 to {1} in their order, got "
AS_COSTS = {
    "matrix": rwwce.costs_from_matrix,
    "fp": lambda table: rwwce.categorical(np.zeros((1, len(table.index))), [0], 1.0, table),
    "fp of the metric": lambda table: rwwce.categorical_real_world_cost([0], [0], 1.0, table),
    "fp that is checked": lambda table: rwwce.check_costs(1.0, table),
    "fp_pairs": lambda table: rwwce.multilabel(
        np.zeros(len(table.index)), np.zeros(len(table.index)), 1.0, 1.0, fp_pairs=table
    ),
}
TAKES_TABLES = pytest.mark.parametrize("taker", AS_COSTS)


@TABLES
@TAKES_TABLES
@pytest.mark.parametrize(
    "names", [SORTED_AS_STRINGS, (0, 1, 10, 2), (1, 2, 3), ("1.0", "2.0"), (1, 0)], ids=str
)
def test_ids_in_another_order_are_refused(table, taker, names):
    """The costs printed "true 2 predicted 10: 500.0", but the metric took 2 for the third row."""
    size = len(names)
    costs = table(1 - np.eye(size), index=names, columns=names)
    with pytest.raises(ValueError, match=INTEGERS.format(taker.split()[0], size - 1)):
        AS_COSTS[taker](costs)


@TABLES
@TAKES_TABLES
@pytest.mark.parametrize("names", [range(3), ("0", "1", "2"), NAMES, ("0.5", "1", "2")], ids=str)
def test_ids_in_their_order_and_words_are_taken(table, taker, names):
    AS_COSTS[taker](table(1 - np.eye(3), index=list(names), columns=list(names)))


@TABLES
def test_fp_of_a_table_whose_columns_are_in_another_order(table):
    with pytest.raises(ValueError, match=r"^fp must have .* give fp\.loc\[names, names\]\.$"):
        rwwce.decide(np.eye(3), 1.0, table(MATRIX, index=NAMES, columns=NAMES[::-1]))
