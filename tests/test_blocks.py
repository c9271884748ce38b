"""A large batch on a CPU with one device is worked through in blocks of rows, and equals the whole.

The tests run with eight devices, where no batch is: the decision is tested by itself, and made for
the others.
"""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce
from rwwce_jax import losses
from rwwce_jax._numerics import blocks

ROWS, B, K = 8, 43, 12  # the last block is not a whole one
RNG = np.random.default_rng(0)
LOGITS = np.float32(RNG.normal(size=(B, K)) * 4)
LABELS = RNG.integers(0, K, B)
FN = np.float32(RNG.random(K))
WHERE = RNG.random(B) < 0.7
PROBABILITIES = np.float32(RNG.dirichlet(np.ones(K), B))
COSTS = {
    "no fp": 0,
    "scalar": 2.0,
    "dense": np.float32(RNG.random((K, K))),
    "pairs": rwwce.pair_costs({(k, (k + j) % K): 1.0 + j for k in range(K) for j in (1, 3)}, K),
    "examples": rwwce.ExampleCosts(np.float32(RNG.random((B, K)))),
    "candidates": rwwce.ExampleCosts(2.0, classes=RNG.integers(-1, K, (B, 3))),
}


@pytest.fixture
def uncompiled(monkeypatch):
    """A function that makes ``rwwce.categorical`` trace anew what has been compiled before."""

    def forget():
        monkeypatch.setattr(losses, "_categorical", losses._categorical.__wrapped__)

    return forget


def everything(fp, labels):
    """The loss and its derivatives, compiled anew each time."""

    def loss(logits, fn=FN, fp=fp, reduction="mean"):
        return rwwce.categorical(logits, labels, fn, fp, where=WHERE, reduction=reduction)

    def results(logits, direction):
        gradient = jax.grad(loss)
        return [
            loss(logits, reduction="none"),
            jax.value_and_grad(loss)(logits),
            jax.jvp(functools.partial(loss, reduction="none"), (logits,), (direction,)),
            jax.jvp(gradient, (logits,), (direction,)),
            jax.grad(lambda z: jnp.vdot(gradient(z), direction))(logits),
            jax.grad(loss, 1)(logits, jnp.asarray(FN)),
            jax.grad(loss, 2)(logits, FN, fp) if isinstance(fp, np.ndarray) else (),
        ]

    return jax.jit(results)(LOGITS, LOGITS[::-1])


@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", ["ids", "probabilities"])
@pytest.mark.parametrize(
    "fp",
    [
        pytest.param(fp, id=name, marks=() if name == "dense" else pytest.mark.slow)
        for name, fp in COSTS.items()
    ],
)
def test_equals_the_whole(fp, kind, monkeypatch, uncompiled):
    labels = LABELS if kind == "ids" else PROBABILITIES
    whole = everything(fp, labels)
    monkeypatch.setattr(blocks, "ROWS", ROWS)
    monkeypatch.setattr(blocks, "uses_blocks", lambda logits: logits.ndim == 2)
    uncompiled()
    in_blocks = everything(fp, labels)
    program = jax.make_jaxpr(lambda z: rwwce.categorical(z, labels, FN, fp))(LOGITS)
    # Costs of few classes gain nothing by blocks.
    few = not isinstance(fp, float | np.ndarray) and fp is not COSTS["examples"]
    assert ("scan" in str(program)) != ((few and kind == "ids") or fp is COSTS["no fp"])
    for actual, expected in zip(jax.tree.leaves(in_blocks), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("rows", [B, 2000])
def test_one_device_scatters_what_several_compare(rows, monkeypatch, uncompiled):
    logits, labels = np.resize(LOGITS, (rows, K)), np.resize(LABELS, rows)
    expected = jax.value_and_grad(rwwce.categorical)(logits, labels, FN, 0)
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    uncompiled()
    loss = jax.jit(jax.value_and_grad(lambda z: rwwce.categorical(z, labels, FN, 0)))
    assert "scatter" in loss.lower(logits).as_text()
    actual = loss(logits)
    np.testing.assert_allclose(actual[0], expected[0], rtol=1e-6)
    np.testing.assert_allclose(actual[1], expected[1], rtol=1e-5, atol=1e-9)


def run_on_one_device(program):
    """Runs it in a process of its own, for here are eight devices."""
    environment = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env=environment)


def test_when():
    large = jnp.zeros((4096, 1000))
    assert not blocks.uses_blocks(large)
    run_on_one_device("""
import jax.numpy as jnp
from rwwce_jax._numerics.blocks import uses_blocks
assert uses_blocks(jnp.zeros((4096, 1000)))
assert not uses_blocks(jnp.zeros((2048, 1000)))
assert not uses_blocks(jnp.zeros((256, 32768)))
assert not uses_blocks(jnp.zeros((4, 1024, 1000)))
""")


def test_blocks_store_no_constants():
    """The gradient is stored, and arrays of a few blocks, none of which holds one constant."""
    run_on_one_device("""
import jax, jax.numpy as jnp, rwwce_jax as rwwce
loss = jax.jit(jax.value_and_grad(lambda z, y: rwwce.categorical(z, y, 1.0, 2.0)))
compiled = loss.lower(jnp.zeros((4096, 1000)), jnp.zeros(4096, int)).compile()
assert compiled.memory_analysis().temp_size_in_bytes < 1.5 * 4096 * 1000 * 4
""")
