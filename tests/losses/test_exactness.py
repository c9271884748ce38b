"""Value and gradient against mpmath: accurate as docs/mathematics.md defines it."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import oracle_table
import pytest
from oracle import EPS
from precision import enable_x64

import rwwce_jax as rwwce

pytestmark = pytest.mark.optimized
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def value_and_gradient(logits, label, fn, fp_row):
    fp = jnp.broadcast_to(fp_row, (len(logits), len(logits)))
    return jax.value_and_grad(rwwce.categorical)(logits, label, fn, fp)


def check(table):
    """Compares all rows of a table with the numbers of the oracle.

    Where the costs of two likely classes balance, the terms of the gradient cancel. It is exact to
    a few ulps of these terms, not of what is left of them, which no rounded softmax can promise.
    """
    dtype, rows = table.split("-")[0], oracle_table.draw(table)
    with np.load(oracle_table.PATH) as stored, enable_x64(dtype == "float64"):
        exact = stored[table]
        losses, gradients = map(np.asarray, jax.jit(jax.vmap(value_and_gradient))(*rows))
    assert losses.dtype == gradients.dtype == dtype
    weights, costs = rows.terms()
    everything = weights.sum(-1, dtype=float) + costs.sum(-1, dtype=float)
    value, gradient, ulps = oracle.excess_of_rows(
        rows.logits, losses, gradients, (exact[:, 0], exact[:, 1:]), EPS[dtype], everything
    )
    near_stationary = gradient > 1
    wrong = (value > 1) | (near_stationary & (ulps > 4 * costs.max(-1)))
    assert not wrong.any(), (value[wrong], gradient[wrong], ulps[wrong], np.flatnonzero(wrong))
    assert near_stationary.sum() <= len(value) // 384


@pytest.mark.always
@pytest.mark.parametrize("table", oracle_table.TABLES)
def test_categorical(table):
    check(table)


@pytest.mark.slow
@pytest.mark.parametrize("table", oracle_table.TABLES)
def test_the_stored_numbers_are_those_of_the_oracle(table):
    with np.load(oracle_table.PATH) as stored:
        np.testing.assert_allclose(stored[table], oracle_table.compute(table), rtol=1e-15)


@pytest.mark.always
@pytest.mark.parametrize("rows", [1, 20])
@pytest.mark.parametrize("num_classes", [24, 40])
def test_many_equal_terms_beside_large_ones(num_classes, rows):
    """One after the other, they are all rounded in the same direction."""
    logits = np.float32([-40, 7, 7, 0] + [-3] * (num_classes - 4))
    costs = np.where(np.isin(np.arange(num_classes), [2, 4]), np.float32(3), 0)
    exact = oracle.categorical(logits, np.zeros(num_classes), costs)
    fp = np.broadcast_to(costs, (num_classes, num_classes))

    def losses(z):
        return rwwce.categorical(z, jnp.ones(rows, int), 0.0, fp, reduction="none")

    value, pull_back = jax.jit(lambda z: jax.vjp(losses, z))(jnp.tile(logits, (rows, 1)))
    (gradient,) = pull_back(jnp.ones(rows))
    errors = oracle.excess(logits, value[0], gradient[0], exact, EPS["float32"], 6)
    assert max(errors[:2]) <= 1


@DTYPES
def test_binary(dtype):
    rng = np.random.default_rng(0)
    scales = np.repeat([1e-6, 1.0, 30.0, 1e4], 200)
    logits = (rng.normal(size=scales.size) * scales).astype(dtype)
    labels = rng.integers(0, 2, logits.size)
    fn, fp = 10 ** rng.uniform(-6, 6, (2, logits.size)).astype(dtype)
    with enable_x64(dtype == "float64"):
        losses, slopes = jax.jit(jax.vmap(jax.value_and_grad(rwwce.binary)))(logits, labels, fn, fp)
    exact = [
        oracle.binary(*row) for row in zip(logits, fn * labels, fp * (1 - labels), strict=True)
    ]
    loss, slope = np.array(exact, float).T
    value, gradient, _ = oracle.excess_of_rows(
        np.stack([logits, 0 * logits], -1),
        losses,
        np.stack([slopes, -slopes], -1),
        (loss, np.stack([slope, -slope], -1)),
        EPS[dtype],
        fn + fp,
    )
    assert max(value.max(), gradient.max()) <= 1
