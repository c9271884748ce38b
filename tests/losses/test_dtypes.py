"""Half precision is computed in single, single stays single, and no integer wraps around."""

from functools import partial

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import categorical, differentiated
from drawn import problems

import rwwce_jax as rwwce

pytestmark = pytest.mark.optimized


@pytest.mark.parametrize("half", [jnp.float16, jnp.bfloat16])
@hypothesis.given(problem=problems)
def test_half_precision_is_single_precision_at_the_ends(half, problem):
    labels, fn, fp = problem.labels, np.float32(problem.fn), np.float32(problem.fp)
    logits = jnp.asarray(problem.logits, half)
    losses, gradient, *_ = differentiated(categorical)(logits, labels, fn, fp)
    single = np.asarray(logits.astype(jnp.float32))
    exact, exact_gradient, *_ = differentiated(categorical)(single, labels, fn, fp)
    assert losses.dtype == jnp.float32
    assert gradient.dtype == half
    np.testing.assert_array_equal(losses, exact)
    np.testing.assert_array_equal(gradient, exact_gradient.astype(half))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_sums_of_many_half_precision_losses_do_not_overflow(dtype):
    logits = jnp.tile(jnp.array([1.5, -3.0, 8.0], dtype), (100_000, 1))
    one, labels = np.float32(logits[:1]), jnp.zeros(100_000, jnp.int32)
    for fp in (0, np.ones((3, 3))):
        loss = partial(rwwce.categorical, fn=2000.0, fp=fp, reduction="sum")
        value, gradient = jax.value_and_grad(loss)(logits, labels)
        assert (value.dtype, gradient.dtype) == (jnp.float32, dtype)
        np.testing.assert_allclose(value, 100_000 * loss(one, labels[:1]), rtol=1e-5)
    loss = partial(rwwce.binary, fn=1.0, fp=1.0, reduction="sum")
    value, slope = jax.value_and_grad(loss)(logits[:, 0], labels)
    assert (value.dtype, slope.dtype) == (jnp.float32, dtype)
    np.testing.assert_allclose(value, 100_000 * np.log1p(np.exp(1.5)), rtol=1e-5)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "costs",
    [1.5, np.full(3, 1.5), jnp.full(3, 1.5), jnp.full(3, 1.5, jnp.bfloat16)],
    ids=["float", "numpy", "jax", "bfloat16"],
)
def test_float32_stays_float32_with_x64(x64, costs):
    logits = jnp.array([[0.5, -1.0, 2.0]], jnp.float32)
    loss = jax.value_and_grad(rwwce.categorical)
    for fp in (0, 2.5, np.ones((3, 3)), jnp.ones((3, 3))):
        for labels in (np.array([1]), np.array([[0.0, 1.0, 0.0]])):
            value, gradient = loss(logits, labels, costs, fp)
            assert value.dtype == gradient.dtype == jnp.float32
            np.testing.assert_allclose(value, loss(logits, labels, 1.5, fp)[0], rtol=1e-6)
    value, slope = jax.value_and_grad(rwwce.binary)(logits[0], np.array([1, 0, 1]), costs, costs)
    assert value.dtype == slope.dtype == jnp.float32
    double = rwwce.categorical(logits.astype(jnp.float64), np.array([1]), costs, 0)
    assert double.dtype == jnp.float64


def test_wide_integers_do_not_wrap_around():
    """2**32 is 0 in 32 bits: as a label it must be refused, as a cost kept."""
    logits = jnp.zeros((1, 3))
    assert jnp.isnan(rwwce.categorical(logits, np.array([2**32]), 1, 0))
    assert jnp.isnan(rwwce.categorical(logits, np.array([2**31 + 1], np.uint32), 1, 0))
    value = rwwce.categorical(logits, np.array([0]), np.array([2**32 + 1] * 3), 0)
    np.testing.assert_allclose(value, 2.0**32 * np.log(3), rtol=1e-6)
    for dtype in (np.int8, np.uint8, np.int16, np.uint32, np.int64):
        label = np.array([2], dtype)
        assert rwwce.categorical(jnp.zeros((1, 1000)), label, 1, 0) > 0
        assert rwwce.categorical(jnp.zeros((1, 1000)), jnp.asarray(label), 1, 0) > 0


def test_numbers_in_the_byte_order_of_a_file():
    logits, labels = np.float32([[0.5, -1.0, 2.0]]), np.array([2])
    other = rwwce.categorical(logits.astype(">f4"), labels.astype(">i4"), np.ones(3, ">f8"), 0)
    assert other == rwwce.categorical(logits, labels, 1.0, 0)
