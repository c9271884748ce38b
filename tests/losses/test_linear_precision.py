"""linear_categorical at the sizes and in the precisions that it is for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from precision import enable_x64

import rwwce_jax as rwwce

pytestmark = pytest.mark.optimized


def problem(rows, features, classes, dtype="float32"):
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(rows, features)).astype(np.float32)
    kernel = np.float32(rng.normal(size=(features, classes)) * 2 / features**0.5)
    labels = rng.integers(0, classes, rows)
    pairs = {(int(k), int((k * 7 + i) % classes)): 3.0 for k in labels for i in range(1, 4)}
    fp = rwwce.pair_costs({pair: c for pair, c in pairs.items() if pair[0] != pair[1]}, classes)
    return jnp.asarray(hidden, dtype), jnp.asarray(kernel, dtype), labels, fp


def fused(hidden, kernel, labels, fp, fn=2.0, **options):
    return rwwce.linear_categorical(hidden, kernel, labels, fn, fp, **options)


def unfused(hidden, kernel, labels, fp, fn=2.0, **options):
    return rwwce.categorical(hidden @ kernel, labels, fn, fp, **options)


def value_and_gradients(loss, hidden, kernel, *rest, **options):
    run = jax.jit(jax.value_and_grad(lambda h, w: loss(h, w, *rest, **options), (0, 1)))
    value, (by_hidden, by_kernel) = run(hidden, kernel)
    return [np.asarray(x, np.float64) for x in (value, by_hidden, by_kernel)]


def errors(actual, truth):
    return [np.linalg.norm(x - y) / np.linalg.norm(y) for x, y in zip(actual, truth, strict=True)]


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_error_budget(dtype, reduction):
    """No further from the truth than stored logits of this dtype are, in a sum of 32 chunks."""
    hidden, kernel, *rest = problem(507, 123, 1503, dtype)
    cotangent = np.random.default_rng(1).normal(size=507).astype(np.float32)

    def total(loss):
        def run(*arguments, **options):
            losses = loss(*arguments, reduction=reduction, **options)
            return losses if losses.ndim == 0 else jnp.vdot(losses, cotangent)

        return run

    wide = (x.astype(jnp.float32) for x in (hidden, kernel))
    truth = value_and_gradients(total(unfused), *wide, *rest)
    budget = errors(value_and_gradients(total(unfused), hidden, kernel, *rest), truth)
    actual = value_and_gradients(total(fused), hidden, kernel, *rest, chunk_size=16)
    assert np.all(np.array(errors(actual, truth)) <= np.maximum(1.001 * np.array(budget), 1e-6))


@pytest.mark.parametrize("times", [1, 1000, 4000])
def test_a_costly_row_leaves_the_others_alone(times, standard_promotion):
    """By rows of hidden states and columns of the kernel, as near the truth as from stored logits.

    Half of the classes are nearly impossible in the costly row: the others tell their gradients.
    """
    rows, features, classes, costly = 48, 16, 3000, 3
    rng = np.random.default_rng(0)
    scale = np.where(np.arange(classes) < classes // 2, 1, 0.25)
    kernel = np.float16(rng.normal(size=(features, classes)) * scale)
    hidden = np.float16(rng.normal(size=(rows, features)))
    hidden[costly] = 2 * kernel[:, 0]
    labels = rng.integers(0, classes, rows)
    labels[costly] = 5
    fp = rwwce.pair_costs({(k, k + 1): 0.5 for k in range(0, classes, 2)}, classes)
    fn = rwwce.ExampleCosts(np.where(np.arange(rows) == costly, times, 1).astype(np.float32))

    def stored(hidden, kernel, *rest, **options):
        wide = jnp.promote_types(hidden.dtype, jnp.float32)
        return rwwce.categorical(
            jnp.matmul(hidden, kernel, preferred_element_type=wide), *rest, **options
        )

    def gradients(loss, dtype, **options):
        arrays = jnp.asarray(hidden, dtype), jnp.asarray(kernel, dtype)
        options = {"reduction": "sum", **options}
        return value_and_gradients(loss, *arrays, labels, fn, fp, **options)[1:]

    with enable_x64(True):
        exact = gradients(stored, np.float64)
    ours = gradients(rwwce.linear_categorical, np.float16, chunk_size=16)
    budget = gradients(stored, np.float16)
    for axis, truth, found, from_stored in zip((1, 0), exact, ours, budget, strict=True):
        size = np.max(np.abs(truth), axis)
        error, allowed = (np.max(np.abs(x - truth), axis) / size for x in (found, from_stored))
        assert np.max(error) <= 1.5 * np.max(allowed)
        assert np.median(error) <= 1.5 * np.median(allowed)


def temporaries(loss, rows, features, classes):
    arrays = [
        jax.ShapeDtypeStruct((rows, features), np.float32),
        jax.ShapeDtypeStruct((features, classes), np.float32),
        jax.ShapeDtypeStruct((rows,), np.int32),
    ]
    program = jax.jit(jax.value_and_grad(loss, (0, 1))).lower(*arrays).compile()
    return program.memory_analysis().temp_size_in_bytes


def test_memory():
    """By compiling alone, against cross-entropy of stored logits."""
    shape = 8192, 256, 128256

    def cross_entropy(hidden, kernel, labels):
        return optax.softmax_cross_entropy_with_integer_labels(hidden @ kernel, labels).mean()

    def weighted(hidden, kernel, labels):
        options = {"fn": 1.0, "fp": pairs, "reduction": "none"}
        losses = rwwce.linear_categorical(hidden, kernel, labels, **options)
        return jnp.vdot(losses, jnp.arange(shape[0], dtype=jnp.float32))

    pairs = rwwce.pair_costs({(k, k + 1): 2.0 for k in range(0, 30000, 3)}, shape[-1])
    means = [functools.partial(rwwce.linear_categorical, fn=1.0, fp=fp) for fp in (0, pairs)]
    stored = temporaries(cross_entropy, *shape)
    for loss in (*means, weighted):
        assert temporaries(loss, *shape) <= 0.1 * stored
