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


# --- Real World Cost ------------------------------------------------------------------------------


@both
@binary_mistakes
def test_binary_cost_is_a_loop(dtype, predictions, labels, fn, fp, where):
    selected = everyone if where is None else where
    with enable_x64(dtype == "float64"):
        for fn_cost, fp_cost in ((fn, fp), (fn[0], fp[0]), (fn, fp[0])):
            expected = binary_loop(
                predictions,
                labels,
                np.broadcast_to(fn_cost, N),
                np.broadcast_to(fp_cost, N),
                selected,
            )
            held = as_held(dtype, fn_cost, fp_cost)
            for truth in (labels, labels == 1, labels.astype(dtype)):
                for decision in (predictions, predictions == 1, predictions.astype(np.uint8)):
                    cost = rwwce.binary_real_world_cost(decision, truth, *held, where=where)
                    assert cost.shape == ()
                    assert cost.dtype == dtype
                    np.testing.assert_allclose(cost, expected, rtol=RTOL[dtype])


@both
@categorical_mistakes
def test_categorical_cost_is_a_loop(dtype, predictions, labels, fn, fp, where):
    selected = everyone if where is None else where
    with enable_x64(dtype == "float64"):
        for fn_cost, fp_cost in ((fn, fp), (fn[0], fp), (fn, fp[0, 0]), (fn[0], fp[0, 0])):
            expected = categorical_loop(
                predictions,
                labels,
                np.broadcast_to(fn_cost, K),
                np.broadcast_to(fp_cost, (K, K)),
                selected,
            )
            held = as_held(dtype, fn_cost, fp_cost)
            cost = rwwce.categorical_real_world_cost(predictions, labels, *held, where=where)
            assert cost.shape == ()
            assert cost.dtype == dtype
            np.testing.assert_allclose(cost, expected, rtol=RTOL[dtype])
            confusion = rwwce.confusion_matrix(predictions, labels, K, where=where)
            from_confusion = rwwce.real_world_cost_from_confusion(confusion, *held)
            assert from_confusion.dtype == dtype
            np.testing.assert_allclose(from_confusion, expected, rtol=RTOL[dtype])


def test_numpy_costs_are_in_double_precision_where_jax_is(x64):
    for costs in ((np.float64(3), 1), (3, np.ones(2)), (jnp.float64(3), 1)):
        assert rwwce.bayes_threshold(*costs).dtype == jnp.float64
    assert rwwce.bayes_threshold(np.float32(3), 1.5).dtype == jnp.float32


def test_shares_have_the_cost_of_their_counts():
    counts = np.array([[3, 1], [2, 4]])
    expected = rwwce.real_world_cost_from_confusion(counts, 1.0, 2.0)
    for confusion in (counts / 10, counts / 1000):
        cost = rwwce.real_world_cost_from_confusion(confusion, 1.0, 2.0)
        np.testing.assert_allclose(cost, expected, rtol=1e-6)
    assert rwwce.real_world_cost_from_confusion(0 * counts, 1.0, 2.0) == 0


@hypothesis.given(
    predictions=integers(N, 1), labels=integers(N, 1), fn=costs_of(()), fp=costs_of(())
)
def test_binary_is_categorical_with_costs_for_class_1(predictions, labels, fn, fp):
    """False negatives are misses of class 1, false positives those of class 0."""
    of_classes = ([0, fn], [[0, fp], [0, 0]])
    expected = rwwce.binary_real_world_cost(predictions, labels, fn, fp)
    for cost in (
        rwwce.categorical_real_world_cost(predictions, labels, *of_classes),
        rwwce.real_world_cost_from_confusion(
            rwwce.confusion_matrix(predictions, labels, 2), *of_classes
        ),
    ):
        np.testing.assert_allclose(cost, expected, rtol=RTOL["float32"])


def test_costs_per_example_are_a_column_of_their_own():
    predictions, labels = jnp.array([[1, 0], [0, 1]]), jnp.array([[0, 1], [1, 0]])
    cost = rwwce.binary_real_world_cost(predictions, labels, jnp.array([[2.0], [20.0]]), 0)
    np.testing.assert_allclose(cost, (2 + 20) / 4)
    cost = rwwce.binary_real_world_cost(predictions, labels, 0, jnp.array([3.0, 30.0]))
    np.testing.assert_allclose(cost, (3 + 30) / 4)


