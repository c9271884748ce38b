"""A batch with weights, whole or with its examples repeated, and every loss of it."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce

B, K = 6, 4
ONE = jnp.float32(1)
RNG = np.random.default_rng(0)
WEIGHTS = np.array([1, 0, 3, 2, 0, 1])
ROWS = np.repeat(np.arange(B), WEIGHTS)


def floats(*shape):
    return np.float32(RNG.random(shape) + 0.25)


SCORES = np.float32(RNG.normal(size=(B, K)) * 3)
KERNEL = np.float32(RNG.normal(size=(K, K)))
IDS = RNG.integers(0, K, B)
OTHER_IDS = RNG.integers(0, K, B)
PROBS = np.float32(RNG.dirichlet(np.ones(K), B))
SETS = RNG.integers(0, 2, (B, K))
OTHER_SETS = RNG.integers(0, 2, (B, K))
CANDIDATES = RNG.integers(-1, K, (B, 3))
FN, MATRIX, OWN = floats(K), floats(K, K), floats(B, K)
PAIRS = rwwce.pair_costs({(0, 1): 2.0, (0, 3): 0.5, (2, 1): 3.0}, K)


def whole(x):
    return x


def repeated(x):
    return x[ROWS]


# fn and fp: times a factor, by which they are differentiated, of the examples that `take` takes.
COSTS = {
    "no fp": lambda take, times: (times * FN, 0),
    "scalars": lambda take, times: (times, 2 * times),
    "matrix": lambda take, times: (FN, times * MATRIX),
    "pairs": lambda take, times: (FN, dataclasses.replace(PAIRS, costs=times * PAIRS.costs)),
    "examples": lambda take, times: (
        rwwce.ExampleCosts(take(OWN[:, 0])),
        rwwce.ExampleCosts(times * take(OWN)),
    ),
    "candidates": lambda take, times: (
        times,
        rwwce.ExampleCosts(times * 2, classes=take(CANDIDATES)),
    ),
}


def fused(hidden, *arguments, **counted):
    return rwwce.linear_categorical(hidden, KERNEL, *arguments, chunk_size=2, **counted)


def categorical(loss, labels, kind):
    return lambda z, times, take=whole, **counted: loss(
        take(z), take(labels), *COSTS[kind](take, times), **counted
    )


# Of scores (B, K) and the factor of the costs.
LOSSES = {
    f"{name}, {kind}": categorical(loss, labels, kind)
    for kind in COSTS
    for name, loss, labels in (
        ("categorical", rwwce.categorical, IDS),
        ("soft", rwwce.categorical, PROBS),
        ("fused", fused, IDS),
        ("fused soft", fused, PROBS),
    )
} | {
    "z-loss": categorical(functools.partial(rwwce.categorical, z_loss=0.03), IDS, "scalars"),
    "binary": lambda z, times, take=whole, **counted: rwwce.binary(
        take(z)[:, 0], take(SETS)[:, 0], times * take(OWN)[:, 0], 2 * times, **counted
    ),
    "binary, soft": lambda z, times, take=whole, **counted: rwwce.binary(
        take(z)[:, 0], take(PROBS)[:, 0], times, take(OWN)[:, 0], **counted
    ),
    "multilabel": lambda z, times, take=whole, **counted: rwwce.multilabel(
        take(z), take(SETS), times * FN, 2 * times, **counted
    ),
    "multilabel, pairs": lambda z, times, take=whole, **counted: rwwce.multilabel(
        take(z), take(PROBS), 1.0, FN, fp_pairs=times * MATRIX, **counted
    ),
}

every = pytest.mark.parametrize("name", LOSSES)
# One of each kind, where the kind of the costs does not matter.
SOME = (
    "categorical, matrix",
    "categorical, candidates",
    "soft, matrix",
    "fused, pairs",
    "binary",
    "multilabel, pairs",
)
some = pytest.mark.parametrize("name", SOME)


def close(actual, expected, rtol=2e-6):
    """To rounding errors of the largest number."""
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        largest = np.max(np.abs(y), initial=0)
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol * float(largest))


def as_floats(weights):
    return jnp.asarray(weights, jnp.float32)
