"""The Flax metric: alone and in a MultiMetric, over batches, masks, devices and a long time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import rwwce_jax as rwwce
from rwwce_jax.costs import pair_costs
from rwwce_jax.flax import RealWorldCost

FP = np.array([[np.nan, 2.0, 3.0], [5.0, np.nan, 7.0], [11.0, 13.0, np.nan]], np.float32)
FN = np.array([1.0, 2.0, 4.0], np.float32)
CATEGORICAL = {
    "fn by class": (FN, 0.5),
    "matrix": (1.0, FP),
    "both": (FN, FP),
    "lists and integers": ([1, 2, 4], [[0, 2, 3], [5, 0, 7], [11, 13, 0]]),
    "jax": (jnp.asarray(FN), jnp.asarray(FP)),
    "pairs": (FN, pair_costs({(0, 1): 2.0, (2, 1): 13.0}, num_classes=3)),
}


def batches(rng, *, classes, sizes=(7, 1, 12)):
    """Logits and labels: of the same shape for one class, with one axis more for several."""
    for size in sizes:
        if classes == 1:
            yield rng.normal(size=size).astype(np.float32), rng.integers(0, 2, size, np.int32)
        else:
            logits = rng.normal(size=(size, classes)).astype(np.float32)
            yield logits, rng.integers(0, classes, size, np.int32)


@pytest.mark.parametrize("costs", CATEGORICAL.values(), ids=CATEGORICAL)
@pytest.mark.parametrize("by", ["logits", "predictions"])
def test_categorical_over_batches_of_different_sizes(costs, by):
    metric = RealWorldCost(*costs)
    all_predictions, all_labels = [], []
    for logits, labels in batches(np.random.default_rng(0), classes=3):
        predictions = logits.argmax(-1)
        metric.update(labels=labels, **{by: {"logits": logits, "predictions": predictions}[by]})
        all_predictions.extend(predictions)
        all_labels.extend(labels)
    expected = rwwce.categorical_real_world_cost(
        np.array(all_predictions), np.array(all_labels), *costs
    )
    assert expected > 0
    np.testing.assert_allclose(metric.compute(), expected, rtol=1e-6)
    assert metric.count[...] == 20


def test_two_scalar_costs_are_those_of_all_classes():
    metric = RealWorldCost(2.0, 1)
    metric.update(logits=jnp.eye(4)[:, :3], labels=jnp.array([0, 2, 2, 1]))
    assert metric.compute() == 2 * 3 / 4


@pytest.mark.parametrize("threshold", [0.0, -1.25, 0.5])
@pytest.mark.parametrize("by", ["logits", "predictions"])
def test_binary_over_batches_of_different_sizes(threshold, by):
    metric = RealWorldCost(20.0, 1.0, threshold=threshold)
    all_decisions, all_labels = [], []
    for logits, labels in batches(np.random.default_rng(1), classes=1):
        decisions = logits > threshold
        metric.update(labels=labels, **{by: {"logits": logits, "predictions": decisions}[by]})
        all_decisions.extend(decisions)
        all_labels.extend(labels)
    expected = rwwce.binary_real_world_cost(
        np.array(all_decisions), np.array(all_labels), 20.0, 1.0
    )
    assert expected > 0
    np.testing.assert_allclose(metric.compute(), expected, rtol=1e-6)


def test_a_logit_at_the_threshold_is_decided_negative():
    metric = RealWorldCost(20.0, 1.0, threshold=0.0)
    metric.update(logits=jnp.zeros(4), labels=jnp.array([0, 0, 0, 1]))
    assert metric.compute() == 5


def test_predictions_come_before_logits():
    """A MultiMetric sends both, where another metric needs the logits."""
    metric = RealWorldCost(1.0, FP)
    probs = jnp.array([[0.2, 0.45, 0.35], [0.1, 0.1, 0.8]])
    decisions = rwwce.decide(probs, 1.0, FP)
    assert decisions[0] != probs[0].argmax()
    metric.update(logits=probs, predictions=decisions, labels=jnp.array([0, 2]))
    assert metric.compute() == rwwce.categorical_real_world_cost(decisions, [0, 2], 1.0, FP)


@pytest.mark.parametrize("classes", [1, 3])
def test_what_the_mask_leaves_out_does_not_count(classes):
    costs = {"fn": 20.0, "fp": 1.0, "threshold": 0.0} if classes == 1 else {"fn": FN, "fp": FP}
    masked, dropped = RealWorldCost(**costs), RealWorldCost(**costs)
    rng = np.random.default_rng(2)
    for logits, labels in batches(rng, classes=classes):
        keep = rng.random(labels.size) < 0.5
        dropped.update(logits=logits[keep], labels=labels[keep])
        logits[~keep], labels[~keep] = np.nan, -7
        masked.update(logits=logits, labels=labels, mask=keep)
    assert masked.compute() > 0
    np.testing.assert_allclose(masked.compute(), dropped.compute(), rtol=1e-6)
    assert masked.count[...] == dropped.count[...] < 20


def test_nothing_counted_is_nan_and_reset_forgets():
    metric = RealWorldCost(FN, FP)
    assert np.isnan(metric.compute())
    metric.update(predictions=jnp.array([0]), labels=jnp.array([1]), mask=jnp.array([False]))
    metric.update(predictions=jnp.zeros(0, jnp.int32), labels=jnp.zeros(0, jnp.int32))
    assert np.isnan(metric.compute())
    metric.update(predictions=jnp.array([0]), labels=jnp.array([1]))
    assert metric.compute() == 7
    metric.reset()
    assert np.isnan(metric.compute())
    metric.update(predictions=jnp.array([2]), labels=jnp.array([0]))
    assert metric.compute() == 4


@pytest.mark.parametrize(
    ("costs", "batch"),
    [
        ({"fn": FN, "fp": FP}, {"logits": [[0.0, np.nan, 1.0]], "labels": [2]}),
        ({"fn": FN, "fp": FP}, {"logits": [[0.0, 1.0, 2.0]], "labels": [3]}),
        ({"fn": FN, "fp": FP}, {"predictions": [-1], "labels": [0]}),
        ({"fn": 1.0, "fp": 1.0, "threshold": 0.0}, {"logits": [np.nan], "labels": [0]}),
        ({"fn": 1.0, "fp": 1.0, "threshold": 0.0}, {"logits": [1.0], "labels": [2]}),
    ],
)
def test_nan_and_what_is_no_class_stay_visible_until_the_reset(costs, batch):
    metric = RealWorldCost(**costs)
    metric.update(**{name: jnp.array(value) for name, value in batch.items()})
    metric.update(predictions=jnp.array([1]), labels=jnp.array([1]))
    assert np.isnan(metric.compute())
    metric.reset()
    metric.update(predictions=jnp.array([1]), labels=jnp.array([1]))
    assert metric.compute() == 0


# --- In a training loop ---------------------------------------------------------------------------


@pytest.fixture
def metrics():
    """With Flax's own, which divide floats by integers: no strict promotion."""
    with jax.numpy_dtype_promotion("standard"):
        yield nnx.MultiMetric(
            accuracy=nnx.metrics.Accuracy(), loss=nnx.metrics.Average(), cost=RealWorldCost(FN, FP)
        )


