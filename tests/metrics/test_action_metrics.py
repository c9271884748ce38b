"""What decisions cost that are no class: in the metrics, in confusion matrices, in savings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mistakes import K, categorical_mistakes, everyone

import rwwce_jax as rwwce

ACTIONS = np.array([[0.5, 3.0], [2.0, 0.25], [0.0, 1.0], [8.0, 7.0]])
A = ACTIONS.shape[1]


def with_actions(predictions, labels):
    """Some of the predictions made actions, by a rule that Hypothesis need not know."""
    return np.where((predictions + labels) % 3 == 0, K + predictions % A, predictions)


def loop(predictions, labels, fn, fp, where):
    total = 0.0
    for prediction, label, counts in zip(predictions, labels, where, strict=True):
        if counts and prediction >= K:
            total += ACTIONS[label, prediction - K]
        elif counts and prediction != label:
            total += fn[label] + fp[label, prediction]
    return total / max(where.sum(), 1)


@categorical_mistakes
def test_cost_and_confusion_matrix_are_a_loop(predictions, labels, fn, fp, where):
    """With weights and of probabilities, too; and savings are over one decision or action."""
    decided, selected = with_actions(predictions, labels), everyone if where is None else where
    given = {"actions": ACTIONS, "where": where}
    expected = loop(decided, labels, fn, fp, selected)
    cost = rwwce.categorical_real_world_cost(decided, labels, fn, fp, **given)
    np.testing.assert_allclose(cost, expected, rtol=1e-5, atol=1e-6)
    counts = rwwce.confusion_matrix(decided, labels, K, num_actions=A, where=where)
    meant = np.zeros((K, K + A), int)
    np.add.at(meant, (labels[selected], decided[selected]), 1)
    np.testing.assert_array_equal(counts, meant)
    of_counts = rwwce.real_world_cost_from_confusion(counts, fn, fp, actions=ACTIONS)
    np.testing.assert_allclose(of_counts, expected, rtol=1e-5, atol=1e-6)

    constants = [loop(np.full_like(labels, j), labels, fn, fp, selected) for j in range(K + A)]
    saved = rwwce.savings(expected, labels, fn, fp, **given)
    if min(constants) == 0:
        assert np.isnan(saved)
    else:
        share = expected / min(constants)
        np.testing.assert_allclose(saved, 1 - share, rtol=1e-5, atol=1e-5 * share)

    weights, soft = np.float32(labels + 0.5), np.eye(K, dtype=np.float32)[labels]
    each = [loop(decided[[m]], labels[[m]], fn, fp, everyone[:1]) for m in range(len(labels))]
    expected = np.sum(each * weights * selected) / max(np.sum(weights * selected), 1e-9)
    counts = rwwce.confusion_matrix(decided, soft, K, num_actions=A, where=where, weights=weights)
    for cost in (
        rwwce.categorical_real_world_cost(decided, labels, fn, fp, weights=weights, **given),
        rwwce.categorical_real_world_cost(decided, soft, fn, fp, weights=weights, **given),
        rwwce.real_world_cost_from_confusion(counts, fn, fp, actions=ACTIONS),
    ):
        np.testing.assert_allclose(cost, expected, rtol=1e-5, atol=1e-6)


def test_a_number_where_the_costs_tell_the_classes():
    for fn, fp in (
        ([1.0] * 3, 0.0),
        (1.0, np.zeros((3, 3))),
        (1.0, rwwce.pair_costs({(0, 1): 2.0}, 3)),
    ):
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


def test_ids_beyond_the_actions():
    for wrong in (-1, K + A, 2**31 - 1):
        decided = np.array([wrong, 0])
        cost = rwwce.categorical_real_world_cost(decided, [0, 0], 1.0, 0.0, actions=ACTIONS)
        assert np.isnan(cost)
        counts = rwwce.confusion_matrix(decided, [0, 0], K, num_actions=A)
        np.testing.assert_array_equal(counts, -1)
    # An action is no truth.
    assert np.isnan(rwwce.categorical_real_world_cost([0], [K], 1.0, 0.0, actions=ACTIONS))


def test_traced_costs_of_actions():
    decided, labels = jnp.array([4, 5, 1]), jnp.array([0, 1, 1])

    def cost(actions):
        return rwwce.categorical_real_world_cost(decided, labels, 1.0, 0.0, actions=actions)

    value, slope = jax.jit(jax.value_and_grad(cost))(jnp.asarray(ACTIONS, jnp.float32))
    np.testing.assert_allclose(value, 0.25)
    np.testing.assert_allclose(slope, np.array([[1, 0], [0, 1], [0, 0], [0, 0]]) / 3)


@pytest.mark.always
@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (
            rwwce.categorical_real_world_cost,
            ([0], [0], 1.0, 0.0),
            r"actions .* give fn=\[...\] \* K",
        ),
        (rwwce.savings, (1.0, [0, 1], 1.0, 0.0), r"actions .* give fn=\[...\] \* K"),
        (
            rwwce.real_world_cost_from_confusion,
            (np.ones((2, 2)), 1.0, 0.0),
            r"confusion .* K \+ 1\)",
        ),
    ],
)
def test_an_action_that_does_not_fit_is_refused(function, arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        function(*arguments, actions=0.2)


def test_confusion_matrices_that_are_refused():
    with pytest.raises(ValueError, match=r"^confusion must have shape \(..., K, K\)"):
        rwwce.real_world_cost_from_confusion(np.ones((2, 3)), 1.0, 0.0)
    with pytest.raises(ValueError, match=r"^num_actions must be at least 0"):
        rwwce.confusion_matrix([0], [0], 2, num_actions=-1)