def test_a_probability_as_the_truth_gives_the_expected_cost():
    labels = jnp.array([0.25, 0.25])
    cost = rwwce.binary_real_world_cost(jnp.array([0, 1]), labels, 2000, 100)
    np.testing.assert_allclose(cost, (0.25 * 2000 + 0.75 * 100) / 2)


# Table I of the paper: mean false negatives, mean false positives, mean Real World Cost. The test
# set is a quarter of 630 + 63,000 examples; a miss costs 2000 and a false alarm 100. The counts
# are rounded to a tenth, so ten test sets hold whole numbers of them.
TABLE_1 = {"Control 1": (454, 127, 5.78), "Control 2": (317, 203, 4.11), "Test": (161, 1272, 2.81)}


@pytest.mark.parametrize("model", TABLE_1)
def test_table_1_of_the_paper(model):
    misses, alarms, dollars = TABLE_1[model]
    positives, examples = 10 * 630 // 4, 10 * (630 + 63_000) // 4
    labels = np.arange(examples) < positives
    predictions = labels.copy()
    predictions[:misses] = False
    predictions[-alarms:] = True
    cost = rwwce.binary_real_world_cost(predictions, labels, fn=2000, fp=100)
    np.testing.assert_allclose(cost, (misses * 2000 + alarms * 100) / examples, rtol=1e-6)
    np.testing.assert_allclose(cost, dollars, rtol=5e-3)
    confusion = rwwce.confusion_matrix(predictions.astype(int), labels.astype(int), 2)
    np.testing.assert_array_equal(confusion[1, 0], misses)
    np.testing.assert_array_equal(confusion[0, 1], alarms)
    from_confusion = rwwce.real_world_cost_from_confusion(confusion, [0, 2000], [[0, 100], [0, 0]])
    np.testing.assert_allclose(from_confusion, cost, rtol=1e-6)


# --- Confusion matrices ---------------------------------------------------------------------------


@hypothesis.given(predictions=integers(N, K - 1), labels=integers(N, K - 1), where=masks)
def test_confusion_matrix_is_that_of_scikit_learn(predictions, labels, where):
    confusion = rwwce.confusion_matrix(predictions, labels, K, where=where)
    assert confusion.dtype == jnp.int32
    expected = sklearn.metrics.confusion_matrix(
        labels, predictions, labels=range(K), sample_weight=where
    )
    np.testing.assert_array_equal(confusion, expected)
    folded = rwwce.confusion_matrix(
        predictions.reshape(4, 5),
        labels.reshape(4, 5),
        K,
        where=None if where is None else where.reshape(4, 5),
    )
    np.testing.assert_array_equal(folded, expected)


@hypothesis.given(
    predictions=integers((3, N), K - 1),
    labels=integers((3, N), K - 1),
    fn=costs_of(K),
    fp=costs_of((K, K)),
)
def test_batches_are_added_before_the_cost(predictions, labels, fn, fp):
    batches = [rwwce.confusion_matrix(*batch, K) for batch in zip(predictions, labels, strict=True)]
    cost = rwwce.real_world_cost_from_confusion(sum(batches), fn, fp)
    expected = rwwce.categorical_real_world_cost(predictions, labels, fn, fp)
    np.testing.assert_allclose(cost, expected, rtol=RTOL["float32"])
    shares = np.asarray(sum(batches)) / predictions.size
    of_shares = rwwce.real_world_cost_from_confusion(shares, fn, fp)
    np.testing.assert_allclose(of_shares, expected, rtol=RTOL["float32"])

    of_each = rwwce.real_world_cost_from_confusion(jnp.stack(batches), fn, fp)
    assert of_each.shape == (3,)
    for i in range(3):
        expected = rwwce.categorical_real_world_cost(predictions[i], labels[i], fn, fp)
        np.testing.assert_allclose(of_each[i], expected, rtol=RTOL["float32"])


def test_large_costs_and_counts_do_not_overflow():
    confusion = np.array([[0, 2**30], [0, 2**30]])
    cost = rwwce.real_world_cost_from_confusion(confusion, 0, [[0, 1e38], [0, 0]])
    np.testing.assert_allclose(cost, 5e37, rtol=1e-6)
    huge = [[0.0, 3e38], [3e38, 3e38]]
    np.testing.assert_allclose(
        rwwce.real_world_cost_from_confusion(huge, 1.0, 0.0), 2 / 3, rtol=1e-6
    )


# --- What is not a class, not a decision, not a number --------------------------------------------


