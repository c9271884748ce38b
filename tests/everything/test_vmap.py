"""jax.vmap over each argument alone is a loop over it, in values and derivatives.

As for several annotators of one batch: JAX is wrong where a jitted jax.custom_jvp is mapped over an
argument that its value does not depend on, though its tangent does.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from public_functions import FUNCTIONS, LOSSES, batch_of, shared_of

import rwwce_jax as rwwce

COTANGENT = np.float32([1, -2, 3])
SHAPES = {"small": (5, 4), "large": (400, 50)}  # below and above platforms.is_small

POSTERIORS = [call for call in FUNCTIONS if call.function is rwwce.categorical_posterior]
# Without ``arithmetic.depending_on`` the labels of a small batch fail where costs are few.
FEW = [call for call in LOSSES if call.arguments[-1] in (0, "pairs") and "ids" in call.names]
CASES = [
    *((call, name, "small") for call in (*LOSSES, *POSTERIORS) for name in call.names),
    *((call, "ids", "large") for call in LOSSES if "ids" in call.names),
]


@functools.cache
def draws(size):
    """Three batches and their costs."""
    generators = map(np.random.default_rng, range(len(COTANGENT)))
    rows, classes = SHAPES[size]
    return [
        jax.tree.map(jnp.asarray, batch_of(rng, rows, classes) | shared_of(rng, classes))
        for rng in generators
    ]


def cosines(x):
    return jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape)


def total(values):
    """One number of all examples and classes."""
    return jnp.vdot(values, cosines(values))


def derivatives(losses, given):
    """The losses, the gradients of a weighted sum of them, and a derivative forward."""
    floats = {name: x for name, x in given.items() if getattr(x, "dtype", None) == jnp.float32}

    def of_floats(floats):
        return losses(given | floats)

    direction = jax.tree.map(cosines, floats)
    values, pull_back = jax.vjp(of_floats, floats)
    return values, pull_back(COTANGENT), jax.jvp(of_floats, (floats,), (direction,))[1]


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    ("call", "mapped", "size"),
    [
        pytest.param(
            *case,
            id="-".join(map(str, case)),
            marks=pytest.mark.always if case[0] in FEW and case[1:] == ("ids", "small") else (),
        )
        for case in CASES
    ],
)
def test_a_loop(call, mapped, size):
    first, *others = ({name: draw[name] for name in call.names} for draw in draws(size))
    each = [first[mapped], *(other[mapped] for other in others)]
    given = first | {mapped: jax.tree.map(lambda *x: jnp.stack(x), *each)}
    axes = ({name: 0 if name == mapped else None for name in given},)

    def loss(given):
        return total(call(given))

    def loop(given):
        alone = (jax.tree.map(lambda x, i=i: x[i], given[mapped]) for i in range(len(COTANGENT)))
        return jnp.stack([loss(given | {mapped: x}) for x in alone])

    expected = jax.jit(functools.partial(derivatives, loop))(given)
    mapped_losses = functools.partial(derivatives, jax.vmap(loss, axes))
    actual = jax.jit(mapped_losses)(given)
    for x, y in zip(*map(jax.tree.leaves, (actual, expected)), strict=True):
        allowed = 3e-6 * np.max(np.abs(y), initial=0.1)
        np.testing.assert_allclose(x, y, rtol=0, atol=allowed)
