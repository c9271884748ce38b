"""Every loss under JAX's transformations and its switches for debugging."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from public_functions import BATCH, LOSSES, SHARED, results


def assert_close(actual, expected):
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("call", LOSSES, ids=str)
def test_nested_transformations(call):
    """Jit in jit, gradients in a scan, and the gradient of a scan of rematerialised losses."""
    values, by = BATCH | SHARED, call.arguments[0]
    batches = jnp.stack([values[by], values[by] / 2])

    @jax.jit
    def loss(x):
        return jnp.sum(call(values | {by: x}))

    def total(batches):
        def add(total, x):
            return total + jax.checkpoint(loss)(x), None

        return jax.lax.scan(add, jnp.float32(0), batches)[0]

    both = jax.value_and_grad(loss)
    of_each = [np.stack(parts) for parts in zip(*map(both, batches), strict=True)]
    in_scan = jax.jit(lambda: jax.lax.scan(lambda _, x: (None, both(x)), None, batches)[1])
    assert_close(in_scan(), of_each)
    of_scan = jax.jit(jax.value_and_grad(total))(batches)
    assert_close(of_scan, (of_each[0].sum(), of_each[1]))


@pytest.mark.sampled(8)
@pytest.mark.parametrize("switch", ["jax_debug_nans", "jax_disable_jit"])
@pytest.mark.parametrize("call", LOSSES, ids=str)
def test_switches_for_debugging(call, switch):
    batch = BATCH | {"logits": BATCH["logits"] * 8}
    expected = results(batch, SHARED, [call])
    jax.config.update(switch, True)
    try:
        actual = results(batch, SHARED, [call])
    finally:
        jax.config.update(switch, False)
    assert_close(actual, expected)
