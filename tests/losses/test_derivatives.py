"""Derivatives of the gradient and by the costs, in double precision."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import binary, categorical
from points import COSTS, DENSE, FN, LABELS, POINTS, assert_close, loss_and_arguments
from precision import enable_x64
from references import equation_6, soft_binary_cross_entropy

import rwwce_jax as rwwce


@functools.cache
def hessian_of_equation_6(by):
    return jax.jit(jax.hessian(equation_6, by))


NESTED = {
    "forward over reverse": (jax.jacfwd, jax.jacrev),
    "reverse over reverse": (jax.jacrev, jax.jacrev),
    "forward over forward": (jax.jacfwd, jax.jacfwd),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("outer", "inner"), NESTED.values(), ids=NESTED)
@pytest.mark.parametrize(
    ("kind", "costs"), [*(("ids", costs) for costs in COSTS), ("probabilities", "dense")]
)
def test_hessian(kind, costs, outer, inner, x64):
    """All blocks: by logits, by costs and the mixed ones, zero costs and far gaps included."""
    loss, rest, by = loss_and_arguments(kind, costs)
    hessian = jax.jit(outer(inner(loss, by), by))
    for point, logits in POINTS.items():
        expected = hessian_of_equation_6(by)(np.array(logits), *rest)
        assert_close(hessian(np.array(logits), *rest), expected, point)


def test_the_value_beside_a_gradient_has_the_same_derivatives():
    """Its formula has others: 0 times inf, of an impossible class that costs nothing."""
    logits = jnp.array([0.0, -jnp.inf, 1.0])
    for loss, label in ((rwwce.binary, jnp.ones(3)), (rwwce.categorical, jnp.array(1))):

        def value(logits, fn, loss=loss, label=label):
            return jax.value_and_grad(loss)(logits, label, fn, 0.0)[0]

        actual = jax.grad(value, (0, 1))(logits, 0.0)
        expected = jax.grad(loss, (0, 2))(logits, label, 0.0, 0.0)
        for x, y in zip(actual, expected, strict=True):
            np.testing.assert_array_equal(x, y)


def test_gradient_penalty(x64):
    """A loss that uses both the value and the gradient of ours, differentiated by the logits."""

    def penalised(loss, logits):
        value, gradient = jax.value_and_grad(loss)(logits, LABELS["ids"], FN, DENSE)
        return value + 0.1 * jnp.sum(gradient**2)

    for way in (jax.grad, jax.jacfwd):
        slope = jax.jit(way(penalised, 1), static_argnums=0)
        for point, logits in POINTS.items():
            expected = slope(equation_6, np.array(logits))
            assert_close(slope(categorical, np.array(logits)), expected, point)


def test_binary_second_and_third_derivatives(x64):
    """Also at 0, where both branches of its formula meet."""
    logits = np.array([0.3, -2.0, 20.0, -20.0, 60.0, -800.0, 0.0, -0.0])
    axes, by = (0, None, None, None), (0, 2, 3)

    def derivatives(loss):
        third = jax.grad(jax.grad(jax.grad(loss)))
        ways = jax.hessian(loss, by), jax.jacrev(jax.jacrev(loss, by), by), third
        return [jax.jit(jax.vmap(way, axes)) for way in ways]

    for ours, oracle in zip(
        derivatives(binary), derivatives(soft_binary_cross_entropy), strict=True
    ):
        for label in (0.0, 1.0, 0.25):
            arguments = (logits, label, 2.0, 3.0)
            assert_close(ours(*arguments), oracle(*arguments), f"label {label}")


@pytest.mark.parametrize("kind", LABELS)
def test_hessian_in_single_precision(kind):
    """No NaN where float32 has long rounded the softmax to 0 and 1."""
    hessian = jax.jit(jax.hessian(categorical))
    for point, logits in POINTS.items():
        single = [np.asarray(x, np.float32) for x in (logits, FN, DENSE)]
        label = LABELS[kind] if kind == "ids" else np.float32(LABELS[kind])
        actual = hessian(single[0], label, *single[1:])
        with enable_x64(True):
            arguments = (np.float64(single[0]), LABELS[kind], FN, DENSE)
            expected = hessian_of_equation_6(0)(*arguments)
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5, err_msg=point)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("fp", ["none", "dense", "pairs", "candidates"])
def test_third_derivatives(fp, x64):
    """Along a line: by differences of the second ones, and by two nestings of the modes."""
    rng = np.random.default_rng(0)
    logits, direction = rng.normal(size=(2, 3, 4)) * 3
    labels = np.array([0, 3, 2])
    costs = {
        "none": 0,
        "dense": rng.random((4, 4)),
        "pairs": rwwce.pair_costs({(k, (k + 1) % 4): 1.0 + k for k in range(4)}, 4),
        "candidates": rwwce.ExampleCosts(2.0, classes=np.array([[1, 2], [0, 0], [3, -1]])),
    }[fp]

    def along(t):
        return rwwce.categorical(logits + t * direction, labels, 1.5, costs)

    second = jax.jit(jax.grad(jax.grad(along)))
    step = 1e-4
    differences = (second(step) - second(-step)) / (2 * step)
    for third in (jax.grad(jax.grad(jax.grad(along))), jax.jacfwd(jax.jacfwd(jax.grad(along)))):
        np.testing.assert_allclose(jax.jit(third)(0.0), differences, rtol=1e-5)