@pytest.mark.parametrize("where", ["predictions", "labels"])
@pytest.mark.parametrize("wrong", [-1, K, 2**31 - 1, 2**32 + 1])
def test_ids_out_of_range(wrong, where):
    ids = {"predictions": np.array([0, 1, 2]), "labels": np.array([0, 1, 3])}
    ids[where][1] = wrong
    others = np.array([True, False, True])
    costs = np.ones(K), np.ones((K, K))
    assert jnp.isnan(rwwce.categorical_real_world_cost(**ids, fn=costs[0], fp=costs[1]))
    assert jnp.isnan(rwwce.categorical_real_world_cost(**ids, fn=costs[0], fp=1))
    confusion = rwwce.confusion_matrix(**ids, num_classes=K)
    np.testing.assert_array_equal(confusion, np.full((K, K), -1))
    assert jnp.isnan(rwwce.real_world_cost_from_confusion(confusion, *costs))
    plus_another = confusion + rwwce.confusion_matrix([0], [0], K)
    assert jnp.isnan(rwwce.real_world_cost_from_confusion(plus_another, *costs))

    cost = rwwce.categorical_real_world_cost(**ids, fn=costs[0], fp=costs[1], where=others)
    np.testing.assert_allclose(cost, 1)
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


@pytest.mark.parametrize(
    ("predictions", "labels"), [(-1, 0), (2, 0), (0, -1), (0, 2), (0, NAN), (1, 1.5)]
)
def test_binary_decisions_and_labels_out_of_range(predictions, labels):
    predictions, labels = jnp.array([predictions, 0]), jnp.array([labels, 1])
    assert jnp.isnan(rwwce.binary_real_world_cost(predictions, labels, 2.0, 3.0))
    others = jnp.array([False, True])
    assert rwwce.binary_real_world_cost(predictions, labels, 2.0, 3.0, where=others) == 2


@pytest.mark.parametrize("diagonal", [7.0, NAN, INF])
def test_the_diagonal_is_never_used(diagonal):
    predictions, labels = np.array([0, 1, 1]), np.array([0, 1, 0])
    fp = np.array([[diagonal, 5], [3, diagonal]])
    assert rwwce.categorical_real_world_cost(predictions, labels, 1, fp) == 2
    confusion = rwwce.confusion_matrix(predictions, labels, 2)
    assert rwwce.real_world_cost_from_confusion(confusion, 1, fp) == 2


def test_nothing_to_average():
    none = np.zeros(0, int)
    nobody = np.zeros(3, bool)
    wrong = np.array([-1, 7, 0])
    matrix = np.ones((K, K))
    for arguments, where in (((none, none), None), ((wrong, wrong), nobody)):
        assert rwwce.binary_real_world_cost(*arguments, 1, 1, where=where) == 0
        assert rwwce.categorical_real_world_cost(*arguments, 1, matrix, where=where) == 0
        confusion = rwwce.confusion_matrix(*arguments, K, where=where)
        np.testing.assert_array_equal(confusion, np.zeros((K, K)))
        assert rwwce.real_world_cost_from_confusion(confusion, 1, matrix) == 0


# --- Under JAX's transformations ------------------------------------------------------------------


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
            rwwce.categorical_real_world_cost(predictions, labels, fn[0], fp[0, 0], where=where),
            rwwce.binary_real_world_cost(predictions % 2, labels % 2, fn[0], fp[0, 0], where=where),
        )

    arguments = (predictions, labels, fn, fp, where)
    in_batches = jax.vmap(everything)(*arguments)
    in_batches_compiled = jax.jit(jax.vmap(everything))(*arguments)
    compiled = jax.jit(everything)
    for i in range(5):
        one = [x[i] for x in arguments]
        expected = everything(*one)
        for actual in (
            compiled(*one),
            [x[i] for x in in_batches],
            [x[i] for x in in_batches_compiled],
        ):
            for x, y in zip(actual, expected, strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-6)


def test_values_do_not_recompile():
    counted = 0

    @jax.jit
    def cost(predictions, labels, fn, fp):
        nonlocal counted
        counted += 1
        return rwwce.categorical_real_world_cost(predictions, labels, fn, fp)

    ids = np.array([0, 1])
    assert cost(ids, ids, 1.0, np.ones((2, 2))) == 0
    assert cost(ids, ids[::-1], 2.0, np.full((2, 2), 3.0)) == 5
    assert counted == 1
