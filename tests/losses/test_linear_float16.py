"""linear_categorical in float16: no row's gradient depends on what the other rows cost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from precision import enable_x64

import rwwce_jax as rwwce

N, H, K, COSTLY = 48, 16, 3000, 3
RNG = np.random.default_rng(0)
# Half of the classes are unlikely, and nearly impossible in the costly row: only the other rows
# tell the gradients of their kernels.
KERNEL = np.float16(RNG.normal(size=(H, K)) * np.where(np.arange(K) < K // 2, 1, 0.25))
HIDDEN = np.float16(RNG.normal(size=(N, H)))
HIDDEN[COSTLY] = 2 * KERNEL[:, 0]
IDS = np.where(np.arange(N) == COSTLY, 5, RNG.integers(0, K, N))
FEW = rwwce.pair_costs({(k, (k + 1) % K): 0.5 for k in range(0, K, 2)}, K)


def gradients(loss, dtype, fn, **options):
    def total(hidden, kernel):
        costs = rwwce.ExampleCosts(jnp.asarray(fn, jnp.promote_types(dtype, jnp.float32)))
        return jnp.sum(loss(hidden, kernel, IDS, costs, FEW, **options))

    found = jax.jit(jax.grad(total, (0, 1)))(jnp.asarray(HIDDEN, dtype), jnp.asarray(KERNEL, dtype))
    return [np.asarray(x, np.float64) for x in found]


def stored(hidden, kernel, *rest, **options):
    wide = jnp.promote_types(hidden.dtype, jnp.float32)
    logits = jnp.matmul(hidden, kernel, preferred_element_type=wide)
    return rwwce.categorical(logits, *rest, **options)


@pytest.mark.parametrize("times", [1, 1000, 4000])
def test_a_costly_row_leaves_the_others_alone(times, standard_promotion):
    """By rows of hidden states and columns of the kernel, as near the truth as from stored logits.

    Those are float32 here, and their gradient is not rounded before it is multiplied. Where the
    largest slope of a chunk is 1 in float16, columns of the kernel are off by half at 1,000 times
    the cost.
    """
    fn = np.where(np.arange(N) == COSTLY, times, 1)
    with enable_x64(True):
        exact = gradients(stored, np.float64, fn, reduction="sum")
    fused = gradients(rwwce.linear_categorical, np.float16, fn, chunk_size=16, reduction="sum")
    budget = gradients(stored, np.float16, fn, reduction="sum")
    for axis, truth, ours, theirs in zip((1, 0), exact, fused, budget, strict=True):
        size = np.max(np.abs(truth), axis)
        error, allowed = (np.max(np.abs(x - truth), axis) / size for x in (ours, theirs))
        assert np.max(error) <= 1.5 * np.max(allowed)
        assert np.median(error) <= 1.5 * np.median(allowed)
