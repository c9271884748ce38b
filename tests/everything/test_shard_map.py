"""Every public function inside jax.shard_map, on the part of the batch that a device has."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from test_meshes import BATCH, COSTS, DATA, KINDS, PLACES, a_mesh, results

PARTS = 4


def costs_of(part_of):
    """Costs of examples are those of the part."""
    made = {kind: make(lambda array, _: part_of(array)) for kind, make in COSTS.items()}
    return made | PLACES["NumPy"]()


def part(number, array):
    size = BATCH // PARTS
    return lax.dynamic_slice_in_dim(jnp.asarray(array), number * size, size)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("check_vma", [True, False], ids=["checked", "unchecked"])
@pytest.mark.parametrize("kind", KINDS)
def test_as_on_the_part_alone(kind, check_vma):
    """Also with JAX's default, which checks the types that tell whether devices differ."""
    mesh = a_mesh(KINDS[kind])
    data = {name: jnp.asarray(array) for name, (array, _) in DATA.items()}

    def of_part(data, number):
        found = results(data, costs_of(partial(part, number)), of_classes=False)
        return jax.tree.map(lambda x: x[None], found)

    on_parts = jax.shard_map(
        lambda data: of_part(data, lax.axis_index("data")),
        mesh=mesh,
        in_specs=P("data"),
        out_specs=P("data"),
        check_vma=check_vma,
    )
    sharded = jax.device_put(data, NamedSharding(mesh, P("data")))
    actual = jax.jit(on_parts)(sharded)
    alone = jax.jit(of_part)
    expected = [alone(jax.tree.map(partial(part, i), data), i) for i in range(PARTS)]
    for name in actual:
        for x, *parts in zip(actual[name], *(each[name] for each in expected), strict=True):
            np.testing.assert_allclose(x, np.concatenate(parts), rtol=1e-5, atol=1e-6, err_msg=name)
