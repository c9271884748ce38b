"""What JAX's switches for debugging show, and numbers at the ends of what a dtype holds."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce

B, K = 6, 5
RNG = np.random.default_rng(0)
LOGITS = np.float32(RNG.normal(size=(B, K)) * 30)
LABELS = RNG.integers(0, K, B)
FP = np.float32(RNG.random((K, K)))
PAIRS = rwwce.pair_costs({(k, (k + 1) % K): 1.0 + k for k in range(K)}, K)
COSTS = {
    "no fp": 0,
    "scalar": 2.0,
    "dense": FP,
    "pairs": PAIRS,
    "examples": rwwce.ExampleCosts(FP[LABELS]),
    "candidates": rwwce.ExampleCosts(1.0, classes=(LABELS[:, None] + [1, 1, 2]) % K),
}


def value_and_gradient(fp, labels=LABELS):
    return jax.value_and_grad(rwwce.categorical)(jnp.asarray(LOGITS), labels, 1.5, fp)


@pytest.mark.sampled(5)
@pytest.mark.parametrize("switch", ["jax_debug_nans", "jax_disable_jit"])
@pytest.mark.parametrize("fp", COSTS.values(), ids=COSTS)
def test_switches(fp, switch):
    labels = [LABELS] if switch == "jax_debug_nans" else [LABELS, jax.nn.one_hot(LABELS, K)]
    for truth in labels:
        expected = value_and_gradient(fp, truth)
        jax.config.update(switch, True)
        try:
            actual = value_and_gradient(fp, truth)
        finally:
            jax.config.update(switch, False)
        np.testing.assert_allclose(actual[0], expected[0], rtol=1e-6)
        np.testing.assert_allclose(actual[1], expected[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rows", [B, 4200])
@pytest.mark.parametrize("kind", ["pairs", "candidates"])
def test_costs_that_are_all_zero(kind, rows):
    """The gradient is 0, and not next to it."""
    logits = jnp.asarray(np.resize(LOGITS, (rows, K)))
    labels = np.resize(LABELS, rows)
    fp = dataclasses.replace(PAIRS, costs=jnp.zeros(K))
    if kind == "candidates":
        fp = rwwce.ExampleCosts(0.0, classes=np.resize(COSTS["candidates"].classes, (rows, 3)))
    value, gradient = jax.value_and_grad(rwwce.categorical)(logits, labels, 0.0, fp)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)
    by_fn = jax.value_and_grad(rwwce.categorical)(logits, labels, 1.5, fp)
    expected = jax.value_and_grad(rwwce.categorical)(logits, labels, 1.5, 0)
    np.testing.assert_allclose(by_fn[0], expected[0], rtol=1e-6)
    np.testing.assert_allclose(by_fn[1], expected[1], rtol=1e-5, atol=1e-8)


def test_float16_holds_no_gradient_above_65504():
    """It is inf there, which loss scaling looks for; a clipped one would be wrong in silence."""
    logits, labels = jnp.array([[0, 4, 0.5]], jnp.float16), np.array([0])
    for cost in (1e3, 1e5):
        value, gradient = jax.value_and_grad(rwwce.categorical)(logits, labels, 1.0, cost)
        exact = jax.grad(rwwce.categorical)(logits.astype(jnp.float32), labels, 1.0, cost)
        assert np.isfinite(value)
        assert gradient.dtype == jnp.float16
        np.testing.assert_allclose(
            gradient.astype(jnp.float32),
            np.where(np.abs(exact) > 65504, np.copysign(np.inf, exact), exact),
            rtol=1e-3,
        )
