"""Section VII: a coin whose heads win nine stickers and whose tails win one toy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import optimize, special

import rwwce_jax as rwwce

FN, FP = 9, 1
FLIPS = np.array([1, 0])  # one head, one tail


def run():
    jax.config.update("jax_enable_x64", True)  # as jax.enable_x64, which jax 0.7 has not
    try:
        shares = np.linspace(0.01, 0.99, 99).round(2)
        losses = jax.vmap(loss)(special.logit(shares))
        trained = optimize.minimize(jax.value_and_grad(loss), np.zeros(1), jac=True)
        return {
            "probability": special.expit(trained.x).item(),
            "curve": dict(zip(shares.tolist(), losses.tolist(), strict=True)),
            **_repetition(),
        }
    finally:
        jax.config.update("jax_enable_x64", False)


def loss(logit):
    return rwwce.binary(jnp.broadcast_to(logit, FLIPS.shape), FLIPS, FN, FP)


def _repetition():
    """Compares costs of 100 and 5 with samples repeated as often, in a logistic regression."""
    rng = np.random.default_rng(0)
    inputs, labels = rng.normal(size=(20, 3)), rng.integers(2, size=20)
    weights = rng.normal(size=3) / 20
    times = np.where(labels, 100, 5)

    def weighted(weights):
        return rwwce.binary(jnp.dot(inputs, weights), labels, 100, 5, reduction="sum")

    def repeated(weights):
        scores = jnp.dot(np.repeat(inputs, times, axis=0), weights)
        return optax.sigmoid_binary_cross_entropy(scores, np.repeat(labels, times) * 1.0).sum()

    value, gradient = jax.value_and_grad(weighted)(weights)
    other, other_gradient = jax.value_and_grad(repeated)(weights)
    # The likelihoods themselves underflow: their ratio is e to the difference of the losses.
    likelihood = jnp.abs(jnp.expm1(value - other))
    slope = jnp.max(jnp.abs(gradient / other_gradient - 1))
    return {"likelihood": likelihood.item(), "gradient": slope.item()}
