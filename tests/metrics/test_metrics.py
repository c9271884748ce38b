"""Real World Cost against loops in plain Python, confusion matrices against scikit-learn."""

import hypothesis
import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import strategies as st
from precision import enable_x64

import rwwce_jax as rwwce

NAN, INF = np.nan, np.inf
RTOL = {"float32": 1e-6, "float64": 1e-14}
N, K, A = 20, 4, 2
ACTIONS = np.array([[0.5, 3.0], [2.0, 0.25], [0.0, 1.0], [8.0, 7.0]])
EVERYONE = np.ones(N, bool)


def integers(shape, high):
    return hnp.arrays(np.int64, shape, elements=st.integers(0, high), fill=st.nothing())


def costs_of(shape):
    """Up to 2000, exact in float32."""
    return integers(shape, 2**17).map(lambda costs: costs / 2.0**6)


MASKS = st.one_of(st.none(), integers(N, 1).map(lambda ones: ones == 1))


def loop(predictions, labels, costs, where, weights=EVERYONE):
    """The weighted mean of what the mistakes cost, where costs are by example and decision."""
    total, count = 0.0, 0.0
    for m in np.flatnonzero(where):
        count += weights[m]
        if predictions[m] != labels[m]:
            total += weights[m] * costs[m, predictions[m]]
    return total / count if count else 0.0


def as_held(dtype, *costs):
    """Costs as JAX arrays, whose dtype decides that of the result."""
    return [jnp.asarray(cost, dtype) for cost in costs]


