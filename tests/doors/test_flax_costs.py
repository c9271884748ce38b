"""Costs of the examples in the Flax metric, and costs as attributes of NNX modules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import rwwce_jax as rwwce
from rwwce_jax.flax import RealWorldCost

FN = np.array([1.0, 2.0, 4.0], np.float32)


@pytest.mark.parametrize("candidates", [False, True])
def test_costs_of_the_examples_come_with_each_batch(candidates):
    rng = np.random.default_rng(7)
    metric, each = RealWorldCost(FN, 0.5), []
    for size in (7, 12):
        logits, labels = rng.normal(size=(size, 3)), rng.integers(0, 3, size)
        fn = rwwce.ExampleCosts(rng.uniform(1, 9, labels.size))
        fp = rwwce.ExampleCosts(rng.uniform(1, 9, logits.shape))
        if candidates:
            fp = rwwce.ExampleCosts(3.0, classes=rng.integers(-1, 3, (labels.size, 2)))
        metric.update(logits=logits, labels=labels, fn=fn, fp=fp)
        cost = rwwce.categorical_real_world_cost(logits.argmax(-1), labels, fn, fp)
        each += [float(cost)] * labels.size
    np.testing.assert_allclose(metric.compute(), np.mean(each), rtol=1e-6)
    assert metric.compute() > 0


class Priced(nnx.Module):
    """A model that holds the costs of its loss."""

    def __init__(self, fn, fp):
        self.weights, self.fn, self.fp = nnx.Param(jnp.eye(4)[:, :3]), fn, fp

    def loss(self, x, labels):
        return rwwce.categorical(x @ self.weights[...], labels, self.fn, self.fp)


@pytest.mark.parametrize(
    "costs",
    [
        (FN, rwwce.pair_costs({(0, 1): 2.0, (2, 1): 13.0}, num_classes=3)),
        (rwwce.ExampleCosts(np.arange(5.0)), 0.5),
        (1.0, rwwce.ExampleCosts(2.0, classes=jnp.array([[1], [2], [-1], [0], [1]]))),
    ],
    ids=["pairs", "fn of examples", "candidates"],
)
def test_costs_are_data_of_a_module(costs):
    rng = np.random.default_rng(8)
    x, labels = rng.normal(size=(5, 4)).astype(np.float32), rng.integers(0, 3, 5)
    model = Priced(*costs)
    expected = jax.value_and_grad(lambda w: rwwce.categorical(x @ w, labels, *costs))(
        model.weights[...]
    )
    again = nnx.merge(*nnx.split(model))
    value, gradient = nnx.jit(nnx.value_and_grad(Priced.loss))(again, x, labels)
    np.testing.assert_allclose(value, expected[0], rtol=1e-6)
    np.testing.assert_allclose(gradient["weights"][...], expected[1], rtol=1e-5, atol=1e-7)
    assert type(again.fp) is type(model.fp)


def test_both_costs_of_a_matrix_are_one_attribute():
    class Model(nnx.Module):
        def __init__(self, costs):
            self.costs = costs

    costs = rwwce.costs_from_matrix([[0, 1, 2], [3, 0, 4], [5, 6, 0]])
    again = nnx.merge(*nnx.split(Model(costs))).costs
    assert isinstance(again, rwwce.Costs)
    np.testing.assert_array_equal(again.fp, costs.fp)


@pytest.mark.parametrize("fp", [0.5, rwwce.pair_costs({(0, 1): 2.0, (2, 1): 13.0}, num_classes=3)])
def test_a_checkpoint_of_a_metric_comes_back(fp, tmp_path):
    checkpoint = pytest.importorskip("orbax.checkpoint")
    metric, again = RealWorldCost(FN, fp), RealWorldCost(np.zeros_like(FN), fp)
    batch = {"labels": jnp.array([2, 0, 1]), "predictions": jnp.array([1, 0, 2])}
    metric.update(**batch)
    with checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "metric", nnx.to_pure_dict(nnx.state(metric)))
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "metric")
    state = nnx.state(again)
    nnx.replace_by_pure_dict(state, restored)
    nnx.update(again, state)
    for each in (metric, again):
        each.update(**batch)
    assert again.compute() == metric.compute() > 0
