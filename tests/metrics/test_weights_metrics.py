"""Weights, unreduced costs and probabilities as the truth, in the metrics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weighted import (
    COSTS,
    FN,
    IDS,
    MATRIX,
    OTHER_IDS,
    OTHER_SETS,
    OWN,
    PROBS,
    ROWS,
    SCORES,
    SETS,
    WEIGHTS,
    B,
    K,
    close,
    repeated,
    whole,
)

import rwwce_jax as rwwce
from rwwce_jax.flax import RealWorldCost

NAN, INF = np.nan, np.inf


def of_classes(labels, kind):
    return lambda take=whole, **counted: rwwce.categorical_real_world_cost(
        take(OTHER_IDS), take(labels), *COSTS[kind](take, 1.5), **counted
    )


# The mean costs of a whole or repeated batch, by name.
METRICS = {
    f"{name}, {kind}": of_classes(labels, kind)
    for kind in COSTS
    for name, labels in (("ids", IDS), ("probabilities", PROBS))
} | {
    "binary": lambda take=whole, **counted: rwwce.binary_real_world_cost(
        take(OTHER_SETS)[:, 0], take(SETS)[:, 0], take(OWN)[:, 0], 2.0, **counted
    ),
    "binary, probabilities": lambda take=whole, **counted: rwwce.binary_real_world_cost(
        take(OTHER_SETS)[:, 0], take(PROBS)[:, 0], 3.0, 2.0, **counted
    ),
    "multilabel": lambda take=whole, **counted: rwwce.multilabel_real_world_cost(
        take(OTHER_SETS), take(SETS), FN, 2.0, fp_pairs=MATRIX, **counted
    ),
}


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_costs_weights_and_reductions(metric):
    each = np.asarray(metric(reduction="none"))
    assert each.shape == (B,)
    assert each.any()
    for i in range(B):  # the cost of each decision is the mean over it alone
        close(each[i], metric(take=lambda x, i=i: x[i : i + 1]))
    close(metric(), each.mean())
    close(metric(reduction="sum"), each.sum())
    close(metric(weights=WEIGHTS), metric(take=repeated))
    close(metric(weights=WEIGHTS, reduction="sum"), np.sum(each * WEIGHTS))
    close(metric(weights=WEIGHTS, reduction="none"), each * WEIGHTS)
    close(metric(weights=WEIGHTS / 3), metric(weights=WEIGHTS))
    where = np.array([True, False, True, True, False, True])
    weights = np.where(where, WEIGHTS, NAN)
    masked = metric(weights=weights, where=where, reduction="none")
    close(masked, np.where(where, each * WEIGHTS, 0))
    close(metric(weights=weights, where=where), masked.sum() / float(WEIGHTS[where].sum()))
    assert metric(weights=np.zeros(B)) == 0
    for wrong in (-1, INF, NAN):
        weights = np.where(np.arange(B) == 1, wrong, 1.0)
        assert np.isnan(metric(weights=weights))
        bad = np.isnan(metric(weights=weights, reduction="none"))
        np.testing.assert_array_equal(bad, np.arange(B) == 1)


def test_one_hot_labels_are_ids_and_probabilities_mix_them():
    one_hot = np.eye(K, dtype=np.float32)[IDS]
    for kind in COSTS:
        of_ids = of_classes(IDS, kind)(reduction="none")
        for labels in (one_hot, one_hot == 1):
            close(of_classes(labels, kind)(reduction="none"), of_ids)
        of_class = [of_classes(np.full(B, k), kind)(reduction="none") for k in range(K)]
        close(of_classes(PROBS, kind)(reduction="none"), np.sum(PROBS.T * of_class, 0))


def test_what_is_no_class_beside_probabilities():
    labels = jnp.array([[0.5, 0.5], [1.0, 0.0]])
    cost = rwwce.categorical_real_world_cost
    np.testing.assert_array_equal(cost([0, 1], labels, 2.0, 1.0, reduction="none"), [1.5, 3])
    for predictions in ([0, 2], [0, -1]):
        each = cost(predictions, labels, 2.0, 1.0, reduction="none")
        np.testing.assert_array_equal(np.isnan(each), [False, True])
        assert cost(predictions, labels, 2.0, 1.0, where=jnp.array([True, False])) == 1.5
    assert np.isnan(cost([0, 1], labels.at[0, 0].set(2), 2.0, 1.0))
    # What is masked has no gradient either.
    spoilt, where = labels.at[1].set(jnp.nan), jnp.array([True, False])
    assert jax.grad(lambda fn: cost([1, 1], spoilt, fn, 1.0, where=where))(2.0) == 0.5


def test_weights_are_differentiated():
    metric = METRICS["ids, matrix"]
    each = metric(reduction="none")
    close(jax.grad(lambda w: metric(weights=w, reduction="sum"))(jnp.zeros(B)), each)
    close(jax.grad(lambda w: metric(weights=w))(jnp.ones(B)), (each - each.mean()) / B)


def test_expected_counts_and_their_dtype(x64):
    one_hot = np.eye(K)[IDS]
    for labels, probs, weights, dtype in (
        (IDS, one_hot, WEIGHTS, "int32"),
        (IDS, one_hot, np.float16(WEIGHTS), "float32"),
        (IDS, one_hot, np.float64(WEIGHTS), "float64"),
        (one_hot, one_hot, WEIGHTS, "float64"),
        (one_hot == 1, one_hot, WEIGHTS, "float32"),
        (PROBS, PROBS, None, "float32"),
    ):
        confusion = rwwce.confusion_matrix(OTHER_IDS, labels, K, weights=weights)
        assert confusion.dtype == dtype
        counted = np.ones(B) if weights is None else WEIGHTS
        close(confusion, (counted * probs.T) @ np.eye(K)[OTHER_IDS])


@pytest.mark.parametrize(
    ("predictions", "labels", "weights"),
    [
        ([0, 2], [0, 1], [1.0, 0.0]),
        ([0, 1], [0, -1], [1.0, 0.0]),
        ([0, 1], [0, 1], [1.0, -1.0]),
        ([0, 1], [0, 1], [1.0, NAN]),
        ([0, 1], [0, 1], [1, 2**40]),
        ([0, 1], [[0.5, 0.5], [2.0, 0.0]], None),
        ([0, 2], [[0.5, 0.5], [1.0, 0.0]], None),
    ],
)
def test_what_is_no_class_and_no_weight(predictions, labels, weights):
    """NaN, or -1 where the counts are integers: no half of the counts looks right."""
    weights = None if weights is None else np.array(weights)
    arguments = (np.array(predictions), np.array(labels), 2)
    confusion = rwwce.confusion_matrix(*arguments, weights=weights)
    nothing = -1 if confusion.dtype == jnp.int32 else NAN
    np.testing.assert_array_equal(confusion, np.full((2, 2), nothing))
    assert np.isnan(rwwce.real_world_cost_from_confusion(confusion, 1.0, 1.0))
    where = np.array([True, False])
    confusion = rwwce.confusion_matrix(*arguments, weights=weights, where=where)
    assert np.sum(confusion) == 1


def test_savings_with_weights_and_of_probabilities():
    counted = {"weights": WEIGHTS, "num_classes": K}
    for labels in (IDS, PROBS):
        saved = rwwce.savings(0.5, labels, FN, MATRIX, **counted)
        constants = [
            rwwce.categorical_real_world_cost(np.full(B, j), labels, FN, MATRIX, weights=WEIGHTS)
            for j in range(K)
        ]
        close(saved, 1 - 0.5 / min(constants))
    labels, fn = SETS[:, 0], OWN[:, 0]
    close(
        rwwce.savings(0.5, labels, fn, 2.0, weights=WEIGHTS),
        rwwce.savings(0.5, labels[ROWS], fn[ROWS], 2.0),
    )
    for wrong in (-1.0, 0.0):
        assert np.isnan(rwwce.savings(0.5, IDS, FN, MATRIX, weights=np.full(B, wrong)))


def test_flax_metric_of_weights_and_either_mask():
    metric, where = RealWorldCost(FN, MATRIX), np.arange(B) > 1
    for labels in (IDS, PROBS):
        metric.reset()
        weights = np.concatenate([WEIGHTS, [0.25, 0.5]])
        metric.update(predictions=OTHER_IDS, labels=labels, weights=WEIGHTS)
        metric.update(predictions=OTHER_IDS[:2], labels=labels[:2], weights=weights[B:])
        both = (np.concatenate([x, x[:2]]) for x in (OTHER_IDS, labels))
        expected = rwwce.categorical_real_world_cost(*both, FN, MATRIX, weights=weights)
        close(metric.compute(), expected)
        assert metric.count.item() == weights.sum()
    counted = {"where": where, "weights": WEIGHTS}
    expected = rwwce.categorical_real_world_cost(SCORES.argmax(-1), IDS, FN, MATRIX, **counted)
    for mask in ("where", "mask"):
        metric.reset()
        metric.update(logits=SCORES, labels=IDS, weights=WEIGHTS, **{mask: where})
        close(metric.compute(), expected)
        assert metric.count.item() == WEIGHTS[where].sum()
    metric.update(logits=SCORES, labels=IDS, weights=np.full(B, -1.0))
    assert np.isnan(metric.compute())
    with pytest.raises(ValueError, match=r"^weights must have the shape of the examples \(6,\)"):
        metric.update(logits=SCORES, labels=PROBS, weights=np.ones((B, K)))
