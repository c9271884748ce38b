"""Half precision is computed in single, single stays single, and no integer wraps around."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import categorical, differentiated
from drawn import problems
from drawn_label_sets import PAIRS

import rwwce_jax as rwwce

pytestmark = pytest.mark.optimized

IDS, SETS = np.array([1, 2]), np.array([[0, 1, 0], [0, 0, 1]])
# Of logits (..., 3) of two rows that repeat, and of costs of misses: numbers, or one by class.
LOSSES = {
    "no fp": lambda z, fn, **more: rwwce.categorical(z, np.resize(IDS, len(z)), fn, 0, **more),
    "scalar": lambda z, fn, **more: rwwce.categorical(z, np.resize(IDS, len(z)), fn, 2.5, **more),
    "matrix": lambda z, fn, **more: rwwce.categorical(
        z, np.resize(IDS, len(z)), fn, np.ones((3, 3)), **more
    ),
    "soft": lambda z, fn, **more: rwwce.categorical(
        z, np.resize(SETS == 1, (len(z), 3)), fn, jnp.ones((3, 3)), **more
    ),
    "binary": lambda z, fn, **more: rwwce.binary(z, np.resize(SETS, (len(z), 3)), fn, 1.0, **more),
    "multilabel": lambda z, fn, **more: rwwce.multilabel(
        z, np.resize(SETS, (len(z), 3)), fn, 1.0, fp_pairs=PAIRS, **more
    ),
}
TWO_ROWS = np.array([[1.5, -3.0, 8.0], [0.5, -1.0, 2.0]])
losses = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


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


@losses
def test_sums_of_many_half_precision_losses_do_not_overflow(loss):
    for dtype in (jnp.float16, jnp.bfloat16):
        logits = jnp.tile(jnp.asarray(TWO_ROWS, dtype), (50_000, 1))
        run = jax.value_and_grad(lambda z: loss(z, 2000.0, reduction="sum"))
        value, gradient = run(logits)
        assert (value.dtype, gradient.dtype) == (jnp.float32, dtype)
        exact = loss(jnp.asarray(logits[:2], jnp.float32), 2000.0, reduction="sum")
        np.testing.assert_allclose(value, 50_000 * exact, rtol=1e-5)


@pytest.mark.sampled(3)
@losses
def test_costs_change_no_dtype_of_the_loss(loss, x64):
    """Neither do those in double precision, where logits are in single, nor integers."""
    for dtype in (jnp.float32, jnp.float64):
        logits = jnp.asarray(TWO_ROWS, dtype)
        expected = loss(logits, 2.0)
        for fn in (2, np.float64(2), np.full(3, 2.0), jnp.full(3, 2), jnp.full(3, 2, jnp.bfloat16)):
            value, gradient = jax.value_and_grad(loss)(logits, fn)
            assert value.dtype == gradient.dtype == dtype
            np.testing.assert_allclose(value, expected, rtol=1e-6)


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
