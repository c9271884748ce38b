"""Real World Cost against loops in plain Python, confusion matrices against scikit-learn."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics
from mistakes import (
    K,
    N,
    binary_loop,
    binary_mistakes,
    categorical_loop,
    categorical_mistakes,
    costs_of,
    everyone,
    integers,
    masks,
)
from precision import enable_x64

import rwwce_jax as rwwce

NAN, INF = np.nan, np.inf
RTOL = {"float32": 1e-6, "float64": 1e-14}

both = pytest.mark.parametrize("dtype", ["float32", "float64"])


def as_held(dtype, *costs):
    """Costs as JAX arrays, whose dtype decides that of the result."""
    return [jnp.asarray(cost, dtype) for cost in costs]


def assert_cost(cost, expected, dtype="float32"):
    assert cost.shape == ()
    assert cost.dtype == dtype
    np.testing.assert_allclose(cost, expected, rtol=RTOL[dtype])


# --- Real World Cost ------------------------------------------------------------------------------


@both
@binary_mistakes
def test_binary_cost_is_a_loop(dtype, predictions, labels, fn, fp, where):
    selected = everyone if where is None else where
    given = (
        (predictions, labels),
        (predictions == 1, labels == 1),
        (predictions.astype(np.uint8), labels.astype(dtype)),
    )
    with enable_x64(dtype == "float64"):
        for costs, (decided, truth) in zip(
            ((fn, fp), (fn[0], fp[0]), (fn, fp[0])), given, strict=True
        ):
            of_each = (np.broadcast_to(cost, N) for cost in costs)
            expected = binary_loop(predictions, labels, *of_each, selected)
            held = as_held(dtype, *costs)
            cost = rwwce.binary_real_world_cost(decided, truth, *held, where=where)
            assert_cost(cost, expected, dtype)


@both
@categorical_mistakes
def test_categorical_cost_is_a_loop(dtype, predictions, labels, fn, fp, where):
    selected = everyone if where is None else where
    with enable_x64(dtype == "float64"):
        for costs in ((fn, fp), (fn[0], fp), (fn, fp[0, 0]), (fn[0], fp[0, 0])):
            matrices = (
                np.broadcast_to(x, shape) for x, shape in zip(costs, (K, (K, K)), strict=True)
            )
            expected = categorical_loop(predictions, labels, *matrices, selected)
            held = as_held(dtype, *costs)
            cost = rwwce.categorical_real_world_cost(predictions, labels, *held, where=where)
            assert_cost(cost, expected, dtype)
            confusion = rwwce.confusion_matrix(predictions, labels, K, where=where)
            of_confusion = rwwce.real_world_cost_from_confusion(confusion, *held)
            assert_cost(of_confusion, expected, dtype)


@hypothesis.given(
    predictions=integers(N, 1), labels=integers(N, 1), fn=costs_of(()), fp=costs_of(())
)
def test_binary_is_categorical_with_costs_for_class_1(predictions, labels, fn, fp):
    """False negatives are misses of class 1, false positives those of class 0."""
    of_classes = ([0, fn], [[0, fp], [0, 0]])
    expected = rwwce.binary_real_world_cost(predictions, labels, fn, fp)
    confusion = rwwce.confusion_matrix(predictions, labels, 2)
    assert_cost(rwwce.categorical_real_world_cost(predictions, labels, *of_classes), expected)
    assert_cost(rwwce.real_world_cost_from_confusion(confusion, *of_classes), expected)


def test_costs_per_example_are_a_column_of_their_own():
    predictions, labels = jnp.array([[1, 0], [0, 1]]), jnp.array([[0, 1], [1, 0]])
    cost = rwwce.binary_real_world_cost(predictions, labels, jnp.array([[2.0], [20.0]]), 0)
    assert_cost(cost, (2 + 20) / 4)
    cost = rwwce.binary_real_world_cost(predictions, labels, 0, jnp.array([3.0, 30.0]))
    assert_cost(cost, (3 + 30) / 4)


def test_a_probability_as_the_truth_gives_the_expected_cost():
    cost = rwwce.binary_real_world_cost(jnp.array([0, 1]), jnp.array([0.25, 0.25]), 2000, 100)
    assert_cost(cost, (0.25 * 2000 + 0.75 * 100) / 2)


@pytest.mark.parametrize(
    ("misses", "alarms", "dollars"), [(454, 127, 5.78), (317, 203, 4.11), (161, 1272, 2.81)]
)
def test_table_1_of_the_paper(misses, alarms, dollars):
    """Mean false negatives and positives of ten test sets, and mean Real World Cost.

    The test set is a quarter of 630 + 63,000 examples; a miss costs 2000 and a false alarm 100.
    """
    positives, examples = 10 * 630 // 4, 10 * (630 + 63_000) // 4
    labels = np.arange(examples) < positives
    predictions = labels.copy()
    predictions[:misses] = False
    predictions[-alarms:] = True
    cost = rwwce.binary_real_world_cost(predictions, labels, fn=2000, fp=100)
    np.testing.assert_allclose(cost, dollars, rtol=5e-3)
    confusion = rwwce.confusion_matrix(predictions.astype(int), labels.astype(int), 2)
    np.testing.assert_array_equal([confusion[1, 0], confusion[0, 1]], [misses, alarms])


# --- Confusion matrices ---------------------------------------------------------------------------


@hypothesis.given(predictions=integers(N, K - 1), labels=integers(N, K - 1), where=masks)
def test_confusion_matrix_is_that_of_scikit_learn(predictions, labels, where):
    expected = sklearn.metrics.confusion_matrix(
        labels, predictions, labels=range(K), sample_weight=where
    )
    for shape in (N, (4, 5)):
        mask = None if where is None else where.reshape(shape)
        confusion = rwwce.confusion_matrix(
            predictions.reshape(shape), labels.reshape(shape), K, where=mask
        )
        assert confusion.dtype == jnp.int32
        np.testing.assert_array_equal(confusion, expected)


@hypothesis.given(
    predictions=integers((3, N), K - 1),
    labels=integers((3, N), K - 1),
    fn=costs_of(K),
    fp=costs_of((K, K)),
)
def test_batches_are_added_before_the_cost(predictions, labels, fn, fp):
    """Counts or shares; and several matrices have a cost each."""
    batches = [rwwce.confusion_matrix(*batch, K) for batch in zip(predictions, labels, strict=True)]
    expected = rwwce.categorical_real_world_cost(predictions, labels, fn, fp)
    for confusion in (sum(batches), np.asarray(sum(batches)) / predictions.size):
        assert_cost(rwwce.real_world_cost_from_confusion(confusion, fn, fp), expected)
    of_each = rwwce.real_world_cost_from_confusion(jnp.stack(batches), fn, fp)
    expected = [
        rwwce.categorical_real_world_cost(*batch, fn, fp)
        for batch in zip(predictions, labels, strict=True)
    ]
    np.testing.assert_allclose(of_each, expected, rtol=RTOL["float32"])


def test_large_costs_and_counts_do_not_overflow():
    confusion = np.array([[0, 2**30], [0, 2**30]])
    assert_cost(rwwce.real_world_cost_from_confusion(confusion, 0, [[0, 1e38], [0, 0]]), 5e37)
    huge = [[0.0, 3e38], [3e38, 3e38]]
    assert_cost(rwwce.real_world_cost_from_confusion(huge, 1.0, 0.0), 2 / 3)


# --- What is not a class, not a decision, not a number --------------------------------------------


@pytest.mark.parametrize("where", ["predictions", "labels"])
def test_ids_out_of_range(where):
    others = np.array([True, False, True])
    costs = np.ones(K), np.ones((K, K))
    for wrong in (-1, K, 2**31 - 1, 2**32 + 1):
        ids = {"predictions": np.array([0, 1, 2]), "labels": np.array([0, 1, 3])}
        ids[where][1] = wrong
        for fn, fp in (costs, (costs[0], 1)):
            assert jnp.isnan(rwwce.categorical_real_world_cost(**ids, fn=fn, fp=fp))
        confusion = rwwce.confusion_matrix(**ids, num_classes=K)
        np.testing.assert_array_equal(confusion, np.full((K, K), -1))
        for counts in (confusion, confusion + rwwce.confusion_matrix([0], [0], K)):
            assert jnp.isnan(rwwce.real_world_cost_from_confusion(counts, *costs))

        cost = rwwce.categorical_real_world_cost(**ids, fn=costs[0], fp=costs[1], where=others)
        assert_cost(cost, 1)
        confusion = rwwce.confusion_matrix(**ids, num_classes=K, where=others)
        expected = np.zeros((K, K))
        expected[0, 0] = expected[3, 2] = 1
        np.testing.assert_array_equal(confusion, expected)


def test_ids_where_the_costs_do_not_tell_the_number_of_classes():
    assert jnp.isnan(rwwce.categorical_real_world_cost([-1], [0], 1, 2))
    assert jnp.isnan(rwwce.categorical_real_world_cost([0], [-1], 1, 2))
    assert rwwce.categorical_real_world_cost([10**6], [0], 1, 2) == 3
    # 2**32 + 1 is 1 in 32 bits: no hit.
    assert rwwce.categorical_real_world_cost(np.array([2**32 + 1]), np.array([1]), 1, 2) != 0


def test_binary_decisions_and_labels_out_of_range():
    others = jnp.array([False, True])
    for prediction, label in ((-1, 0), (2, 0), (0, -1), (0, 2), (0, NAN), (1, 1.5)):
        predictions, labels = jnp.array([prediction, 0]), jnp.array([label, 1])
        assert jnp.isnan(rwwce.binary_real_world_cost(predictions, labels, 2.0, 3.0))
        assert rwwce.binary_real_world_cost(predictions, labels, 2.0, 3.0, where=others) == 2


def test_the_diagonal_is_never_used():
    predictions, labels = np.array([0, 1, 1]), np.array([0, 1, 0])
    confusion = rwwce.confusion_matrix(predictions, labels, 2)
    for diagonal in (7.0, NAN, INF):
        fp = np.array([[diagonal, 5], [3, diagonal]])
        assert rwwce.categorical_real_world_cost(predictions, labels, 1, fp) == 2
        assert rwwce.real_world_cost_from_confusion(confusion, 1, fp) == 2


def test_nothing_to_average():
    none, wrong, matrix = np.zeros(0, int), np.array([-1, 7, 0]), np.ones((K, K))
    for ids, where in ((none, None), (wrong, np.zeros(3, bool))):
        assert rwwce.binary_real_world_cost(ids, ids, 1, 1, where=where) == 0
        assert rwwce.categorical_real_world_cost(ids, ids, 1, matrix, where=where) == 0
        confusion = rwwce.confusion_matrix(ids, ids, K, where=where)
        np.testing.assert_array_equal(confusion, np.zeros((K, K)))
        assert rwwce.real_world_cost_from_confusion(confusion, 1, matrix) == 0


def test_under_jit_and_vmap():
    rng = np.random.default_rng(0)
    predictions, labels = rng.integers(0, K, (2, 5, N))
    where = rng.random((5, N)) < 0.7
    fn, fp = rng.random((5, K)).astype(np.float32), rng.random((5, K, K)).astype(np.float32)

    def everything(predictions, labels, fn, fp, where):
        confusion = rwwce.confusion_matrix(predictions, labels, K, where=where)
        return (
            confusion,
            rwwce.real_world_cost_from_confusion(confusion, fn, fp),
            rwwce.categorical_real_world_cost(predictions, labels, fn, fp, where=where),
            rwwce.binary_real_world_cost(predictions % 2, labels % 2, fn[0], fp[0, 0], where=where),
        )

    arguments = (predictions, labels, fn, fp, where)
    expected = [everything(*(x[i] for x in arguments)) for i in range(5)]
    mapped = jax.jit(jax.vmap(everything))(*arguments)
    for x, *each in zip(mapped, *expected, strict=True):
        np.testing.assert_allclose(x, np.stack(each), rtol=1e-6)
