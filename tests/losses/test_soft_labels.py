"""Soft labels a few rounding errors outside of [0, 1] are clipped; further out they give NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce

DTYPES = {"float32": 2**-23, "bfloat16": 2**-7, "float16": 2**-10}
LOGITS = jnp.array([[0.5, -1.0, 2.0], [3.0, 0.0, -1.0]])
FP = jnp.array([[0.0, 2.0, 3.0], [5.0, 0.0, 7.0], [11.0, 13.0, 0.0]])
KERNEL = jnp.eye(3)


def of_each(p):
    """One label p and one 1 - p for each row, in its dtype."""
    rest = jnp.asarray(1, p.dtype) - p
    return jnp.stack([p, rest, jnp.zeros_like(p)], axis=-1)


LOSSES = {
    "binary": lambda p: rwwce.binary(LOGITS[:, 0], p, 2.0, 3.0, reduction="none"),
    "categorical": lambda p: rwwce.categorical(LOGITS, of_each(p), 2.0, FP, reduction="none"),
    "fp = 0": lambda p: rwwce.categorical(LOGITS, of_each(p), 2.0, 0.0, reduction="none"),
    "fused": lambda p: rwwce.linear_categorical(
        LOGITS, KERNEL, of_each(p), 2.0, FP, reduction="none"
    ),
    "multilabel": lambda p: rwwce.multilabel(
        LOGITS, of_each(p), 2.0, 3.0, fp_pairs=FP, reduction="none"
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_rounding_errors_are_clipped_and_what_is_further_out_is_nan(name):
    loss = jax.jit(LOSSES[name])
    for dtype, eps in DTYPES.items():
        exact = jnp.array([1.0, 0.0], dtype)
        off = exact + jnp.array([4 * eps, -4 * eps], dtype)
        assert np.any(np.asarray(off != exact))
        np.testing.assert_array_equal(loss(off), loss(exact))
        for wrong in (1 + 16 * eps, -16 * eps):
            losses = loss(jnp.array([wrong, 0.5], dtype))
            np.testing.assert_array_equal(np.isnan(losses), [True, False])


def test_gradient_by_a_label():
    """Also at 0 and 1, where ``jnp.clip`` would halve it."""
    expected = 2.0 * np.log1p(np.exp(-0.7)) - 3.0 * np.log1p(np.exp(0.7))
    for p in (0.0, 0.5, 1.0):
        slope = jax.grad(rwwce.binary, 1)(0.7, p, 2.0, 3.0)
        np.testing.assert_allclose(slope, expected, rtol=1e-6)


def test_other_functions_take_the_same_labels():
    off, exact = np.float32([1 + 2**-22, 0.0]), np.float32([1.0, 0.0])
    decisions, scores = np.array([0, 1]), np.float32([0.2, 0.8])
    for function in (
        lambda y: rwwce.binary_real_world_cost(decisions, y, 2.0, 3.0),
        lambda y: rwwce.best_threshold(scores, y, 2.0, 3.0),
        lambda y: rwwce.fit_temperature(np.float32([0.5, -0.5]), y),
    ):
        np.testing.assert_array_equal(function(off), function(exact))
