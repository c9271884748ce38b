"""jax.vmap over each argument alone is a loop over it, in values and derivatives.

As for several annotators of one batch: JAX is wrong where a jitted jax.custom_jvp is mapped over an
argument that its value does not depend on, though its tangent does.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce

TIMES = 3  # how many there are of the argument that is mapped
COTANGENT = np.float32([1, -2, 3])
HIDDEN = 4
SHAPES = {"small": (5, 4), "large": (400, 50)}  # below and above platforms.is_small


def pairs_like(costs):
    num_classes = costs.shape[-1]
    pairs = rwwce.pair_costs({(k, k - 1): 1.0 for k in range(1, num_classes)}, num_classes)
    return dataclasses.replace(pairs, costs=costs[1:])


# fp, from the arguments.
FP = {
    "no fp": lambda _: 0,
    "scalar": lambda given: given["fp"][0, 0],
    "matrix": lambda given: given["fp"],
    "pairs": lambda given: pairs_like(given["fp"][0]),
    "examples": lambda given: rwwce.ExampleCosts(given["of_examples"]),
    "candidates": lambda given: rwwce.ExampleCosts(given["of_examples"][:, :3], given["ids"]),
}
# What is mapped beside logits, labels, fn and where.
OWN = {
    "no fp": (),
    "scalar": ("fp",),
    "matrix": ("fp",),
    "pairs": ("fp",),
    "examples": ("of_examples",),
    "candidates": ("of_examples", "ids"),
}


def categorical(kind, given, labels="labels"):
    return rwwce.categorical(
        given["logits"], given[labels], given["fn"], FP[kind](given), where=given["where"]
    )


def soft(kind, given):
    return categorical(kind, given, "soft")


def linear(kind, given, reduction="mean"):
    losses = rwwce.linear_categorical(
        given["hidden"],
        given["kernel"],
        given["labels"],
        given["fn"],
        FP[kind](given),
        bias=given["bias"],
        where=given["where"],
        reduction=reduction,
        chunk_size=2,
    )
    return jnp.vdot(losses, jnp.arange(losses.size, dtype=losses.dtype)) if losses.ndim else losses


def linear_none(kind, given):
    return linear(kind, given, "none")


def binary(_, given):
    return rwwce.binary(
        given["logits"], given["soft"], given["of_examples"], given["fn"][None], where=given["all"]
    )


def multilabel(kind, given):
    return rwwce.multilabel(
        given["logits"], given["sets"], given["fn"], given["fn"][::-1], fp_pairs=FP[kind](given)
    )


def posterior(kind, given):
    probs = rwwce.categorical_posterior(given["logits"], given["fn"], FP[kind](given))
    return jnp.vdot(probs, jnp.cos(jnp.arange(probs.size, dtype=probs.dtype)).reshape(probs.shape))


@functools.cache
def stacks(rows, num_classes):
    """Each argument ``TIMES`` times."""
    rng = np.random.default_rng(0)

    def reals(*shape):
        return np.float32(rng.random((TIMES, *shape)) + 0.1)

    def ids(*shape, lowest=0):
        return np.int32(rng.integers(lowest, num_classes, (TIMES, *shape)))

    return {
        "logits": np.float32(rng.normal(size=(TIMES, rows, num_classes)) * 20),
        "hidden": np.float32(rng.normal(size=(TIMES, rows, HIDDEN)) * 5),
        "kernel": np.float32(rng.normal(size=(TIMES, HIDDEN, num_classes))),
        "bias": np.float32(rng.normal(size=(TIMES, num_classes))),
        "labels": ids(rows),
        "soft": np.float32(rng.dirichlet(np.ones(num_classes), (TIMES, rows))),
        "sets": rng.random((TIMES, rows, num_classes)) < 0.3,
        "fn": reals(num_classes),
        "fp": reals(num_classes, num_classes),
        "of_examples": reals(rows, num_classes),
        "ids": ids(rows, 3, lowest=-1),
        "where": rng.random((TIMES, rows)) < 0.7,
        "all": rng.random((TIMES, rows, num_classes)) < 0.7,
    }


LINEAR = ("hidden", "kernel", "bias", "fn", "where")
CASES = [
    *(
        (categorical, kind, argument, "small")
        for kind, own in OWN.items()
        for argument in ("labels", "logits", "fn", "where", *own)
    ),
    *((soft, kind, "soft", "small") for kind in OWN if kind != "pairs"),
    *((categorical, kind, "labels", "large") for kind in OWN),
    (categorical, "candidates", "ids", "large"),
    *((linear, kind, "labels", "small") for kind in OWN),
    *((linear, "candidates", x, "small") for x in (*LINEAR, *OWN["candidates"])),
    *((linear_none, "candidates", x, "small") for x in ("labels", *LINEAR, *OWN["candidates"])),
    *((binary, "", x, "small") for x in ("logits", "soft", "of_examples", "fn", "all")),
    *((multilabel, kind, x, "small") for kind in ("matrix", "pairs") for x in ("sets", "fp")),
    *(
        (posterior, kind, x, "small")
        for kind in ("matrix", "pairs")
        for x in ("logits", "fn", "fp")
    ),
]


def is_float(array):
    return array.dtype == np.float32


def derivatives(losses, given):
    """The losses, the gradients of a weighted sum of them, and a derivative forward."""
    floats = {name: x for name, x in given.items() if is_float(x)}

    def of_floats(floats):
        return losses(given | floats)

    direction = jax.tree.map(lambda x: jnp.cos(jnp.arange(x.size, dtype=x.dtype)), floats)
    direction = jax.tree.map(lambda d, x: d.reshape(x.shape), direction, floats)
    values, pull_back = jax.vjp(of_floats, floats)
    return values, pull_back(COTANGENT), jax.jvp(of_floats, (floats,), (direction,))[1]


def marked(function, kind, mapped, size):
    """Without ``arithmetic.depending_on`` the labels of a small batch fail where costs are few."""
    alone = function is categorical and mapped == "labels" and size == "small"
    always = (pytest.mark.always,) if alone and kind in ("no fp", "pairs") else ()
    name = "-".join(filter(None, (function.__name__, kind, mapped, size)))
    return pytest.param(function, kind, mapped, size, id=name, marks=always)


@pytest.mark.sampled(5)
@pytest.mark.parametrize(("function", "kind", "mapped", "size"), [marked(*case) for case in CASES])
def test_a_loop(function, kind, mapped, size):
    every = stacks(*SHAPES[size])
    given = {name: jnp.asarray(x if name == mapped else x[0]) for name, x in every.items()}
    axes = ({name: 0 if name == mapped else None for name in given},)
    loss = functools.partial(function, kind)
    mapped_losses = functools.partial(derivatives, jax.vmap(loss, axes))

    def loop(given):
        return jnp.stack([loss(given | {mapped: x}) for x in given[mapped]])

    expected = jax.jit(functools.partial(derivatives, loop))(given)
    # Eagerly, a scan is compiled for each derivative.
    ways = [jax.jit(mapped_losses)] + [mapped_losses] * (function not in (linear, linear_none))
    for way in ways:
        for x, y in zip(*map(jax.tree.leaves, (way(given), expected)), strict=True):
            allowed = 3e-6 * np.max(np.abs(y), initial=0.1)
            np.testing.assert_allclose(x, y, rtol=0, atol=allowed)
