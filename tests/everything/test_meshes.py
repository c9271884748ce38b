"""Every public function on meshes, in shard_map and exported: the numbers of one device."""

import contextlib
import itertools
from functools import cache, partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from programs import KINDS, a_mesh
from public_functions import BATCH, FUNCTIONS, LOSSES, OF_CLASSES, ROWS, SHARED, results

import rwwce_jax as rwwce

# How the examples and the classes are sharded.
LAYOUTS = {
    "batch": ("data", None),
    "class": (None, "model"),
    "both": ("data", "model"),
    "none": (None, None),
}


def on_one_device(x):
    return jax.device_put(x, jax.devices()[0])


# Where the costs are. Each case takes one of them, so that each meets every other column.
PLACES = {
    "NumPy": lambda x: x,
    "integers on one device": lambda x: on_one_device(np.asarray(x).astype(int)),
    "JAX": jnp.asarray,
    "one device": on_one_device,
}


def put(mesh, layout):
    """The batch on the mesh: its examples, and the classes of what has them."""
    of_rows, of_classes = LAYOUTS[layout]
    return {
        name: jax.device_put(
            array, NamedSharding(mesh, P(of_rows, *[of_classes] * (name in OF_CLASSES)))
        )
        for name, array in BATCH.items()
    }


def assert_same(actual, expected, rtol=2e-5, atol=1e-6):
    for name, parts in actual.items():
        for x, y in zip(jax.tree.leaves(parts), jax.tree.leaves(expected[name]), strict=True):
            np.testing.assert_allclose(x, y, rtol=rtol, atol=atol, err_msg=name)


@cache
def on_a_single_device():
    return jax.jit(results)(*jax.tree.map(jnp.asarray, (BATCH, SHARED)))


ALL, EVEN, ODD = slice(None), slice(0, None, 2), slice(1, None, 2)
# Those that `make test` runs have each value of each column, and each place of the costs; every
# second call on each mesh but the first.
FIRST = {
    ("explicit", "batch", "inside", "jit"): ALL,
    ("automatic", "class", "outside", "jit"): EVEN,
    ("automatic", "both", "inside", "eager"): ODD,
    ("explicit", "none", "outside", "eager"): EVEN,
}
CELLS = itertools.product(KINDS, LAYOUTS, ("inside", "outside"), ("jit", "eager"))
CASES = [
    *(pytest.param(*cell, part, id="-".join(cell)) for cell, part in FIRST.items()),
    *(
        pytest.param(*cell, ALL, id="-".join(["all", *cell]), marks=pytest.mark.slow)
        for cell in CELLS
    ),
]


@pytest.mark.always
@pytest.mark.parametrize(("kind", "layout", "where", "how", "part"), CASES)
def test_as_on_one_device(kind, layout, where, how, part):
    mesh, inside = a_mesh(kind), where == "inside"
    case = (list(LAYOUTS).index(layout), 2 * (kind == "automatic"), inside, how == "jit")
    shared = jax.tree.map(list(PLACES.values())[sum(case) % 4], SHARED)
    # What has no axis of classes is the same for each way to shard them.
    calls = [
        call
        for call in (*LOSSES, *FUNCTIONS)[part]
        if layout in ("batch", "none") or OF_CLASSES & {*call.names}
    ]
    run = partial(results, shared=shared, calls=calls)  # the costs are closed over
    with jax.set_mesh(mesh) if inside else contextlib.nullcontext():
        batch = put(mesh, layout)
        actual = (jax.jit(run) if how == "jit" else run)(batch)
    assert_same(actual, on_a_single_device())
    for call in calls:
        value, *gradient = actual[str(call)]
        for part in gradient:
            sharding = batch[call.arguments[0]].sharding
            assert part.sharding.is_equivalent_to(sharding, part.ndim), str(call)
        if kind == "explicit" and value.shape[:1] == (ROWS,):
            rows = batch["ids"].sharding.shard_shape((ROWS,))
            assert value.sharding.shard_shape(value.shape)[:1] == rows, str(call)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", KINDS)
def test_what_one_device_holds_goes_to_those_of_the_batch(kind):
    on_devices = put(a_mesh(kind), "batch")
    here = {"weights": BATCH["weights"]} | SHARED
    calls = [call for call in (*LOSSES, *FUNCTIONS) if "weights" in call.keywords]
    actual = results(on_devices, on_one_device(here), calls)
    assert_same(actual, on_a_single_device())


@pytest.mark.sampled(4)
@pytest.mark.parametrize("check_vma", [True, False], ids=["checked", "unchecked"])
@pytest.mark.parametrize("kind", KINDS)
def test_in_shard_map(kind, check_vma):
    """Each device has the results of its part of the batch."""
    of_part, mesh = partial(results, shared=SHARED), a_mesh(kind)
    on_parts = jax.shard_map(
        lambda batch: jax.tree.map(lambda x: x[None], of_part(batch)),
        mesh=mesh,
        in_specs=P("data"),
        out_specs=P("data"),
        check_vma=check_vma,
    )
    actual = jax.jit(on_parts)(put(mesh, "batch"))
    alone = jax.jit(of_part)
    parts = [{name: x[i : i + 4] for name, x in BATCH.items()} for i in range(0, ROWS, 4)]
    expected = jax.tree.map(lambda *x: np.stack(x), *map(alone, parts))
    assert_same(actual, expected)


def test_transforms_on_an_explicit_mesh():
    def run(logits, ids):
        def loss(logits, ids, fp):
            return rwwce.categorical(logits, ids, SHARED["by_class"], fp)

        by_pairs = jax.value_and_grad(partial(loss, fp=SHARED["pairs"]))
        by_matrix = jax.grad(partial(loss, ids=ids, fp=SHARED["matrix"]))
        along = jax.jvp(by_matrix, (logits,), (logits,))
        return {"vmap": jax.vmap(by_pairs)(logits, ids), "Hessian": along}

    sharded = put(a_mesh("explicit"), "batch")
    expected = jax.jit(run)(BATCH["logits"], BATCH["ids"])
    assert_same(jax.jit(run)(sharded["logits"], sharded["ids"]), expected, rtol=1e-4, atol=1e-5)


def test_exported_for_any_number_of_rows():
    (rows,) = jax.export.symbolic_shape("rows")
    batch = {name: jnp.asarray(array) for name, array in BATCH.items()}
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype), batch)
    exported = jax.export.export(jax.jit(partial(results, shared=SHARED)))(shapes)
    again = jax.export.deserialize(exported.serialize())
    assert_same(again.call(batch), on_a_single_device())
