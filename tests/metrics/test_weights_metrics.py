"""Weights, unreduced costs and probabilities as the truth, in the metrics and in what is fitted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics
from flax import nnx
from weighted import (
    COSTS,
    FN,
    IDS,
    KERNEL,
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
every = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)


@every
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


# --- Confusion matrices ---------------------------------------------------------------------------


def test_confusion_matrix_of_weights(x64):
    labels, predictions, weights = [0, 1, 1, 1], [0, 1, 0, 0], [1, 2, 5, 2]
    expected = sklearn.metrics.confusion_matrix(labels, predictions, sample_weight=weights)
    one_hot = np.eye(2)[labels]
    for truth, counted, dtype in (
        (labels, weights, "int32"),
        (labels, np.int8(weights), "int32"),
        (labels, np.float16(weights), "float32"),
        (labels, np.float64(weights), "float64"),
        (one_hot, weights, "float64"),
        (one_hot == 1, weights, "float32"),
    ):
        confusion = rwwce.confusion_matrix(predictions, truth, 2, weights=counted)
        assert confusion.dtype == dtype
        np.testing.assert_array_equal(confusion, expected)


def test_expected_counts():
    decided = np.eye(K)[OTHER_IDS]
    confusion = rwwce.confusion_matrix(OTHER_IDS, PROBS, K, weights=WEIGHTS)
    close(confusion, (WEIGHTS[:, None] * PROBS).T @ decided)
    close(rwwce.confusion_matrix(OTHER_IDS, PROBS, K), PROBS.T @ decided)
    cost = rwwce.real_world_cost_from_confusion(confusion, FN, MATRIX)
    close(cost, rwwce.categorical_real_world_cost(OTHER_IDS, PROBS, FN, MATRIX, weights=WEIGHTS))


@pytest.mark.parametrize(
    ("predictions", "labels", "weights"),
    [
        ([0, 2], [0, 1], [1.0, 0.0]),
        ([0, 1], [0, -1], [1.0, 0.0]),
        ([0, 1], [0, 1], [1.0, -1.0]),
        ([0, 1], [0, 1], [1.0, NAN]),
        ([0, 1], [0, 1], [1.0, INF]),
        ([0, 1], [0, 1], [1, 2**40]),
        ([0, 2], [0, 1], [1, 0]),
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


# --- Savings, thresholds and temperatures ---------------------------------------------------------


def test_savings_with_weights_and_of_probabilities():
    counted = {"weights": WEIGHTS, "num_classes": K}
    for labels in (IDS, PROBS):
        saved = rwwce.savings(0.5, labels, FN, MATRIX, **counted)
        close(saved, rwwce.savings(0.5, labels[ROWS], FN, MATRIX, num_classes=K))
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
    assert np.isnan(rwwce.savings(0.5, IDS, FN, MATRIX, weights=np.full(B, -1.0)))
    assert np.isnan(rwwce.savings(0.5, IDS, FN, MATRIX, weights=np.zeros(B)))


def test_best_threshold_with_weights():
    """An example of weight 0 adds no cut, as if it was not there."""
    rng = np.random.default_rng(3)
    scores = np.float32(rng.integers(0, 12, (50, 10)) / 8)
    labels, weights = rng.integers(0, 2, (50, 10)), rng.integers(0, 3, (50, 10))
    weighted = jax.vmap(lambda s, y, w: rwwce.best_threshold(s, y, 3.0, 1.0, weights=w))
    masked = jax.vmap(lambda s, y, where: rwwce.best_threshold(s, y, 3.0, 1.0, where=where))
    twice = (np.tile(x, (1, 2)) for x in (scores, labels))
    where = np.concatenate([weights > 0, weights > 1], -1)
    np.testing.assert_array_equal(weighted(scores, labels, weights), masked(*twice, where))
    for scores, weights, where, expected in (
        ([0.0, 0.25, 0.5], [1, 0, 1], None, 0.25),
        ([0.0, 0.25, 0.5], [0, 0, 0], None, INF),
        ([0.0, NAN, 0.5], [1, 0, 1], None, NAN),
        ([0.0, 0.25, 0.5], [1, -1, 1], None, NAN),
        ([0.0, 9.0, 0.5], [1, NAN, 1], np.array([True, False, True]), 0.25),
    ):
        counted = {"weights": np.float32(weights), "where": where}
        threshold = rwwce.best_threshold(scores, [0, 1, 1], 1.0, 1.0, **counted)
        np.testing.assert_array_equal(threshold, expected)


def noisy(size):
    """Logits that promise too much, ids, and the probabilities that those are drawn with."""
    rng = np.random.default_rng(4)
    logits = np.float32(rng.normal(size=(size, 3)) * 2)
    probs = np.asarray(jax.nn.softmax(logits / 2.5))
    ids = np.array([rng.choice(3, p=p / p.sum()) for p in probs.astype(np.float64)])
    return logits, ids, probs


def test_fit_temperature_with_weights_and_to_probabilities():
    logits, ids, probs = noisy(60)
    weights = np.random.default_rng(5).integers(0, 3, 60)
    rows = np.repeat(np.arange(60), weights)
    expected = rwwce.fit_temperature(logits[rows], ids[rows])
    for labels in (ids, np.eye(3)[ids], np.eye(3)[ids] == 1):
        close(rwwce.fit_temperature(logits, labels, weights=weights), expected, rtol=1e-5)
    # To the probabilities of a temperature, which is found again, also far from 0.
    for offset in (0, 1000.0):
        close(rwwce.fit_temperature(logits + np.float32(offset), probs), 2.5, rtol=1e-3)
    close(rwwce.fit_temperature(logits, probs, weights=weights / 7), 2.5, rtol=1e-5)
    binary, positive = logits[:, 0] - logits[:, 1], ids == 0
    expected = rwwce.fit_temperature(binary[rows], positive[rows])
    close(rwwce.fit_temperature(binary, positive, weights=weights), expected, rtol=1e-5)
    two, of_first = np.stack([binary, 0 * binary], -1), probs[:, 0]
    expected = rwwce.fit_temperature(binary, of_first, weights=weights)
    of_both = np.stack([of_first, 1 - of_first], -1)
    close(rwwce.fit_temperature(two, of_both, weights=weights), expected, rtol=1e-4)


def test_fit_temperature_where_examples_weigh_nothing():
    logits, ids, probs = noisy(20)
    counts = np.arange(20) != 3
    for labels in (ids, probs):
        expected = rwwce.fit_temperature(logits[counts], labels[counts])
        spoilt, truth = logits.copy(), labels.copy()
        truth[3] = 0 if labels is ids else [1, 0, 0]
        # The largest gap would be another one; the loss of an impossible label is infinite.
        for row in ([1e4, 0, -1e4], [-INF, -INF, 0]):
            spoilt[3] = row
            close(rwwce.fit_temperature(spoilt, truth, weights=1.0 * counts), expected, rtol=1e-5)
        spoilt[3] = NAN
        assert np.isnan(rwwce.fit_temperature(spoilt, labels, weights=1.0 * counts))
        masked = rwwce.fit_temperature(spoilt, labels, weights=2.0 * counts - 1, where=counts)
        close(masked, expected, rtol=1e-5)
    for wrong in (-1.0, NAN, INF):
        assert np.isnan(rwwce.fit_temperature(logits, ids, weights=np.where(counts, 1, wrong)))
    assert rwwce.fit_temperature(logits, ids, weights=np.zeros(20)) == 1


def test_probabilities_that_do_not_add_up():
    logits, _, probs = noisy(20)
    sets = np.float32(probs > 0.2)
    with pytest.raises(ValueError, match=r"^labels must add up to 1 over .*, got a sum of [023];"):
        rwwce.fit_temperature(logits, sets)
    assert np.isnan(jax.jit(rwwce.fit_temperature)(logits, sets))
    where = sets.sum(-1) == 1
    fitted = rwwce.fit_temperature(logits, sets, where=where)
    close(fitted, rwwce.fit_temperature(logits[where], sets[where]), rtol=1e-5)
    # Written with two digits, which is close enough.
    close(rwwce.fit_temperature(logits, probs.round(2)), 2.5, rtol=0.03)


# --- The Flax metric ------------------------------------------------------------------------------


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


def test_flax_metric_of_two_classes_with_weights():
    metric, decided = RealWorldCost(2.0, 1.0, threshold=0.0), SCORES[:, 0] > 0
    for labels in (SETS[:, 0], PROBS[:, 0]):
        metric.reset()
        metric.update(logits=SCORES[:, 0], labels=labels, weights=WEIGHTS)
        expected = rwwce.binary_real_world_cost(decided, labels, 2.0, 1.0, weights=WEIGHTS)
        close(metric.compute(), expected)


def test_fractions_of_examples_add_up():
    """A million weights of 0.1, whose plain float32 sum is off by far more than its last bit."""
    structure, state = nnx.split(RealWorldCost(2.0, 0.0, threshold=0.0))
    given = {"labels": jnp.ones(100, jnp.int32), "weights": jnp.full(100, 0.1)}

    def step(state, _):
        metric = nnx.merge(structure, state)
        metric.update(predictions=jnp.arange(100) >= 50, **given)
        return nnx.state(metric), None

    state = jax.jit(lambda state: jax.lax.scan(step, state, length=10_000)[0])(state)
    metric = nnx.merge(structure, state)
    np.testing.assert_allclose(metric.count[...], 1e5, rtol=1e-6)
    np.testing.assert_allclose(metric.compute(), 1, rtol=1e-6)


# --- What is refused ------------------------------------------------------------------------------

TAKERS = {
    "multilabel": lambda **w: rwwce.multilabel(SCORES, SETS, 1.0, 1.0, **w),
    "its cost": lambda **w: rwwce.multilabel_real_world_cost(SETS, SETS, 1.0, 1.0, **w),
    "fused": lambda **w: rwwce.linear_categorical(SCORES, KERNEL, IDS, 1.0, 1.0, **w),
    "fit_temperature": lambda **w: rwwce.fit_temperature(SCORES, PROBS, **w),
    "metric": lambda **w: RealWorldCost(FN, MATRIX).update(logits=SCORES, labels=PROBS, **w),
}


@pytest.mark.always
@pytest.mark.parametrize("call", TAKERS.values(), ids=TAKERS)
def test_weights_that_are_refused(call):
    for weights in (np.ones((B, K)), np.ones(3), np.ones(())):
        with pytest.raises(
            ValueError, match=r"^weights must have the shape of the examples \(6,\)"
        ):
            call(weights=weights)
    with pytest.raises(TypeError, match=r"^weights must be integers or floats, got dtype bool;"):
        call(weights=np.ones(B, bool))
    call(weights=np.ones(B))


def test_reductions_of_the_multilabel_cost():
    with pytest.raises(ValueError, match=r"^reduction must be one of mean, sum, none"):
        rwwce.multilabel_real_world_cost(SETS, SETS, 1.0, 1.0, reduction="all")
