"""What bad input gets where there are several labels, what extreme costs get, and which dtype."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_label_sets import PAIRS

from rwwce_jax import multilabel, multilabel_decide, multilabel_real_world_cost

pytestmark = pytest.mark.optimized

INF, NAN = np.inf, np.nan

# Logits, labels; the loss and the gradient with fn = 1, fp = 3 and PAIRS.
HOSTILE = {
    "harmless": ([0.0, 0, 0], [0, 0, 0], 9 * np.log(2), [1.5, 1.5, 1.5]),
    "infinite and right": ([INF, -INF, INF], [1, 0, 1], 0, [0, 0, 0]),
    "infinite and wrong": ([0, INF, -INF], [1, 0, 0], INF, [-0.5, 5, 0]),
    "missed for certain": ([0, 0, -INF], [0, 0, 1], INF, [4, 1.5, -1]),
    "a gap of 1e4": ([1e4, -1e4, 0], [0, 1, 0], 4e4 + 3 * np.log(2), [3, -1, 1.5]),
    "NaN": ([NAN, 0, 0], [1, 0, 0], NAN, [NAN, 2.5, 1.5]),
    "label 2": ([0, 0, 0], [2, 0, 0], NAN, [NAN, NAN, NAN]),
    "label -1": ([0, 0, 0], [-1, 0, 0], NAN, [NAN, NAN, NAN]),
}


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_hostile_input(transform):
    logits, labels, values, gradients = map(np.float32, zip(*HOSTILE.values(), strict=True))

    def losses(z):
        return multilabel(z, labels, 1.0, 3.0, fp_pairs=PAIRS, reduction="none")

    def forward(z):
        along = jax.vmap(
            lambda x: jax.jvp(losses, (z,), (jnp.tile(x, (len(z), 1)),))[1], out_axes=-1
        )
        return along(jnp.eye(3))

    np.testing.assert_allclose(transform(losses)(logits), values, rtol=1e-6)
    backward = transform(jax.grad(lambda z: jnp.sum(losses(z))))(logits)
    np.testing.assert_allclose(backward, gradients, rtol=1e-6)
    # Forward mode adds up the slopes times the tangents: 0 times NaN is NaN.
    gradients[np.isnan(values)] = NAN
    np.testing.assert_allclose(transform(forward)(logits), gradients, rtol=1e-6)


def test_zero_costs_contribute_nothing():
    z = jnp.array([[INF, -INF, 0.0]])
    value, gradient = jax.value_and_grad(multilabel)(z, [[0, 1, 0]], [1, 0, 1], [0, 1, 0])
    assert value == 0
    np.testing.assert_array_equal(gradient, [[0, 0, 0]])


def test_costs_of_1e30_and_integers():
    z, huge = jnp.ones((4, 3)), np.full((3, 3), 1e30)
    value, gradient = jax.value_and_grad(multilabel)(z, z, 1e30, 1e30, fp_pairs=huge)
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))
    pairs = np.array([[0, 2, 3], [4, 0, 5], [6, 7, 0]])
    as_floats = multilabel(z, z, 2.0, 3.0, fp_pairs=np.float32(pairs))
    assert multilabel(z, z, 2, 3, fp_pairs=pairs) == as_floats


def test_dtypes_of_decisions_and_their_cost(x64):
    """The cost has that of the costs, not of the decisions or the labels."""
    z = jnp.zeros((2, 3))
    assert multilabel_decide(z, 1.0, 1.0, fp_pairs=PAIRS).dtype == jnp.int32
    assert multilabel_real_world_cost(z > 0, z, 1.0, 1.0).dtype == jnp.float32
    for name in ("fn", "fp", "fp_pairs"):
        costs = {"fn": 1.0, "fp": 1.0, name: jnp.ones((3, 3) if name == "fp_pairs" else 3)}
        assert multilabel_real_world_cost(z > 0, z, **costs).dtype == jnp.float64
