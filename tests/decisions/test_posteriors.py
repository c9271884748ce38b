"""What a model trained with costs predicts, and the probabilities it was trained on."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cost_matrices import FP, random_costs
from precision import enable_x64
from scipy.special import softmax

import rwwce_jax as rwwce

pytestmark = pytest.mark.optimized

INF, NAN = math.inf, math.nan
TINY = float(np.finfo(np.float32).tiny)


@pytest.mark.usefixtures("x64")
def test_binary_posterior_inverts_the_minimum_of_the_loss():
    rng = np.random.default_rng(4)
    p, fn, fp = rng.random(200), rng.exponential(9, 200), rng.exponential(1, 200)
    z = np.log(p / (1 - p)) + np.log(fn / fp)
    slope = jax.grad(lambda z: rwwce.binary(z, p, fn, fp))(z)
    np.testing.assert_allclose(slope, 0, atol=1e-15)
    np.testing.assert_allclose(rwwce.binary_posterior(z, fn, fp), p, rtol=1e-13)


def test_binary_posterior_table():
    table = [
        # logit, fn, fp, expected
        (0.0, 1.0, 1.0, 0.5),
        (-50.0, 1e-20, 1e20, 1.0),
        (0.0, 3e38, 3e38, 0.5),
        (-INF, 5.0, 1.0, 0.0),
        (INF, 5.0, 1.0, 1.0),
        (-30.0, 0.0, 1.0, 1.0),
        (30.0, 1.0, 0.0, TINY),
        (INF, 1.0, 0.0, TINY),
        (0.0, 0.0, 0.0, 0.5),
        (NAN, 1.0, 1.0, NAN),
        (0.0, NAN, 1.0, NAN),
        (0.0, -1.0, 1.0, NAN),
    ]
    *arguments, expected = np.float32(table).T
    np.testing.assert_allclose(rwwce.binary_posterior(*arguments), expected, rtol=1e-6)


# --- categorical_posterior ------------------------------------------------------------------------


# In float64 what the rounding of logits 240 apart changes: numerics are backward stable, no more.
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 3e-6), (np.float64, 2.7e-14)])
def test_categorical_posterior_makes_the_mean_gradient_of_the_labels_zero(dtype, tolerance):
    """Relative to its terms, also where q leaves 1e-80 to all classes but one."""
    rng = np.random.default_rng(8)
    with enable_x64(dtype == np.float64):
        z = (rng.normal(size=(300, 4)) * rng.choice([1, 10, 30, 60], (300, 1))).astype(dtype)
        fn, fp = (x.astype(dtype) for x in random_costs(rng, 4))
        p = np.asarray(rwwce.categorical_posterior(z, fn, fp))
        by_label = jax.vmap(jax.grad(rwwce.categorical), (None, 0, None, None))
        gradients = jax.jit(jax.vmap(lambda row: by_label(row, jnp.arange(4), fn, fp)))(z)
    terms = p[:, :, None].astype(np.float64) * np.asarray(gradients, np.float64)
    # Only where no entry was clipped, and nothing was too small for the dtype.
    solved = np.all(p > 0, axis=1) & (np.abs(terms).max(1).min(1) > 1e3 * np.finfo(dtype).tiny)
    assert solved.sum() > 50
    assert np.median(np.ptp(z[solved], axis=1)) > 10
    terms = terms[solved]
    assert np.max(np.abs(terms.sum(1)) / np.abs(terms).sum(1)) < tolerance


def test_categorical_posterior_of_what_no_model_should_predict_is_a_distribution():
    """And with all costs in fp, the argmax is the optimal decision where one could be trained."""
    rng = np.random.default_rng(9)
    z = np.float32(rng.normal(size=(1000, 5)) * rng.choice([1, 10, 1e3], (1000, 1)))
    fn, fp = random_costs(rng, 5)
    for costs in ((fn, fp), (np.zeros(5), fp / 20 + 1)):
        probs = np.asarray(rwwce.categorical_posterior(z, *costs))
        assert np.all(probs >= 0)
        np.testing.assert_allclose(probs.sum(-1), 1, rtol=1e-6)
        solved = np.all(probs > 0, axis=-1)
        assert 50 < solved.sum() < 950
    decided = np.asarray(rwwce.decide(probs, *costs))[solved]
    np.testing.assert_array_equal(decided, z[solved].argmax(-1))
    assert np.any(decided != probs[solved].argmax(-1))


SOFTMAX = softmax([0.0, 1.0, 2.0])
DIVIDED = SOFTMAX / [1.0, 5.0, 0.3]


@pytest.mark.always
@pytest.mark.parametrize(
    ("logits", "fn", "fp", "expected"),
    [
        # With all costs in fp and alike, p is q.
        ([0.0, 1.0, 2.0], 0.0, 5.0, SOFTMAX),
        # Without surcharges, p is q divided by the weights.
        ([0.0, 1.0, 2.0], [1.0, 5.0, 0.3], 0.0, DIVIDED / DIVIDED.sum()),
        # No cost at all, or two classes without: p is not determined.
        ([0.0, 1.0, 2.0], 0.0, 0.0, SOFTMAX),
        ([0.0, 1.0, 2.0], [0.0, 0.0, 1.0], 0.0, SOFTMAX),
        # A class that costs nothing keeps its q above 0 only if it is certain.
        ([0.0, 1.0, 2.0], [0.0, 1.0, 1.0], 0.0, [1, 0, 0]),
        ([0.0, 300.0, 0.0], 1.0, FP, [0, 1, 0]),
        ([3e38, -3e38, 0.0], 1.0, FP, [1, 0, 0]),
        ([0.0, 0.0, -INF], 1.0, 0.0, [0.5, 0.5, 0]),
        # fn is 0 and class 2 ruled out: the other two must not suffer.
        ([0.0, 0.0, -INF], 0.0, [[0, 3, 50], [1, 0, 50], [9, 9, 0]], [0.25, 0.75, 0]),
        ([0.0, 0.0, 0.0], 1e30, 1e30, [1 / 3] * 3),
        ([NAN, 0.0, 0.0], 1.0, FP, [NAN] * 3),
        ([INF, 0.0, 0.0], 1.0, FP, [NAN] * 3),
        ([0.0, 0.0, 0.0], NAN, FP, [NAN] * 3),
        ([0.0, 0.0, 0.0], 1.0, INF, [NAN] * 3),
    ],
)
def test_categorical_posterior_table(logits, fn, fp, expected):
    fn = np.broadcast_to(fn, 3)  # so that all rows of a kind of fp are one program
    probs = rwwce.categorical_posterior(jnp.array(logits), fn, np.array(fp))
    np.testing.assert_allclose(probs, expected, rtol=1e-6, atol=1e-7)


# --- The argmax of a model trained with costs -----------------------------------------------------
