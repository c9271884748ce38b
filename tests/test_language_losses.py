"""The language model's losses: what they penalise, and where the clamped formula is another one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from examples import language

pytestmark = [pytest.mark.repository, pytest.mark.usefixtures("standard_promotion")]


@pytest.fixture
def model():
    return language.LanguageModel(np.full(50, 3), 16, nnx.Rngs(0))


def gradients(model, tokens):
    """Of the exact and of the clamped formula."""
    return [
        jax.tree.leaves(nnx.grad(language.loss_of, has_aux=True)(model, tokens, 0.7, arm)[0])
        for arm in language.ARMS[1:]
    ]


def test_previous_tokens_are_each_counted_once():
    tokens = np.random.default_rng(0).integers(0, 5, (3, 12))
    for text, rows in zip(tokens, np.asarray(language.previous_tokens(tokens)), strict=True):
        for place, row in enumerate(rows):
            assert sorted(row[row >= 0]) == sorted(set(text[: place + 1].tolist()))


def test_clamped_formula_is_the_exact_one_where_nothing_is_clamped(model):
    tokens = jax.random.randint(jax.random.key(1), (3, 21), 0, 50).at[1, 12:].set(-1)
    losses = [language.loss_of(model, tokens, 0.7, arm)[0] for arm in language.ARMS]
    np.testing.assert_allclose(losses[1], losses[2], rtol=1e-6)
    assert losses[1] > 1.01 * losses[0]
    for exact, clamped in zip(*gradients(model, tokens), strict=True):
        np.testing.assert_allclose(clamped, exact, rtol=1e-4, atol=1e-7)


def test_clamp_takes_the_gradient_away_where_a_repetition_is_certain(model):
    model.bias[...] = jnp.zeros(50).at[7].set(30.0)  # says 7 whatever comes
    tokens = jnp.asarray([[7, 3, 4, 5, 6]])
    largest = language.loss_of(model, tokens, 0.7, "costs, clamped")[1]
    assert 1 - largest < language.CLAMP
    exact, clamped = (sum(float(jnp.abs(x).sum()) for x in g) for g in gradients(model, tokens))
    assert exact > 1.3 * clamped