@nnx.jit
def count(metrics, logits, labels, mask):
    values = jnp.ones(labels.shape)
    metrics.update(logits=logits, labels=labels, values=values, mask=mask)


@pytest.mark.parametrize("costs", [CATEGORICAL["both"], CATEGORICAL["pairs"]])
def test_costs_travel_through_jit_and_split(costs):
    metric, alone = RealWorldCost(*costs), RealWorldCost(*costs)
    structure, state = nnx.split(metric)

    @jax.jit
    def update(state, **batch):
        metric = nnx.merge(structure, state)
        metric.update(**batch)
        return nnx.state(metric)

    for logits, labels in batches(np.random.default_rng(6), classes=3, sizes=(5, 9)):
        state = update(state, logits=logits, labels=labels)
        nnx.jit(RealWorldCost.update)(metric, logits=logits, labels=labels)
        alone.update(logits=logits, labels=labels)
    for other in (metric, nnx.merge(structure, state)):
        np.testing.assert_allclose(other.compute(), alone.compute(), rtol=1e-6)


def test_in_a_multi_metric_under_nnx_jit(metrics):
    alone = RealWorldCost(FN, FP)
    rng = np.random.default_rng(3)
    for logits, labels in batches(rng, classes=3, sizes=(8, 8, 3)):
        mask = rng.random(labels.size) < 0.7
        count(metrics, logits, labels, mask)
        alone.update(logits=logits, labels=labels, mask=mask)
    computed = metrics.compute()
    assert computed["cost"] > 0
    np.testing.assert_allclose(computed["cost"], alone.compute(), rtol=1e-6)
    assert computed["loss"] == 1
    assert 0 < computed["accuracy"] < 1
    metrics.reset()
    assert np.isnan(metrics.compute()["cost"])


