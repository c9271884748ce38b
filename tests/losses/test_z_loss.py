"""The z-loss and the soft cap of large models: the plain formulas, at no further product."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from programs import collectives, count_products

import rwwce_jax as rwwce

N, H, K = 24, 5, 6
RNG = np.random.default_rng(0)
ARRAYS = HIDDEN, KERNEL, BIAS = [RNG.normal(size=s) * 3 for s in ((N, H), (H, K), (K,))]
IDS, SOFT = RNG.integers(0, K, N), RNG.dirichlet(np.ones(K), N)
WHERE, WEIGHTS, Z, CAP = RNG.random(N) < 0.7, RNG.random(N), 0.03, 2.5
COSTS = {
    "nothing": (1.5, 0.0),
    "matrix": (RNG.random(K), RNG.random((K, K))),
    "pairs": (1.5, rwwce.pair_costs({(0, 1): 3.0, (4, 2): 7.0}, K)),
    "candidates": (1.5, rwwce.ExampleCosts(2.0, RNG.integers(-1, K, (N, 2)))),
}
options = functools.partial(dict, where=WHERE, weights=WEIGHTS)
fused = functools.partial(rwwce.linear_categorical, chunk_size=7)


def plain(hidden, kernel, labels, fn, fp, *, bias, z_loss, soft_cap, **given):
    """The loss of stored logits, and the formulas as large models write them."""
    logits = hidden @ kernel + bias[None]
    if soft_cap is not None:
        logits = soft_cap * jnp.tanh(logits / soft_cap)
    square = z_loss * jax.nn.logsumexp(logits, axis=-1) ** 2
    where, weights = given.get("where"), given.get("weights")
    weighted = square if weights is None else weights * square
    weighted = weighted if where is None else jnp.where(where, weighted, 0)
    if given["reduction"] == "mean":
        number = jnp.sum(jnp.ones(N) if weights is None else weights, where=where)
        weighted = weighted.sum() / number
    return rwwce.categorical(logits, labels, fn, fp, **given) + weighted


@pytest.mark.parametrize(
    ("costs", "given", "soft_cap"),
    [
        ("nothing", {"reduction": "mean"}, None),
        ("pairs", {"reduction": "mean"}, None),
        ("matrix", options(reduction="mean"), CAP),
        ("pairs", options(reduction="none"), CAP),
        ("candidates", options(reduction="none"), CAP),
    ],
)
def test_equals_the_formula(costs, given, soft_cap, x64):
    """Value, gradients by all numbers, and the gradient's derivative along a direction."""
    labels = SOFT if costs == "matrix" else IDS
    numbers = (*ARRAYS, *([Z] if soft_cap is None else [Z, soft_cap]))

    def of(loss):
        def run(hidden, kernel, bias, z_loss, soft_cap=None):
            extra = {"bias": bias, "z_loss": z_loss, "soft_cap": soft_cap, **given}
            return jnp.sum(jnp.cos(loss(hidden, kernel, labels, *COSTS[costs], **extra)))

        gradient = jax.grad(run, range(len(numbers)))
        directions = tuple(map(np.ones_like, numbers))
        return jax.jit(lambda *a: (run(*a), gradient(*a), jax.jvp(gradient, a, directions)[1]))

    actual, expected = of(fused)(*numbers), of(plain)(*numbers)
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-10 * np.max(np.abs(y)))


@pytest.mark.parametrize("labels", [IDS, SOFT], ids=["ids", "probabilities"])
def test_of_logits(labels, x64):
    logits = np.moveaxis(HIDDEN @ KERNEL * 20, -1, 0)  # many rows with p = 1

    truth = labels if labels.ndim == 1 else labels.T

    def expected(logits):
        squares = jax.nn.logsumexp(logits, axis=0) ** 2
        return rwwce.categorical(logits, truth, 1.0, 2.0, axis=0) + Z * squares.mean()

    actual = functools.partial(rwwce.categorical, labels=truth, fn=1.0, fp=2.0, axis=0, z_loss=Z)
    for x, y in zip(*(jax.value_and_grad(f)(logits) for f in (actual, expected)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-14)


def test_hostile_logits():
    """Masked rows change nothing, weights of 0 neither; NaN stays in its row; 1e30 is finite."""
    logits = np.float32(HIDDEN @ KERNEL)
    spoilt = np.where(WHERE[:, None], logits, np.nan)
    run = jax.value_and_grad(rwwce.categorical)
    masked = run(spoilt, IDS, 1.0, 2.0, where=WHERE, z_loss=Z)
    expected = run(logits, IDS, 1.0, 2.0, weights=WHERE * 1.0, z_loss=Z)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-12), masked, expected
    )
    bad = np.where(np.arange(N) == 3, np.nan, np.arange(N) == 4).astype(np.float32)[:, None] * 1e15
    losses = rwwce.categorical(logits + bad, IDS, 1.0, 2.0, z_loss=Z, reduction="none")
    np.testing.assert_array_equal(np.isfinite(losses), np.arange(N) != 3)


def test_nothing_to_add_compiles_to_the_same_program():
    for loss, shapes in ((rwwce.categorical, [(N, K)]), (fused, [(N, H), (H, K)])):
        arrays = [jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes]

        def text(loss=loss, arrays=arrays, **extra):
            run = jax.value_and_grad(lambda *a: loss(*a, IDS, 1.0, 2.0, **extra))
            return jax.jit(run).lower(*arrays).as_text()

        assert text(z_loss=0) == text() != text(z_loss=Z)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_no_further_product(reduction):
    classes = 4096
    arrays = np.float32(HIDDEN), np.zeros((H, classes), np.float32)

    def products(**extra):
        def loss(*a):
            return jnp.sum(fused(*a, IDS, 1.0, 2.0, reduction=reduction, **extra))

        return count_products(jax.make_jaxpr(jax.value_and_grad(loss, (0, 1)))(*arrays), classes)

    assert products(z_loss=Z, soft_cap=CAP) == products()


def test_on_a_mesh():
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Explicit,) * 2)
    specs = (P("data"), P(None, "model"), P("model"))
    by = (0, 1, 2)

    def run(hidden, kernel, bias):
        return fused(hidden, kernel, IDS, 1.5, 2.0, bias=bias, z_loss=Z, soft_cap=CAP)

    arrays = [np.float32(x) for x in ARRAYS]
    shardings = [NamedSharding(mesh, spec) for spec in specs]
    sharded = jax.device_put(arrays, shardings)
    program = jax.jit(jax.value_and_grad(run, by)).lower(*sharded).compile()
    expected = jax.jit(jax.value_and_grad(run, by))(*arrays)
    for x, y in zip(*map(jax.tree.leaves, (program(*sharded), expected)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)
    assert max(collectives(program.as_text())) <= N * H


@pytest.mark.parametrize("extra", [{"z_loss": [1.0, 2.0]}, {"soft_cap": 0.0}])
def test_refusals(extra):
    (name,) = extra
    with pytest.raises(ValueError, match=rf"^{name} must [^\n]+\.$"):
        fused(HIDDEN, KERNEL, IDS, 1.0, 2.0, **extra)
