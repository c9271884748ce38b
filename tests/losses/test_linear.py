"""linear_categorical equals categorical(hidden @ kernel + bias), value and derivatives."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from programs import count_products

import rwwce_jax as rwwce

N, H, K = 43, 7, 12  # no multiple of the chunks
RNG = np.random.default_rng(0)
HIDDEN, KERNEL = RNG.normal(size=(N, H)) * 2, RNG.normal(size=(H, K))
BIAS, FN = RNG.normal(size=K), RNG.random(K) + 0.5
IDS, SOFT = RNG.integers(0, K, N), RNG.dirichlet(np.ones(K), N)
WHERE, WEIGHTS, COTANGENT = RNG.random(N) < 0.7, RNG.random(N), RNG.normal(size=N)
CANDIDATES = RNG.integers(-1, K, (N, 3))
PAIRS = rwwce.pair_costs({(k, (k + j) % K): 1.0 + j for k in range(K) for j in (1, 3)}, K)

# fp, made of what it is differentiated by.
COSTS = {
    "no fp": (lambda _: 0, 0.0),
    "scalar": (lambda x: x, 2.0),
    "matrix": (lambda x: x, RNG.random((K, K))),
    "pairs": (lambda x: dataclasses.replace(PAIRS, costs=x), np.asarray(PAIRS.costs, float)),
    "examples": (rwwce.ExampleCosts, RNG.random((N, K))),
    "candidates": (lambda x: rwwce.ExampleCosts(x, classes=CANDIDATES), RNG.random((N, 3))),
}
SECOND_ORDER = ("matrix", "candidates")  # a row of costs, and few: the slowest to compile


def unfused(
    hidden, kernel, labels, fn, fp, *, bias=None, soft_cap=None, chunk_size=None, **options
):
    logits = hidden @ kernel
    logits = logits if bias is None else logits + bias
    if soft_cap is not None:
        logits = soft_cap * jnp.tanh(logits / soft_cap)
    return rwwce.categorical(logits, labels, fn, fp, **options)


def scalar(loss):
    """One number of a loss, so that every loss has a cotangent of its own, and none is 1."""
    return loss * 1.7 if loss.ndim == 0 else jnp.vdot(loss, COTANGENT.astype(loss.dtype))


def derivatives(function, kind, labels, numbers, **options):
    """The value, the gradients by everything, a derivative forward; for some, of second order."""
    make, costs = COSTS[kind]
    labels = IDS if labels == "ids" else SOFT
    arrays = [np.asarray(x) for x in (HIDDEN, KERNEL, BIAS, FN, costs, *numbers.values())]
    directions = [np.resize(np.cos(7 * np.arange(97)), x.shape) for x in arrays]
    by = range(len(arrays))

    def loss(hidden, kernel, bias, fn, costs, *more):
        extra = {"bias": bias, "chunk_size": 8, **dict(zip(numbers, more, strict=True)), **options}
        return scalar(function(hidden, kernel, labels, fn, make(costs), **extra))

    gradient = jax.grad(loss, by)
    return jax.jit(
        lambda *arrays: (
            jax.value_and_grad(loss, by)(*arrays),
            jax.jvp(loss, arrays, tuple(directions)),
            jax.jvp(gradient, arrays, tuple(directions))[1] if kind in SECOND_ORDER else (),
        )
    )(*arrays)


def assert_close(actual, expected, rtol):
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        scale = np.max(np.abs(y), initial=1e-3)
        np.testing.assert_allclose(x / scale, y / scale, rtol=0, atol=rtol)


CAP = {"z_loss": 0.03, "soft_cap": 2.5}
WEIGHED = {"where": WHERE, "weights": WEIGHTS}


CASES = [
    ("no fp", "ids", {}, {}),
    ("no fp", "soft", {"z_loss": 0.03}, {}),
    ("scalar", "ids", CAP, {"weights": WEIGHTS}),
    ("matrix", "ids", {}, {"where": WHERE}),
    ("pairs", "ids", CAP, WEIGHED),
    ("examples", "ids", {}, {"where": WHERE}),
    ("candidates", "ids", {}, {}),
]
OF_SECOND_ORDER = [
    ("matrix", "soft", CAP, WEIGHED, "mean"),
    ("candidates", "ids", CAP, WEIGHED, "none"),
]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("kind", "labels", "numbers", "counted", "reduction"),
    [
        *((*case, reduction) for case in CASES for reduction in ("mean", "none")),
        *(pytest.param(*case, marks=pytest.mark.always) for case in OF_SECOND_ORDER),
    ],
)
def test_equals_the_loss_of_stored_logits(
    kind, labels, numbers, counted, reduction, x64, standard_promotion
):
    """Differentiated by the numbers, too. See test_z_loss for those of stored logits."""
    options = {"reduction": reduction, **counted}
    actual = derivatives(rwwce.linear_categorical, kind, labels, numbers, **options)
    assert_close(actual, derivatives(unfused, kind, labels, numbers, **options), 1e-12)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize(
    ("shape", "chunk_size"), [((), None), ((1,), 1), ((3, 0), 5), ((N,), 5), ((2, 3, 5), 4)]
)
def test_shapes_and_chunks(shape, chunk_size, reduction):
    rng = np.random.default_rng(1)
    hidden, labels = np.float32(rng.normal(size=(*shape, H))), rng.integers(0, K, shape)
    kernel, where = np.float32(KERNEL), rng.random(shape) < 0.6
    costs = rwwce.ExampleCosts(
        np.float32(rng.random((*shape, 2))), rng.integers(-1, K, (*shape, 2))
    )
    fn = rwwce.ExampleCosts(np.float32(rng.random(shape)))

    def run(function, where, **options):
        def loss(hidden, kernel):
            given = {"where": where, "reduction": reduction, **options}
            losses = function(hidden, kernel, labels, fn, costs, **given)
            assert losses.shape == (shape if reduction == "none" else ())
            assert losses.dtype == np.float32
            return jnp.sum(losses)

        return jax.jit(jax.value_and_grad(loss, (0, 1)))(hidden, kernel)

    for mask in (where, None):  # without a mask, nothing else hides the padding
        actual = run(rwwce.linear_categorical, mask, chunk_size=chunk_size)
        assert_close(actual, run(unfused, mask), 2e-6)


def test_matrix_products():
    """One for a value, three with both gradients, none for a gradient that is not asked for."""
    classes = 4096
    pairs = rwwce.pair_costs({(k, k + 1): 2.0 for k in range(0, 4000, 7)}, classes)
    arrays = np.float32(HIDDEN), np.zeros((H, classes), np.float32), np.ones(N, np.float32)

    def products(function):
        return count_products(jax.make_jaxpr(function)(*arrays), classes)

    def loss(hidden, kernel, weights, reduction="mean"):
        options = {"weights": weights, "reduction": reduction, "chunk_size": 8, **CAP}
        return jnp.sum(rwwce.linear_categorical(hidden, kernel, IDS, 1.0, pairs, **options))

    assert products(loss) == 1
    assert products(jax.value_and_grad(loss, (0, 1))) == 3
    assert products(jax.value_and_grad(loss, (0, 1, 2))) == 3
    assert products(jax.grad(loss, 0)) == 2
    assert products(jax.grad(loss, 1)) == 2
    # With one loss for each row, the logits are computed again.
    each = functools.partial(loss, reduction="none")
    assert products(jax.value_and_grad(each, (0, 1))) == 4


def test_a_bias_of_minus_infinity_pads_the_classes():
    """As docs/devices.md says, where the number of classes is no multiple of the devices."""

    def loss(hidden, kernel, bias, padding, more):
        kernel = jnp.pad(kernel, [(0, 0), (0, more)], constant_values=padding)
        bias = jnp.pad(bias, (0, more), constant_values=-jnp.inf)
        fp = rwwce.pair_costs({(0, 1): 3.0, (2, 5): 1.0}, K + more)
        return rwwce.linear_categorical(hidden, kernel, IDS, 1.0, fp, bias=bias, chunk_size=8)

    arrays = *map(np.float32, (HIDDEN, KERNEL, BIAS)), jnp.float32(1)
    run = jax.value_and_grad(loss, (0, 1, 2, 3))
    assert_close(run(*arrays, 4), run(*arrays, 0), 1e-6)
