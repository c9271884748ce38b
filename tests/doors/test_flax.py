"""The Flax metric: over batches, masks and a long time, and in what a user trains with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import rwwce_jax as rwwce
from rwwce_jax.flax import RealWorldCost

FN = np.array([1.0, 2.0, 4.0], np.float32)
FP = np.array([[np.nan, 2.0, 3.0], [5.0, np.nan, 7.0], [11.0, 13.0, np.nan]], np.float32)
PAIRS = rwwce.pair_costs({(0, 1): 2.0, (2, 1): 13.0}, num_classes=3)
ACTIONS = np.array([[0.5, 3.0], [2.0, 0.25], [0.0, 1.0]])
IDS = jnp.array([0, 1])


def classified(*sizes, seed=0):
    """Logits of three classes and labels, in batches of these sizes."""
    rng = np.random.default_rng(seed)
    for size in sizes:
        yield rng.normal(size=(size, 3)).astype(np.float32), rng.integers(0, 3, size, np.int32)


@pytest.mark.always
@pytest.mark.parametrize(
    "costs",
    [
        {"fn": 20.0, "fp": 1.0, "threshold": -1.25},
        {"fn": FN, "fp": 0.5},
        {"fn": [1, 2, 4], "fp": FP.tolist()},
        {"fn": FN, "fp": PAIRS},
    ],
    ids=["binary", "by class", "lists", "pairs"],
)
def test_every_example_counts_once_unless_the_mask_leaves_it_out(costs):
    given = costs["fn"], costs["fp"]
    mean_cost = rwwce.categorical_real_world_cost
    decided, scored = RealWorldCost(**costs), RealWorldCost(**costs)
    batches = []
    for logits, labels in classified(12, 3):
        decisions = logits.argmax(-1)
        if "threshold" in costs:
            logits, labels, mean_cost = logits[:, 0], labels % 2, rwwce.binary_real_world_cost
            logits[1] = costs["threshold"]  # not above it
            decisions = logits > costs["threshold"]
        keep = np.arange(labels.size) % 3 > 0
        batches.append((decisions, labels.copy(), keep))
        decided.update(predictions=decisions, labels=labels, logits=-logits)  # which do not count
        logits[~keep], labels[~keep] = np.nan, -7
        scored.update(logits=logits, labels=labels, mask=keep)
    decisions, labels, keep = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    for metric, where in ((decided, None), (scored, keep)):
        expected = mean_cost(decisions, labels, *given, where=where)
        assert expected > 0
        np.testing.assert_allclose(metric.compute(), expected, rtol=1e-6)
    assert (decided.count[...], scored.count[...]) == (15, 10)


def test_actions_come_as_predictions_never_from_logits():
    metric = RealWorldCost(FN, FP, actions=ACTIONS)
    truth, decided = IDS.repeat(20), jnp.arange(40) % 5
    nnx.jit(RealWorldCost.update)(metric, predictions=decided, labels=truth, logits=None)
    expected = rwwce.categorical_real_world_cost(decided, truth, FN, FP, actions=ACTIONS)
    np.testing.assert_allclose(metric.compute(), expected, rtol=1e-6)
    metric = RealWorldCost(1.0, 0.0, actions=[[0.1]] * 3)
    metric.update(logits=np.eye(3, dtype=np.float32), labels=np.array([0, 1, 1]))
    np.testing.assert_allclose(metric.compute(), 1 / 3, rtol=1e-6)


def test_costs_of_the_examples_come_with_each_batch():
    rng = np.random.default_rng(7)
    metric, costs = RealWorldCost(FN, 0.5), []
    rows = rwwce.ExampleCosts(rng.uniform(1, 9, (12, 3)))
    candidates = rwwce.ExampleCosts(3.0, classes=rng.integers(-1, 3, (12, 2)))
    for (logits, labels), fp in zip(classified(12, 12), (rows, candidates), strict=True):
        fn = rwwce.ExampleCosts(rng.uniform(1, 9, 12))
        metric.update(logits=logits, labels=labels, fn=fn, fp=fp)
        costs.append(rwwce.categorical_real_world_cost(logits.argmax(-1), labels, fn, fp))
    assert min(costs) > 0
    np.testing.assert_allclose(metric.compute(), np.mean(costs), rtol=1e-6)


@pytest.mark.always
@pytest.mark.parametrize(
    ("costs", "batch"),
    [
        ({"fn": FN, "fp": FP}, {"logits": [[0.0, np.nan, 1.0]], "labels": [2]}),
        ({"fn": FN, "fp": FP}, {"logits": [[0.0, 1.0, 2.0]], "labels": [3]}),
        ({"fn": FN, "fp": FP, "actions": ACTIONS}, {"predictions": [5], "labels": [0]}),
        ({"fn": 1.0, "fp": 1.0, "threshold": 0.0}, {"logits": [np.nan], "labels": [0]}),
        ({"fn": 1.0, "fp": 1.0, "threshold": 0.0}, {"logits": [1.0], "labels": [2]}),
    ],
)
def test_nan_and_what_is_no_class_stay_visible_until_the_reset(costs, batch):
    metric, right = RealWorldCost(**costs), jnp.array([1])
    metric.update(**{name: jnp.array(value) for name, value in batch.items()})
    metric.update(predictions=right, labels=right)
    assert np.isnan(metric.compute())
    metric.reset()
    assert np.isnan(metric.compute())  # nothing is counted
    metric.update(predictions=right, labels=right)
    metric.update(predictions=right, labels=1 - right, mask=jnp.array([False]))
    metric.update(predictions=right[:0], labels=right[:0])
    assert metric.compute() == 0


def test_a_long_evaluation_loses_nothing():
    """1e8 examples in 1e5 batches, whose plain float32 sum is off by far more than its last bit."""
    structure, state = nnx.split(RealWorldCost(0.1, 0.0, threshold=0.0))
    mistakes = np.random.default_rng(5).integers(300, 400, 100_000, np.int32)

    def step(state, number):
        metric = nnx.merge(structure, state)
        metric.update(predictions=jnp.arange(1000) >= number, labels=jnp.ones(1000, jnp.int32))
        return nnx.state(metric), None

    metric = nnx.merge(structure, jax.jit(lambda x: jax.lax.scan(step, x, mistakes))(state)[0])
    exact = 0.1 * mistakes.sum() / 1e8
    assert metric.count[...] == 100_000_000
    np.testing.assert_allclose(metric.compute(), exact, rtol=2.5e-7)
    plain = np.cumsum(np.float32(0.1 * mistakes))[-1]
    assert abs(plain / 1e8 - exact) > 2e-6 * exact


def test_in_a_multi_metric_under_nnx_jit():
    @nnx.jit
    def count(metrics, logits, labels, mask):
        values = jnp.ones(labels.shape)
        metrics.update(logits=logits, labels=labels, values=values, mask=mask)

    alone = RealWorldCost(FN, FP)
    with jax.numpy_dtype_promotion("standard"):  # Flax's own metrics divide floats by integers
        metrics = nnx.MultiMetric(loss=nnx.metrics.Average(), cost=RealWorldCost(FN, FP))
        for logits, labels in classified(8, 8):
            mask = np.arange(8) % 4 > 0
            count(metrics, logits, labels, mask)
            alone.update(logits=logits, labels=labels, mask=mask)
        computed = metrics.compute()
        metrics.reset()
        assert np.isnan(metrics.compute()["cost"])
    assert computed["cost"] > 0
    np.testing.assert_allclose(computed["cost"], alone.compute(), rtol=1e-6)
    assert computed["loss"] == 1


class Priced(nnx.Module):
    """A model that holds the costs of its loss."""

    def __init__(self, costs):
        self.bias, self.costs, (self.fn, self.fp) = nnx.Param(jnp.ones((5, 3))), costs, costs

    def loss(self, x, labels):
        return rwwce.categorical(x + self.bias[...], labels, self.fn, self.costs.fp)


def test_costs_are_data_of_a_module():
    ((x, labels),) = classified(5)
    costs = rwwce.Costs(rwwce.ExampleCosts(np.arange(5.0)), PAIRS)
    model = nnx.merge(*nnx.split(Priced(costs)))
    value, gradient = nnx.jit(nnx.value_and_grad(Priced.loss))(model, x, labels)
    expected = jax.value_and_grad(rwwce.categorical)(x + 1, labels, *costs)
    np.testing.assert_allclose(value, expected[0], rtol=1e-6)
    np.testing.assert_allclose(gradient["bias"][...], expected[1], rtol=1e-5, atol=1e-7)
