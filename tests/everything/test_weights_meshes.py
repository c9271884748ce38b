"""Weights that are sharded with their examples, on every mesh: the numbers of one device."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from test_meshes import (
    BY_CLASS,
    CLASSES,
    DATA,
    KINDS,
    LAYOUTS,
    MATRIX,
    PAIRS,
    a_mesh,
    on_one_device,
    value_and_gradient,
)

import rwwce_jax as rwwce
from rwwce_jax.flax import RealWorldCost

WEIGHTS = np.float32(np.arange(16) % 5)
KERNEL = np.float32(np.random.default_rng(1).normal(size=(CLASSES, CLASSES)))


def metric(d, w):
    metric = RealWorldCost(BY_CLASS, MATRIX)
    metric.update(logits=d["logits"], labels=d["ids"], weights=w, mask=d["known"])
    metric.update(predictions=d["other_ids"], labels=d["soft"], weights=w)
    return metric.compute()


# By the logits or scores of the batch and its weights.
LOSSES = {
    "categorical": lambda z, d, w: rwwce.categorical(
        z, d["ids"], BY_CLASS, MATRIX, where=d["known"], weights=w
    ),
    "soft": lambda z, d, w: rwwce.categorical(z, d["soft"], 1.0, PAIRS, weights=w),
    "none": lambda z, d, w: rwwce.categorical(z, d["ids"], 1.0, 2.0, weights=w, reduction="none"),
    "fused": lambda z, d, w: rwwce.linear_categorical(
        z, KERNEL, d["ids"], BY_CLASS, PAIRS, weights=w, chunk_size=4
    ),
    "multilabel": lambda z, d, w: rwwce.multilabel(
        z, d["sets"], 1.0, BY_CLASS, fp_pairs=PAIRS, where=d["known"], weights=w
    ),
}
FUNCTIONS = {
    "metric": metric,
    "cost": lambda d, w: rwwce.categorical_real_world_cost(
        d["other_ids"], d["ids"], BY_CLASS, PAIRS, weights=w
    ),
    "costs": lambda d, w: rwwce.categorical_real_world_cost(
        d["other_ids"], d["ids"], BY_CLASS, MATRIX, weights=w, reduction="none"
    ),
    "expected costs": lambda d, w: rwwce.categorical_real_world_cost(
        d["other_ids"], d["soft"], BY_CLASS, MATRIX, where=d["known"], reduction="none"
    ),
    "binary costs": lambda d, w: rwwce.binary_real_world_cost(
        d["decided"], d["truth"], d["amounts"], 2.0, weights=w, reduction="none"
    ),
    "multilabel costs": lambda d, w: rwwce.multilabel_real_world_cost(
        d["other_sets"], d["sets"], BY_CLASS, 2.0, weights=w, reduction="none"
    ),
    "counts": lambda d, w: rwwce.confusion_matrix(
        d["other_ids"], d["ids"], CLASSES, where=d["known"], weights=w
    ),
    "expected counts": lambda d, w: rwwce.confusion_matrix(
        d["other_ids"], d["soft"], CLASSES, weights=w
    ),
    "savings": lambda d, w: rwwce.savings(0.5, d["ids"], BY_CLASS, MATRIX, weights=w),
    "best_threshold": lambda d, w: rwwce.best_threshold(
        d["scores"], d["truth"], d["amounts"], 1.0, weights=w
    ),
    "fit_temperature": lambda d, w: rwwce.fit_temperature(d["logits"], d["ids"], weights=w),
    "fit_temperature, soft": lambda d, w: rwwce.fit_temperature(
        d["logits"], d["soft"], where=d["known"], weights=w
    ),
    "fit_temperature, binary": lambda d, w: rwwce.fit_temperature(
        d["scores"], d["truth"], weights=w
    ),
}


def results(data, weights):
    found = {
        name: value_and_gradient(lambda z, f=f: f(z, data, weights), data["logits"])
        for name, f in LOSSES.items()
    }
    by_weights = value_and_gradient(
        lambda w: LOSSES["categorical"](data["logits"], data, w), weights
    )
    functions = {name: f(data, weights) for name, f in FUNCTIONS.items()}
    return found | {"by the weights": by_weights} | functions


@pytest.mark.sampled(3)
@pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
@pytest.mark.parametrize("layout", ["batch", "both"])
@pytest.mark.parametrize("kind", KINDS)
def test_as_on_one_device(kind, layout, inside):
    mesh, axes = a_mesh(KINDS[kind]), LAYOUTS[layout]

    def put(array, names):
        spec = P(*(axes.get(name) for name in names))
        return jax.device_put(array, NamedSharding(mesh, spec))

    one_device = jax.jit(results)(
        {name: jnp.asarray(array) for name, (array, _) in DATA.items()}, jnp.asarray(WEIGHTS)
    )
    with jax.set_mesh(mesh) if inside else contextlib.nullcontext():
        data = {name: put(*of_data) for name, of_data in DATA.items()}
        actual = jax.jit(results)(data, put(WEIGHTS, ("batch",)))
    for name, expected in one_device.items():
        for x, y in zip(jax.tree.leaves(actual[name]), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(x, y, rtol=2e-5, atol=1e-6, err_msg=name)
    if kind == "explicit":
        for name in ("costs", "expected costs", "binary costs", "multilabel costs"):
            assert actual[name].sharding.is_equivalent_to(data["ids"].sharding, 1), name


@pytest.mark.parametrize("kind", KINDS)
def test_eagerly_with_weights_on_one_device(kind):
    """They go to the devices of the batch, as costs do."""
    sharding = NamedSharding(a_mesh(KINDS[kind]), P("data"))
    names = ("logits", "ids", "soft", "other_ids")
    logits, ids, soft, other_ids = (DATA[name][0] for name in names)
    on_mesh = [jax.device_put(x, sharding) for x in (logits, ids, soft, other_ids)]
    for weights in (WEIGHTS, on_one_device(WEIGHTS), jax.device_put(WEIGHTS, sharding)):
        for call in (
            lambda z, y, p, j, w: rwwce.categorical(z, y, BY_CLASS, MATRIX, weights=w),
            lambda z, y, p, j, w: rwwce.fit_temperature(z, p, weights=w),
            lambda z, y, p, j, w: rwwce.confusion_matrix(j, y, CLASSES, weights=w),
            lambda z, y, p, j, w: rwwce.categorical_real_world_cost(
                j, p, BY_CLASS, MATRIX, weights=w, reduction="none"
            ),
        ):
            actual = call(*on_mesh, weights)
            expected = call(logits, ids, soft, other_ids, WEIGHTS)
            np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_in_shard_map(kind):
    """The sums over the parts of the devices are the caller's, also of the weights."""

    def sums(logits, ids, weights):
        loss, gradient = jax.value_and_grad(
            lambda z: rwwce.categorical(z, ids, BY_CLASS, MATRIX, weights=weights, reduction="sum")
        )(logits)
        return loss, jnp.sum(weights), gradient

    def on_a_part(*part):
        *totals, gradient = sums(*part)
        return lax.psum(totals, "data"), gradient

    mesh = a_mesh(KINDS[kind])
    given = DATA["logits"][0], DATA["ids"][0], WEIGHTS
    parts = jax.device_put(given, NamedSharding(mesh, P("data")))
    on_parts = jax.shard_map(on_a_part, mesh=mesh, in_specs=P("data"), out_specs=(P(), P("data")))
    (loss, weight), gradient = jax.jit(on_parts)(*parts)
    expected = sums(*map(jnp.asarray, given))
    for x, y in zip((loss, weight, gradient), expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
    mean = rwwce.categorical(*given[:2], BY_CLASS, MATRIX, weights=WEIGHTS)
    np.testing.assert_allclose(loss / weight, mean, rtol=1e-5)