def assert_cost(cost, expected, dtype="float32"):
    assert cost.shape == ()
    assert cost.dtype == dtype
    np.testing.assert_allclose(cost, expected, rtol=RTOL[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@hypothesis.given(
    predictions=integers(N, 1), labels=integers(N, 1), fn=costs_of(N), fp=costs_of(N), where=MASKS
)
def test_binary_cost_is_a_loop(dtype, predictions, labels, fn, fp, where):
    selected = EVERYONE if where is None else where
    given = (
        (predictions, labels),
        (predictions == 1, labels == 1),
        (predictions.astype(np.uint8), labels.astype(dtype)),
    )
    with enable_x64(dtype == "float64"):
        for costs, (decided, truth) in zip(
            ((fn, fp), (fn[0], fp[0]), (fn, fp[0])), given, strict=True
        ):
            of_each = np.where(labels == 1, *costs)
            expected = loop(predictions, labels, np.stack([of_each] * 2, axis=1), selected)
            held = as_held(dtype, *costs)
            cost = rwwce.binary_real_world_cost(decided, truth, *held, where=where)
            assert_cost(cost, expected, dtype)


@pytest.mark.always
@pytest.mark.parametrize(
    ("dtype", "actions"),
    [("float32", None), ("float64", None), ("float32", ACTIONS)],
    ids=["float32", "float64", "actions"],
)
@hypothesis.given(
    predictions=integers(N, K - 1),
    labels=integers(N, K - 1),
    fn=costs_of(K),
    fp=costs_of((K, K)),
    where=MASKS,
)
def test_categorical_cost_is_a_loop(dtype, actions, predictions, labels, fn, fp, where):
    """With costs of any shape, with weights and of probabilities; savings are over one decision."""
    selected = EVERYONE if where is None else where
    num_actions = 0 if actions is None else A
    of_actions = np.zeros((K, 0)) if actions is None else actions
    if num_actions:  # by a rule that Hypothesis need not know
        is_action = (predictions + labels) % 3 == 0
        predictions = np.where(is_action, K + predictions % A, predictions)
    weights, soft = np.float32(labels + 0.5), np.eye(K, dtype=np.float32)[labels]
    with enable_x64(dtype == "float64"):
        for truth, counted, *costs in (
            (soft, weights, fn[0], fp),
            (labels, None, fn, fp[0, 0]),
            (labels, None, fn, fp),
        ):
            of_classes = np.broadcast_to(costs[0], K)[:, None] + costs[1]
            table = np.hstack([np.broadcast_to(of_classes, (K, K)), of_actions])
            rest = (selected, EVERYONE if counted is None else counted)
            expected = loop(predictions, labels, table[labels], *rest)
            held, given = as_held(dtype, *costs), {"where": where, "weights": counted}
            confusion = rwwce.confusion_matrix(
                predictions, truth, K, num_actions=num_actions, **given
            )
            cost = rwwce.categorical_real_world_cost(
                predictions, truth, *held, actions=actions, **given
            )
            assert_cost(cost, expected, dtype)
            cost = rwwce.real_world_cost_from_confusion(confusion, *held, actions=actions)
            assert_cost(cost, expected, dtype)
        decisions = np.broadcast_to(np.arange(K + num_actions)[:, None], (K + num_actions, N))
        constants = [loop(x, labels, table[labels], *rest) for x in decisions]
        saved = rwwce.savings(expected, labels, fn, fp, actions=actions, where=where)
        if min(constants) == 0:
            assert np.isnan(saved)
        else:
            share = expected / min(constants)
            np.testing.assert_allclose(saved, 1 - share, rtol=1e-5, atol=1e-5 * share)


def test_costs_per_example_and_probabilities_as_the_truth():
    cost = rwwce.binary_real_world_cost
    predictions, labels = jnp.array([[1, 0], [0, 1]]), jnp.array([[0, 1], [1, 0]])
    assert_cost(cost(predictions, labels, jnp.array([[2.0], [20.0]]), 0), (2 + 20) / 4)
    assert_cost(cost(predictions, labels, 0, jnp.array([3.0, 30.0])), (3 + 30) / 4)
    of_both = cost(jnp.array([0, 1]), jnp.array([0.25, 0.25]), 2000, 100)
    assert_cost(of_both, (0.25 * 2000 + 0.75 * 100) / 2)


def test_one_action_where_the_costs_tell_the_classes():
    pairs = rwwce.pair_costs({(0, 1): 2.0}, 3)
    for fn, fp in (([1.0] * 3, 0.0), (1.0, np.zeros((3, 3))), (1.0, pairs)):
        cost = rwwce.categorical_real_world_cost([3, 0], [0, 0], fn, fp, actions=0.2)
        np.testing.assert_allclose(cost, 0.1)
    for given in ({"num_classes": 3, "actions": 0.2}, {"actions": [[0.2]] * 3}):
        saved = rwwce.savings(0.1, np.array([0, 1, 1, 2]), 1.0, 0.0, **given)
        np.testing.assert_allclose(saved, 0.5, rtol=1e-6)


def test_costs_of_examples_beside_actions():
    labels, decided = np.array([0, 1, 2, 3]), np.array([5, 4, 1, 3])
    fn = rwwce.ExampleCosts(np.array([10.0, 20.0, 30.0, 40.0]))
    row = rwwce.ExampleCosts(np.full((4, K), 7.0))
    for fp, extra in ((0.0, 0), (row, 7), (rwwce.ExampleCosts(2.0, classes=[[1]] * 4), 2)):
        cost = rwwce.categorical_real_world_cost(decided, labels, fn, fp, actions=ACTIONS)
        np.testing.assert_allclose(cost, (3 + 2 + 30 + extra) / 4)


def test_actions_are_differentiated():
    def cost(actions):
        return rwwce.categorical_real_world_cost([4, 5, 1], [0, 1, 1], 1.0, 0.0, actions=actions)

    slope = jax.jit(jax.grad(cost))(jnp.asarray(ACTIONS, jnp.float32))
    np.testing.assert_allclose(slope, np.array([[1, 0], [0, 1], [0, 0], [0, 0]]) / 3)


@pytest.mark.always
@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (rwwce.categorical_real_world_cost, ([0], [0], 1.0, 0.0), r"actions .* fn=\[...\] \* K"),
        (rwwce.savings, (1.0, [0, 1], 1.0, 0.0), r"actions .* give fn=\[...\] \* K"),
        (rwwce.real_world_cost_from_confusion, (np.ones((2, 2)), 1.0, 0.0), r".* K, K \+ 1\)"),
    ],
)
def test_an_action_that_does_not_fit_is_refused(function, arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        function(*arguments, actions=0.2)


@hypothesis.given(
    predictions=integers(N, K - 1), labels=integers(N, K - 1), where=MASKS, weights=integers(N, 3)
)
def test_confusion_matrix_is_that_of_scikit_learn(predictions, labels, where, weights):
    for given in (None, weights):
        counted = (1 if given is None else given) * (EVERYONE if where is None else where)
        hypothesis.assume(np.any(counted))  # else scikit-learn refuses
        expected = sklearn.metrics.confusion_matrix(
            labels, predictions, labels=range(K), sample_weight=counted
        )
        confusion = rwwce.confusion_matrix(predictions, labels, K, where=where, weights=given)
        assert confusion.dtype == jnp.int32
        np.testing.assert_array_equal(confusion, expected)


def test_batches_are_added_before_the_cost():
    """Counts or shares; and several matrices have a cost each."""
    rng = np.random.default_rng(0)
    predictions, labels = rng.integers(0, K, (2, 3, N))
    costs = rng.random(K), rng.random((K, K))
    batches = [rwwce.confusion_matrix(*batch, K) for batch in zip(predictions, labels, strict=True)]
    expected = rwwce.categorical_real_world_cost(predictions, labels, *costs)
    for confusion in (sum(batches), np.asarray(sum(batches)) / predictions.size):
        assert_cost(rwwce.real_world_cost_from_confusion(confusion, *costs), expected)
    of_each = rwwce.real_world_cost_from_confusion(jnp.stack(batches), *costs)
    assert of_each.shape == (3,)
    np.testing.assert_allclose(np.mean(of_each), expected, rtol=1e-6)


def test_large_costs_and_counts_do_not_overflow():
    confusion = np.array([[0, 2**30], [0, 2**30]])
    assert_cost(rwwce.real_world_cost_from_confusion(confusion, 0, [[0, 1e38], [0, 0]]), 5e37)
    huge = [[0.0, 3e38], [3e38, 3e38]]
    assert_cost(rwwce.real_world_cost_from_confusion(huge, 1.0, 0.0), 2 / 3)


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


def test_ids_beyond_the_actions():
    """And an action is no truth."""
    for prediction, label in ((-1, 0), (K + A, 0), (2**31 - 1, 0), (0, K)):
        ids = np.array([prediction, 0]), np.array([label, 0])
        assert np.isnan(rwwce.categorical_real_world_cost(*ids, 1.0, 0.0, actions=ACTIONS))
        np.testing.assert_array_equal(rwwce.confusion_matrix(*ids, K, num_actions=A), -1)


def test_ids_where_the_costs_do_not_tell_the_number_of_classes():
    cost = rwwce.categorical_real_world_cost
    assert jnp.isnan(cost([-1], [0], 1, 2))
    assert jnp.isnan(cost([0], [-1], 1, 2))
    assert cost([10**6], [0], 1, 2) == 3


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
