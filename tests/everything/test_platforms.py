"""What is computed otherwise in large arrays has the same value."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import assert_same, categorical, differentiated, unit_of, without_fp
from drawn import K
from precision import enable_x64
from references import class_weighted_cross_entropy, equation_6

from rwwce_jax._numerics import categorical as numerics
from rwwce_jax._numerics import platforms
from rwwce_jax._numerics.categorical import Terms

pytestmark = pytest.mark.optimized


LARGE = 4200


def test_sums_in_different_orders(monkeypatch):
    """As in jaxlib 0.8.2: the cost of a certain label was 1e-33 in place of 0, times infinity."""
    forwards = itertools.cycle([True, False])

    def in_turns(x):
        columns = [x[..., i : i + 1] for i in range(x.shape[-1])]
        return functools.reduce(jnp.add, columns if next(forwards) else columns[::-1])

    rng = np.random.default_rng(0)
    logits = rng.uniform(-4, 4, size=(LARGE, K)).astype(np.float32)
    labels = logits.argmax(-1)
    logits[np.arange(LARGE), labels] += rng.uniform(40, 80, LARGE).astype(np.float32)
    weights = Terms(jnp.ones((LARGE, 1)), jnp.asarray(labels[:, None]))
    costs = rng.random((LARGE, K)).astype(np.float32)
    costs[np.arange(LARGE), labels] = 0
    costs = jnp.asarray(costs)

    def run(logits):
        loss = functools.partial(numerics.categorical_loss, weights=weights, costs=Terms(costs))
        value, pull_back = jax.vjp(loss, logits)
        return value, *pull_back(jnp.ones_like(value))

    expected = jax.jit(run)(logits)
    monkeypatch.setattr(numerics, "row_sum", in_turns)
    actual = jax.jit(lambda logits: run(logits))(logits)  # another function: traced again
    for x, y in zip(actual, expected, strict=True):
        assert np.all(np.isfinite(x))
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-35)


@pytest.mark.parametrize("kind", ["ids", "probabilities"])
@pytest.mark.parametrize(
    ("dtype", "k"),
    [
        ("float32", 4),
        ("float64", 4),
        # Of more than seven classes a condition decides whether rows are rescued from underflow.
        pytest.param("float32", 9, marks=pytest.mark.always),
        ("float64", 9),
    ],
)
def test_large_batches(dtype, k, kind):
    """Large arrays are summed, and rescued from underflow, in another way than small ones."""
    rng = np.random.default_rng(0)
    with enable_x64(dtype == "float64"):
        truth = rng.integers(0, k, LARGE)
        if kind == "probabilities":
            truth = rng.dirichlet(np.ones(k), LARGE).astype(dtype)
        fn, fp = rng.random(k).astype(dtype), rng.random((k, k)).astype(dtype)
        for scale in (1, 1000):  # nothing underflows, or many rows do
            logits = rng.uniform(-4, 4, size=(LARGE, k)).astype(dtype) * scale
            assert not platforms.is_small(logits)
            expected = differentiated(equation_6)(logits, truth, fn, fp)
            actual = differentiated(categorical)(logits, truth, fn, fp)
            assert_same(actual, expected, unit_of(logits, fn, fp), times=4)
            if kind == "ids":
                expected = differentiated(class_weighted_cross_entropy)(logits, truth, fn, fp)[:3]
                actual = differentiated(without_fp)(logits, truth, fn, fp)[:3]
                assert_same(actual, expected, unit_of(logits, fn), times=4)
