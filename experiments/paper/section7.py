"""Section VII: a coin whose heads win nine stickers and whose tails win one toy."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import rwwce_jax as rwwce

FN, FP = 9, 1
FLIPS = np.array([1, 0])  # one head, one tail
OPTIMIZER = optax.adam(0.05)
STEPS = 1000


class Section7(NamedTuple):
    """What the section claims, measured."""

    probability: float  # that the one-parameter model is trained to; the paper proves 0.9
    curve: list[tuple[float, float]]  # p and the loss J(p): Figure 1
    likelihood: float  # largest relative difference between integer costs and repeated samples
    gradient: float  # likewise


def run():
    """Trains the model of one parameter, and compares integer costs with repeated samples."""
    probabilities = np.linspace(0.01, 0.99, 99)
    losses = jax.vmap(loss)(jnp.log(probabilities / (1 - probabilities)))
    curve = list(zip(probabilities.round(2).tolist(), losses.tolist(), strict=True))
    trained = float(jax.nn.sigmoid(_trained()))
    jax.config.update("jax_enable_x64", True)  # as jax.enable_x64, which jax 0.7 has not
    try:
        return Section7(trained, curve, *_repetition())
    finally:
        jax.config.update("jax_enable_x64", False)


def loss(logit):
    """Equation 5 of the model that gives every flip the same logit, on one head and one tail."""
    return rwwce.binary(jnp.broadcast_to(logit, FLIPS.shape), FLIPS, FN, FP)


@jax.jit
def _trained():
    def step(_, state):
        updates, optimizer = OPTIMIZER.update(jax.grad(loss)(state[0]), state[1])
        return optax.apply_updates(state[0], updates), optimizer

    logit = jnp.zeros(())
    return jax.lax.fori_loop(0, STEPS, step, (logit, OPTIMIZER.init(logit)))[0]


def _repetition():
    """Compares costs of 100 and 5, the section's first example, with samples repeated as often.

    The model is a logistic regression, so that every parameter's gradient is compared.

    Returns:
        The largest relative differences of likelihoods and of gradients.
    """
    rng = np.random.default_rng(0)
    inputs, labels = rng.normal(size=(20, 3)), rng.integers(2, size=20)
    weights = rng.normal(size=3) / 20
    times = np.where(labels, 100, 5)

    def weighted(weights):
        return rwwce.binary(jnp.dot(inputs, weights), labels, 100, 5, reduction="sum")

    def repeated(weights):
        scores = jnp.dot(np.repeat(inputs, times, axis=0), weights)
        losses = optax.sigmoid_binary_cross_entropy(scores, np.repeat(labels, times) * 1.0)
        return jnp.sum(losses)

    pairs = [jax.value_and_grad(f)(jnp.asarray(weights)) for f in (weighted, repeated)]
    (value, gradient), (other, other_gradient) = pairs
    # The likelihoods themselves underflow: their ratio is e to the difference of the losses.
    likelihood = abs(jnp.expm1(value - other))
    slopes = jnp.max(jnp.abs(gradient / other_gradient - 1))
    return likelihood.item(), slopes.item()