def test_state_is_four_numbers():
    metric = RealWorldCost(FN, FP)
    counted = jax.tree.leaves(nnx.state(metric, nnx.metrics.MetricState))
    assert sum(leaf.nbytes for leaf in counted) == 16


def test_values_do_not_recompile():
    traces = 0

    @nnx.jit
    def update(metric, logits, labels):
        nonlocal traces
        traces += 1
        metric.update(logits=logits, labels=labels)

    for scale in (1, 3):
        metric = RealWorldCost(FN * scale, FP)
        for logits, labels in batches(np.random.default_rng(scale), classes=3, sizes=(4, 4)):
            update(metric, logits, labels)
    assert traces == 1


@pytest.mark.parametrize("classes", [1, 3])
def test_sharded_evaluation_is_merged_across_devices(classes):
    assert len(jax.devices()) == 8
    mesh = jax.make_mesh((8,), ("device",), axis_types=(jax.sharding.AxisType.Auto,))
    costs = {"fn": 20.0, "fp": 1.0, "threshold": 0.0} if classes == 1 else {"fn": FN, "fp": FP}
    sharded, whole = RealWorldCost(**costs), RealWorldCost(**costs)
    update = nnx.jit(lambda metric, **batch: metric.update(**batch))
    rng = np.random.default_rng(4)
    for logits, labels in batches(rng, classes=classes, sizes=(32, 64)):
        batch = {"logits": logits, "labels": labels, "mask": rng.random(labels.size) < 0.8}
        whole.update(**batch)
        update(sharded, **jax.device_put(batch, NamedSharding(mesh, P("device"))))
    assert whole.compute() > 0
    np.testing.assert_allclose(sharded.compute(), whole.compute(), rtol=1e-6)
    assert sharded.count[...] == whole.count[...]
    for leaf in jax.tree.leaves(nnx.state(sharded, nnx.metrics.MetricState)):
        assert leaf.sharding.is_fully_replicated
        assert len(leaf.sharding.device_set) == 8


def test_a_long_evaluation_loses_nothing():
    """1e8 examples in 1e5 batches, whose plain float32 sum is off by far more than its last bit."""
    metric = RealWorldCost(0.1, 0.0, threshold=0.0)
    structure, state = nnx.split(metric)
    mistakes = np.random.default_rng(5).integers(300, 400, 100_000, np.int32)
    labels = jnp.ones(1000, jnp.int32)

    def step(carry, number):
        state, plain = carry
        metric = nnx.merge(structure, state)
        metric.update(predictions=jnp.arange(1000) >= number, labels=labels)
        return (nnx.state(metric), plain + 0.1 * number.astype(jnp.float32)), None

    (state, plain), _ = jax.jit(lambda carry: jax.lax.scan(step, carry, mistakes))(
        (state, jnp.float32(0))
    )
    metric = nnx.merge(structure, state)
    exact = 0.1 * mistakes.sum() / 1e8
    assert metric.count[...] == 100_000_000
    np.testing.assert_allclose(metric.compute(), exact, rtol=2.5e-7)
    assert abs(plain / 1e8 - exact) > 2e-6 * exact


