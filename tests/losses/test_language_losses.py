"""The language model's losses: what they penalise, and where the clamped formula is another one."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from examples import language as example
from experiments import language

pytestmark = [
    pytest.mark.repository,
    pytest.mark.experiments,
    pytest.mark.usefixtures("standard_promotion"),
]


@pytest.fixture
def model():
    return language.WatchedModel(np.full(50, 3), 16, nnx.Rngs(0))


@partial(nnx.jit, static_argnames="arm")
def loss_and_gradient(model, tokens, arm):
    return nnx.value_and_grad(language.ARMS[arm])(model, tokens)


def both(model, tokens):
    """The losses, and the gradients by all weights, of the exact and of the clamped formula."""
    found = [loss_and_gradient(model, tokens, arm) for arm in ("costs, exact", "costs, clamped")]
    losses, gradients = zip(*found, strict=True)
    return losses, [jax.tree.leaves(gradient) for gradient in gradients]


def test_previous_tokens_are_each_counted_once():
    tokens = np.random.default_rng(0).integers(0, 5, (3, 12))
    for text, rows in zip(tokens, np.asarray(example.previous_tokens(tokens)), strict=True):
        for place, row in enumerate(rows):
            assert sorted(row[row >= 0]) == sorted(set(text[: place + 1].tolist()))


def test_clamped_formula_is_the_exact_one_where_nothing_is_clamped(model):
    tokens = jax.random.randint(jax.random.key(1), (3, 21), 0, 50).at[1, 12:].set(-1)
    losses, gradients = both(model, tokens)
    np.testing.assert_allclose(*losses, rtol=1e-6)
    assert losses[0] > 1.01 * jnp.log(example.perplexity(model, tokens))
    for exact, clamped in zip(*gradients, strict=True):
        np.testing.assert_allclose(clamped, exact, rtol=1e-4, atol=1e-7)


def test_clamp_takes_the_gradient_away_where_a_repetition_is_certain(model):
    model.bias[...] = jnp.zeros(50).at[7].set(30.0)  # says 7 whatever comes
    tokens = jnp.asarray([[7, 3, 4, 5, 6]])
    _, gradients = both(model, tokens)
    exact, clamped = (sum(float(jnp.abs(x).sum()) for x in arrays) for arrays in gradients)
    assert 1 - model.largest[...] < language.CLAMP
    assert model.clamped_steps[...] == 1
    assert exact > 1.3 * clamped
