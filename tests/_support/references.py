"""What the losses are compared with: Optax's, and the sums of equation 6 written out."""

import jax
import jax.numpy as jnp
import numpy as np
import optax


def log_odds(logits):
    """log(p / (1 - p)) of the softmax: each class as a sigmoid of its own."""
    classes = range(logits.shape[-1])
    others = np.array([[j for j in classes if j != k] for k in classes], np.int32)
    return logits - jax.nn.logsumexp(logits[..., others], axis=-1)


def sigmoid_losses(logits, weights, costs):
    """Optax's binary cross-entropy, with weights for the positives and costs for the negatives."""
    positive = optax.sigmoid_binary_cross_entropy(logits, jnp.ones_like(logits))
    negative = optax.sigmoid_binary_cross_entropy(logits, jnp.zeros_like(logits))
    return weights * positive + costs * negative


def as_probabilities(labels, logits):
    if jnp.issubdtype(labels.dtype, jnp.integer):
        return jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    return labels


def equation_6(logits, labels, fn, fp):
    """Its sums written out, with Optax's binary cross-entropy of the log-odds for -log(1 - p)."""
    labels = as_probabilities(labels, logits)
    size = logits.shape[-1]
    fp = jnp.broadcast_to(fp, (size, size))
    off_diagonal = jnp.where(np.eye(size, dtype=bool), 0, fp)
    weights = labels * jnp.broadcast_to(fn, labels.shape)
    costs = jnp.matmul(labels, off_diagonal, precision="highest")
    return jnp.sum(sigmoid_losses(log_odds(logits), weights, costs), axis=-1)


def class_weighted_cross_entropy(logits, labels, fn, _):
    labels = as_probabilities(labels, logits)
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