@pytest.mark.usefixtures("x64")
def test_costs_in_float64_are_counted_in_float64():
    metric = RealWorldCost(jnp.asarray(FN, jnp.float64), 0.1)
    metric.update(logits=jnp.eye(3), labels=np.array([1, 1, 1]))
    assert metric.compute().dtype == jnp.float64
    np.testing.assert_allclose(metric.compute(), 4.2 / 3, rtol=1e-15)
    assert RealWorldCost(FN, FP).total[...].dtype == jnp.float32


# --- What is refused ------------------------------------------------------------------------------


@pytest.mark.always
@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"fn": FN, "fp": 1.0, "threshold": 0.0}, ValueError, "fn"),
        ({"fn": 1.0, "fp": FP, "threshold": 0.0}, ValueError, "fp"),
        ({"fn": FN, "fp": np.ones((4, 4))}, ValueError, "fn"),
        ({"fn": 1.0, "fp": np.ones((3, 2))}, ValueError, "fp"),
        ({"fn": 1.0, "fp": CATEGORICAL["pairs"][1], "threshold": 0.0}, TypeError, "fp"),
        ({"fn": np.ones(4), "fp": CATEGORICAL["pairs"][1]}, ValueError, "fn"),
        ({"fn": "dear", "fp": 1.0}, TypeError, "fn"),
        ({"fn": True, "fp": 1.0}, TypeError, "fn"),
    ],
)
def test_costs_that_are_refused(arguments, error, name):
    with pytest.raises(error, match=rf"^{name} must [^\n]+\.$"):
        RealWorldCost(**arguments)


IDS = jnp.array([0, 1])


@pytest.mark.always
@pytest.mark.parametrize(
    ("costs", "batch", "error", "name"),
    [
        ((FN, FP), {"logits": jnp.ones((2, 3))}, TypeError, "labels"),
        ((FN, FP), {"labels": IDS, "values": IDS}, TypeError, "predictions or logits"),
        ((FN, FP), {"labels": IDS, "logits": jnp.ones(2)}, ValueError, "logits"),
        ((FN, FP), {"labels": IDS, "logits": jnp.ones((2, 4))}, ValueError, "logits"),
        ((2.0, 1.0), {"labels": IDS, "logits": jnp.ones((2, 1))}, ValueError, "logits"),
        ((FN, FP), {"labels": IDS, "logits": IDS}, TypeError, "logits"),
        ((FN, FP), {"labels": IDS, "predictions": IDS == 0}, TypeError, "predictions"),
        ((FN, FP), {"labels": IDS[:1], "predictions": IDS}, ValueError, "labels"),
        ((FN, FP), {"labels": IDS, "predictions": IDS, "mask": IDS}, TypeError, "mask"),
        ((FN, FP), {"labels": IDS, "predictions": IDS, "mask": IDS[:1] == 0}, ValueError, "mask"),
        ((2.0, 1.0), {"labels": IDS, "predictions": IDS}, ValueError, "predictions"),
        ((FN, FP), {"labels": IDS, "mask": IDS == 0, "where": IDS == 0}, ValueError, "mask"),
    ],
)
def test_batches_that_are_refused(costs, batch, error, name):
    with pytest.raises(error, match=rf"^{name} must [^\n]+\.$"):
        RealWorldCost(*costs).update(**batch)


@pytest.mark.parametrize("shape", [(2, 1), (2, 3)])
def test_binary_logits_have_the_shape_of_the_labels(shape):
    with pytest.raises(ValueError, match=r"^labels must have the shape of the examples"):
        RealWorldCost(2.0, 1.0, threshold=0.0).update(logits=jnp.ones(shape), labels=IDS)
