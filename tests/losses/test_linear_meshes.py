"""linear_categorical on every mesh: the numbers of one device, and collectives of small arrays."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from programs import KINDS, a_mesh, collectives

import rwwce_jax as rwwce

N, H, K, CHUNK = 128, 8, 512, 32
RNG = np.random.default_rng(0)
ARRAYS = (
    np.float32(RNG.normal(size=(N, H))),
    np.float32(RNG.normal(size=(H, K))),
    np.int32(RNG.integers(0, K, N)),
)
COTANGENT = np.float32(RNG.normal(size=N))
PAIRS = rwwce.pair_costs({(k, (k + j) % K): 1.0 + j for k in range(K) for j in (1, 3)}, K)
# How the rows and the columns of the kernel are sharded.
LAYOUTS = {
    "rows": (P("data"), P()),
    "all rows": (P(("data", "model")), P()),
    "columns": (P(), P(None, "model")),
    "both": (P("data"), P(None, "model")),
}


def value_and_gradients(fp, **options):
    def loss(hidden, kernel, labels):
        loss = rwwce.linear_categorical(
            hidden, kernel, labels, 1.5, fp, chunk_size=CHUNK, **options
        )
        return loss if loss.ndim == 0 else jnp.vdot(loss, COTANGENT)

    return jax.value_and_grad(loss, (0, 1))


def assert_close(actual, expected):
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5 * np.max(np.abs(y)))


@pytest.mark.sampled(5)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("fp", "options"),
    [(2.0, {"z_loss": 0.03, "soft_cap": 2.5}), (PAIRS, {"reduction": "none"})],
    ids=["scalar-mean", "pairs-none"],
)
def test_as_on_one_device(fp, options, layout, kind):
    rows, columns = LAYOUTS[layout]
    arrays = [
        jax.device_put(x, NamedSharding(a_mesh(kind), spec))
        for x, spec in zip(ARRAYS, (rows, columns, rows), strict=True)
    ]
    loss = value_and_gradients(fp, **options)
    program = jax.jit(loss).lower(*arrays).compile()
    actual = program(*arrays)
    assert_close(actual, loss(*ARRAYS))
    for gradient, array in zip(actual[1], arrays, strict=False):
        assert gradient.sharding.is_equivalent_to(array.sharding, ndim=2)

    # Each device's kernel is reduced once, after all chunks, and only where the rows are sharded.
    text = program.as_text()
    of_kernel = arrays[1].addressable_shards[0].data.size
    entry = text[re.search(r"^ENTRY", text, re.MULTILINE).start() :]
    assert collectives(entry).count(of_kernel) == (layout != "columns")
    assert collectives(text).count(of_kernel) == (layout != "columns")
    others = [size for size in collectives(text) if size != of_kernel]
    assert max(others) <= CHUNK * H  # a chunk's hidden states, whose gradient is over all columns


@pytest.mark.sampled(4)
@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_shard_map(reduction, check):
    """Rows by device, the kernel on all of them: its gradient is summed over the devices."""
    rows = P(("data", "model"))

    def local(hidden, kernel, labels):
        losses = rwwce.linear_categorical(
            hidden, kernel, labels, 1.5, PAIRS, reduction=reduction, chunk_size=5
        )
        return jax.lax.psum(jnp.sum(losses), ("data", "model"))

    total = jax.shard_map(
        local,
        mesh=a_mesh("automatic"),
        in_specs=(rows, P(), rows),
        out_specs=P(),
        check_vma=check,
    )
    actual = jax.jit(jax.value_and_grad(total, (0, 1)))(*ARRAYS)
    assert_close(actual, value_and_gradients(PAIRS, reduction="sum")(*ARRAYS))
