"""What the losses are compared with: Optax's, and the sums of equation 6 written out."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from drawn import K

OTHERS = np.array([[j for j in range(K) if j != k] for k in range(K)], np.int32)
OFF_DIAGONAL = ~np.eye(K, dtype=bool)


def log_odds(logits):
    """log(p / (1 - p)) of the softmax: each class as a sigmoid of its own."""
    return logits - jax.nn.logsumexp(logits[..., OTHERS], axis=-1)


def sigmoid_losses(logits, weights, costs):
    """Optax's binary cross-entropy, with weights for the positives and costs for the negatives."""
    positive = optax.sigmoid_binary_cross_entropy(logits, jnp.ones_like(logits))
    negative = optax.sigmoid_binary_cross_entropy(logits, jnp.zeros_like(logits))
    return weights * positive + costs * negative


def as_probabilities(labels, dtype):
    if jnp.issubdtype(labels.dtype, jnp.integer):
        return jax.nn.one_hot(labels, K, dtype=dtype)
    return labels


def equation_6(logits, labels, fn, fp):
    """Its sums written out, with Optax's binary cross-entropy of the log-odds for -log(1 - p)."""
    labels = as_probabilities(labels, logits.dtype)
    off_diagonal = jnp.where(OFF_DIAGONAL, jnp.broadcast_to(fp, (K, K)), 0)
    weights = labels * jnp.broadcast_to(fn, labels.shape)
    costs = jnp.matmul(labels, off_diagonal, precision="highest")
    return jnp.sum(sigmoid_losses(log_odds(logits), weights, costs), axis=-1)


def class_weighted_cross_entropy(logits, labels, fn, _):
    labels = as_probabilities(labels, logits.dtype)
    return optax.softmax_cross_entropy(logits, labels * jnp.broadcast_to(fn, labels.shape))


def binary_cross_entropy_of_the_difference(logits, labels, fn, fp):
    """Two classes: a miss of class 1 costs fn[1] and its false alarm fp[1, 0], and vice versa."""
    labels = labels.astype(logits.dtype)
    positive, negative = (fn[1] + fp[1, 0]) * labels, (fn[0] + fp[0, 1]) * (1 - labels)
    return sigmoid_losses(logits[..., 1] - logits[..., 0], positive, negative)


def weighted_binary_cross_entropy(logits, labels, fn, fp):
    weights = jnp.where(labels == 1, fn, fp)
    return weights * optax.sigmoid_binary_cross_entropy(logits, labels.astype(logits.dtype))


def soft_binary_cross_entropy(logits, labels, fn, fp):
    return sigmoid_losses(logits, fn * labels, fp * (1 - labels))
