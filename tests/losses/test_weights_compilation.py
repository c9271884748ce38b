"""What weights change in the programs and dtypes: nothing without them, and little with them."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from weighted import (
    FN,
    IDS,
    LOSSES,
    PROBS,
    SCORES,
    SETS,
    SOME,
    WEIGHTS,
    B,
    fused,
)

import rwwce_jax as rwwce
from rwwce_jax._numerics import Terms, binary_loss, categorical_loss

ONE = jnp.float32(1)
Y = np.float32(IDS % 2)

NO_COSTS = Terms(jnp.zeros((B, 0), jnp.float32), jnp.zeros((B, 0), jnp.int32))
# The mean loss, and the same of the numerical core on costs that were made elsewhere.
WRITTEN_OUT = {
    "categorical": (
        lambda z: rwwce.categorical(z, PROBS, FN, 0),
        lambda z: jnp.sum(categorical_loss(z, Terms(jnp.asarray(PROBS * FN)), NO_COSTS)) / B,
    ),
    "binary": (
        lambda z: rwwce.binary(z[:, 0], Y, 2.0, 3.0),
        lambda z: jnp.sum(binary_loss(z[:, 0], 2 * jnp.asarray(Y), 3 * (1 - jnp.asarray(Y)))) / B,
    ),
}


def instructions(function):
    """How many the optimized program has, but for parameters and constants."""
    program = jax.jit(jax.value_and_grad(function)).lower(SCORES).compile().as_text()
    lines = [line for line in program.splitlines() if " = " in line]
    return sum(not any(f" {x}(" in line for x in ("parameter", "constant")) for line in lines)


@pytest.mark.optimized
@pytest.mark.parametrize(("loss", "core"), WRITTEN_OUT.values(), ids=WRITTEN_OUT)
def test_without_weights_nothing_is_computed_for_them(loss, core):
    """The closed-over arrays are constants, so that both programs begin at the costs."""
    np.testing.assert_allclose(loss(SCORES), core(SCORES), rtol=1e-6)
    assert instructions(loss) <= instructions(core)


def multiplications(loss, **counted):
    return str(jax.make_jaxpr(lambda z: loss(z, ONE, **counted))(SCORES)).count(" = mul ")


def test_weights_are_two_multiplications():
    """One of the costs of misses, one of those of false positives."""
    for loss in map(LOSSES.get, SOME):
        assert multiplications(loss, weights=WEIGHTS) == multiplications(loss) + 2


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_the_fused_loss_computes_its_logits_once(reduction):
    """And no product more than without weights, also for the gradient by the weights."""
    rows, num_classes = 64, 512

    def products(by, weights):
        def loss(hidden, kernel, weights):
            given = {"fp": 2.0, "weights": weights, "reduction": reduction}
            losses = rwwce.linear_categorical(hidden, kernel, np.zeros(rows, int), 1.0, **given)
            return jnp.sum(losses)

        shapes = [jax.ShapeDtypeStruct(x, jnp.float32) for x in ((rows, 8), (8, num_classes))]
        program = jax.make_jaxpr(jax.value_and_grad(loss, by))(*shapes, weights)
        return str(program).count("f32[64,512] = dot_general["), str(program).count("dot_general[")

    weights = jax.ShapeDtypeStruct((rows,), jnp.float32)
    expected = products((0, 1), None)
    assert expected[0] == (1 if reduction == "mean" else 2)
    assert products((0, 1), weights) == expected
    assert products((0, 1, 2), weights)[0] == expected[0]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_never_widen_the_dtype(dtype, x64):
    double, ids = WEIGHTS.astype(np.float64), IDS.astype(np.int32)
    losses = (
        lambda z: rwwce.categorical(z, ids, 1.0, 2.0, weights=double),
        lambda z: fused(z, ids, 1.0, 2.0, weights=double),
        lambda z: rwwce.binary(z[:, 0], ids % 2, 1.0, 2.0, weights=double),
        lambda z: rwwce.multilabel(z, SETS, 1.0, 2.0, weights=double),
    )
    z = jax.ShapeDtypeStruct(SCORES.shape, dtype)
    for loss in losses:
        value, gradient = jax.eval_shape(jax.value_and_grad(loss), z)
        assert value.dtype == jnp.float32
        assert gradient.dtype == z.dtype
    costs = np.float32(2), np.float32(3)
    cost = rwwce.categorical_real_world_cost(ids, ids[::-1], *costs, weights=double)
    assert cost.dtype == jnp.float32
    assert rwwce.savings(cost, Y, *costs, weights=double).dtype == jnp.float32
    scores = jnp.asarray(SCORES[:, 0], dtype)
    assert rwwce.best_threshold(scores, Y, 1.0, 1.0, weights=double).dtype == dtype
    assert rwwce.fit_temperature(scores, Y, weights=double).dtype == jnp.float32
