"""Actions on every mesh: the numbers of one device, and results that stay sharded by the batch."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from programs import collectives

import rwwce_jax as rwwce

BATCH, CLASSES, ACTIONS = 16, 8, 3
RNG = np.random.default_rng(0)
PROBS = RNG.dirichlet(np.full(CLASSES, 0.3), BATCH).astype(np.float32)
BY_CLASS = np.float32(RNG.integers(1, 4, (CLASSES, ACTIONS)) / 4)
MATRIX = np.float32(RNG.integers(0, 6, (CLASSES, CLASSES)))
PAIRS = rwwce.pair_costs({(k, (k * 3 + 1) % CLASSES): k + 1 for k in range(CLASSES - 1)}, CLASSES)
KINDS = {"explicit": AxisType.Explicit, "automatic": AxisType.Auto}
LAYOUTS = {"batch": ("data", None), "class": (None, "model"), "both": ("data", "model")}
HOWS = {"eager": lambda f: f, "jit": jax.jit}


def a_mesh(kind):
    return jax.make_mesh((4, 2), ("data", "model"), axis_types=(KINDS[kind],) * 2)


def results(probs, actions, fp):
    costs = rwwce.expected_cost(probs, 1.0, fp, actions=actions)
    return costs, rwwce.decide(probs, 1.0, fp, actions=actions)


@pytest.mark.parametrize("fp", [MATRIX, PAIRS], ids=["matrix", "pairs"])
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.sampled(3)
def test_as_on_one_device_and_sharded_along_the_batch(kind, layout, inside, how, fp):
    mesh = a_mesh(kind)
    expected = results(jnp.asarray(PROBS), BY_CLASS, fp)
    actions = jax.device_put(BY_CLASS, jax.devices()[0])
    with jax.set_mesh(mesh) if inside else contextlib.nullcontext():
        probs = jax.device_put(PROBS, NamedSharding(mesh, P(*LAYOUTS[layout])))
        found = HOWS[how](lambda probs: results(probs, actions, fp))(probs)
    for part, one_device in zip(found, expected, strict=True):
        np.testing.assert_allclose(part, one_device, rtol=1e-6)
        if layout != "class":
            rows = part.sharding.shard_shape(part.shape)[0]
            assert rows == BATCH // 4
    assert found[0].shape == (BATCH, CLASSES + ACTIONS)
    if kind == "explicit":
        spec = P(LAYOUTS[layout][0], None)
        assert found[0].sharding.is_equivalent_to(NamedSharding(mesh, spec), 2)


def of_all(ids, decided):
    """What the metrics say of the whole batch."""
    given = {"actions": BY_CLASS}
    counts = rwwce.confusion_matrix(decided, ids, CLASSES, num_actions=ACTIONS)
    cost = rwwce.categorical_real_world_cost(decided, ids, 1.0, MATRIX, **given)
    return (
        cost,
        counts,
        rwwce.real_world_cost_from_confusion(counts, 1.0, MATRIX, **given),
        rwwce.savings(cost, ids, 1.0, MATRIX, right=BY_CLASS[:, 0], **given),
        rwwce.categorical_real_world_cost(decided, ids, 1.0, PAIRS, **given, reduction="none"),
    )


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("kind", KINDS)
def test_metrics_as_on_one_device(kind, how):
    ids, decided = RNG.integers(0, CLASSES, BATCH), RNG.integers(0, CLASSES + ACTIONS, BATCH)
    expected = of_all(ids, decided)
    sharding = NamedSharding(a_mesh(kind), P("data"))
    found = HOWS[how](of_all)(*(jax.device_put(x, sharding) for x in (ids, decided)))
    for part, one_device in zip(found, expected, strict=True):
        np.testing.assert_allclose(part, one_device, rtol=1e-6)
    assert found[-1].sharding.shard_shape((BATCH,)) == (BATCH // 4,)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sharded_batch_is_moved_nowhere(kind):
    sharding = NamedSharding(a_mesh(kind), P("data"))
    probs = jax.ShapeDtypeStruct(PROBS.shape, PROBS.dtype, sharding=sharding)
    program = jax.jit(lambda probs: results(probs, BY_CLASS, MATRIX)).lower(probs).compile()
    assert collectives(program.as_text()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_in_shard_map(kind):
    mesh = a_mesh(kind)
    probs = jax.device_put(PROBS, NamedSharding(mesh, P("data")))
    on_parts = jax.shard_map(
        lambda probs: results(probs, BY_CLASS, MATRIX),
        mesh=mesh,
        in_specs=P("data"),
        out_specs=P("data"),
    )
    for part, one_device in zip(
        jax.jit(on_parts)(probs), results(PROBS, BY_CLASS, MATRIX), strict=True
    ):
        np.testing.assert_allclose(part, one_device, rtol=1e-6)
