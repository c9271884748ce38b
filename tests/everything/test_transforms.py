"""Under JAX's transformations: a batch is a loop over its examples, and a gradient the same."""

import jax
import jax.numpy as jnp
import numpy as np
from comparison import (
    TOLERANCE,
    assert_within,
    binary,
    categorical,
    differentiated,
    quarters,
    unit_of,
)
from drawn import SINGLE, B, K, binary_problems, costs_of, holds_for, problems
from points import DENSE
from references import equation_6

import rwwce_jax as rwwce

vmapped = jax.vmap(categorical)


@holds_for(problems, SINGLE, fn=costs_of((B, K)), fp=costs_of((B, K, K)))
def test_vmap_over_the_costs_of_each_example_is_a_loop(problem, fn, fp):
    """Each time of the loop takes an example without a batch."""
    logits, labels, probs, *_ = problem
    for truth in (labels, probs):
        losses, by_logits, by_fn, by_fp = differentiated(vmapped)(logits, truth, fn, fp)
        for i, weight in enumerate(quarters(B, logits.dtype)):
            expected = differentiated(categorical)(
                logits[i], truth[i], fn[i], fp[i], weights=np.asarray(weight)
            )
            actual = (losses[i], by_logits[i], by_fn[i], by_fp[i])
            allowed = 2 * B * TOLERANCE[str(logits.dtype)] * unit_of(logits, fn[i], fp[i])[i]
            for x, y in zip(actual, expected, strict=True):
                assert_within(x, y, allowed)


@holds_for(binary_problems, SINGLE)
def test_binary_costs_of_each_example_are_a_loop(problem):
    logits, labels, probs, fn, fp = problem
    rtol = 4 * TOLERANCE[str(logits.dtype)]
    for truth in (labels, probs):
        actual = differentiated(binary)(logits, truth, fn, fp)
        for i, weight in enumerate(quarters(B, logits.dtype)):
            expected = one_binary(np.asarray(weight), logits[i], truth[i], fn[i], fp[i])
            for x, y in zip(actual, expected, strict=True):
                np.testing.assert_allclose(x[i], y, rtol=rtol, atol=rtol)


@jax.jit
def one_binary(weight, logit, label, fn, fp):
    loss, pull = jax.vjp(lambda z, fn, fp: binary(z, label, fn, fp), logit, fn, fp)
    return loss, *pull(weight)


def test_nested_transformations():
    """The gradient of a model is the same through jit in jit, checkpoints and scans."""
    fn, fp = np.float32([1, 2, 3, 4]), np.float32(DENSE)
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.normal(size=(12, 5)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, K, 12), jnp.int32)
    weights = jnp.asarray(3 * rng.normal(size=(5, K)), jnp.float32)
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
        for x, y in zip(actual, expected, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5, err_msg=way)
