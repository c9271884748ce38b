"""Half precision is computed in single, single stays single, and no integer wraps around."""

from functools import partial

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import categorical, differentiated
from drawn import problems
from public_functions import BATCH, SHARED, value_and_gradient
from public_functions import LOSSES as CALLS
from weighted import LOSSES, ONE, SCORES

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


@pytest.mark.parametrize(
    "name", ["categorical, no fp", "categorical, scalars", "soft, matrix", "binary", "multilabel"]
)
def test_sums_of_many_half_precision_losses_do_not_overflow(name):
    def repeated(x):
        return jnp.tile(x, (20_000, *[1] * (x.ndim - 1)))

    def total(z, **options):
        return LOSSES[name](z, 2000 * ONE, reduction="sum", **options)

    for dtype in (jnp.float16, jnp.bfloat16):
        logits = jnp.asarray(SCORES, dtype)
        value, gradient = jax.value_and_grad(total)(logits, take=repeated)
        assert (value.dtype, gradient.dtype) == (jnp.float32, dtype)
        np.testing.assert_allclose(value, 20_000 * total(logits.astype(jnp.float32)), rtol=1e-5)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_costs_and_weights_change_no_dtype_of_the_loss(call, x64):
    """In double or half precision, or integers: it is that of the logits."""
    given = {name: (BATCH | SHARED)[name] for name in call.names}
    by = call.arguments[0]
    for dtype in (np.float32, np.float64):
        for of_costs in (np.float64, np.int32, jnp.bfloat16):
            dtypes = dict.fromkeys(("logits", "hidden", "scores"), dtype)
            dtypes |= dict.fromkeys(("by_class", "matrix", "amounts", "row_costs"), of_costs)
            dtypes["weights"] = np.float64
            cast = {k: x.astype(dtypes[k]) if k in dtypes else x for k, x in given.items()}

            def loss(x, cast=cast):
                return call(cast | {by: x})

            value, gradient = jax.eval_shape(partial(value_and_gradient, loss), cast[by])
            assert (value.dtype, gradient.dtype) == (dtype, cast[by].dtype)


def test_wide_integers_do_not_wrap_around():
    """2**32 is 0 in 32 bits: as a label it must be refused, as a cost kept."""
    logits = jnp.zeros((1, 3))
    assert jnp.isnan(rwwce.categorical(logits, np.array([2**32]), 1, 0))
    assert jnp.isnan(rwwce.categorical(logits, np.array([2**31 + 1], np.uint32), 1, 0))
    value = rwwce.categorical(logits, np.array([0]), np.array([2**32 + 1] * 3), 0)
    np.testing.assert_allclose(value, 2.0**32 * np.log(3), rtol=1e-6)
    for dtype in (np.int8, np.uint8, np.int16, np.uint32, np.int64):
        for label in (np.array([2], dtype), jnp.asarray(np.array([2], dtype))):
            assert rwwce.categorical(jnp.zeros((1, 1000)), label, 1, 0) > 0


def test_numbers_in_the_byte_order_of_a_file():
    logits, labels = np.float32([[0.5, -1.0, 2.0]]), np.array([2])
    other = rwwce.categorical(logits.astype(">f4"), labels.astype(">i4"), np.ones(3, ">f8"), 0)
    assert other == rwwce.categorical(logits, labels, 1.0, 0)


def test_float16_holds_no_gradient_above_65504():
    """It is inf there, which loss scaling looks for; a clipped one would be wrong in silence."""
    logits, labels = jnp.array([[0, 4, 0.5]], jnp.float16), np.array([0])
    for cost in (1e3, 1e5):
        value, gradient = jax.value_and_grad(rwwce.categorical)(logits, labels, 1.0, cost)
        exact = jax.grad(rwwce.categorical)(logits.astype(jnp.float32), labels, 1.0, cost)
        assert np.isfinite(value)
        assert gradient.dtype == jnp.float16
        overflown = np.where(np.abs(exact) > 65504, np.copysign(np.inf, exact), exact)
        np.testing.assert_allclose(gradient.astype(jnp.float32), overflown, rtol=1e-3)
