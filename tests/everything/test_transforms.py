"""Under JAX's transformations and its switches for debugging, and where numbers end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from points import DENSE
from public_functions import BATCH, LOSSES, SHARED, results
from references import equation_6

import rwwce_jax as rwwce


def assert_close(actual, expected, atol=1e-5, message=""):
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=atol, err_msg=message)


def test_nested_transformations():
    """The gradient of a model is the same through jit in jit, checkpoints and scans."""
    fn, fp = np.float32([1, 2, 3, 4]), np.float32(DENSE)
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.normal(size=(12, 5)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 4, 12), jnp.int32)
    weights = jnp.asarray(3 * rng.normal(size=(5, 4)), jnp.float32)
    batches = (inputs.reshape(4, 3, 5), labels.reshape(4, 3))

    def loss(weights, inputs, labels):
        return rwwce.categorical(jnp.tanh(inputs @ weights), labels, fn, fp, reduction="sum")

    def oracle(weights):
        return jnp.sum(equation_6(jnp.tanh(inputs @ weights), labels, fn, fp))

    def gradients_added(weights):
        def add(total, batch):
            return jax.tree.map(jnp.add, total, jax.value_and_grad(loss)(weights, *batch)), None

        return jax.lax.scan(add, (jnp.float32(0), jnp.zeros_like(weights)), batches)[0]

    def losses_added(weights):
        @jax.checkpoint
        def add(total, batch):
            return total + loss(weights, *batch), None

        return jax.lax.scan(add, jnp.float32(0), batches)[0]

    jit, both = jax.jit, jax.value_and_grad
    ways = {
        "eager": both(loss)(weights, inputs, labels),
        "jit in jit": jit(jit(both(jit(loss))))(weights, inputs, labels),
        "checkpoint": jit(both(jax.checkpoint(loss)))(weights, inputs, labels),
        "gradients added in a scan": jit(gradients_added)(weights),
        "gradient of a scan": jit(both(losses_added))(weights),
    }
    expected = both(oracle)(weights)
    for way, actual in ways.items():
        assert_close(actual, expected, message=way)


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
