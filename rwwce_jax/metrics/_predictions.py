"""Shared by the metrics of the adapters: decisions from logits."""

import jax
import jax.numpy as jnp

from rwwce_jax._checks import arguments


def above(logits: object, threshold: float) -> jax.Array:
    """1 for logits above the threshold, 0 for the others, and -1 for NaN."""
    scores = arguments.floats("logits", logits)
    return jnp.where(jnp.isnan(scores), -1, (scores > threshold).astype(jnp.int32))


def largest(logits: object, examples: tuple[int, ...], num_classes: int | None) -> jax.Array:
    """The class of the largest logit of each example, and -1 where one is NaN."""
    scores = arguments.floats("logits", logits)
    if scores.shape[:-1] != examples or scores.ndim == 0:
        raise ValueError(
            f"logits must have the labels' shape {examples} with the classes as one more axis, got "
            f"shape {scores.shape}; for one score per example give RealWorldCost a threshold, of "
            "one-hot labels take labels.argmax(-1)."
        )
    if scores.shape[-1] < 2:
        raise ValueError(
            f"logits must score at least 2 classes, got shape {scores.shape}; for one score per "
            "example give RealWorldCost a threshold."
        )
    if num_classes not in (None, scores.shape[-1]):
        raise ValueError(
            f"logits must score the {num_classes} classes of the costs, got shape {scores.shape}."
        )
    known = ~jnp.any(jnp.isnan(scores), axis=-1)
    return jnp.where(known, jnp.argmax(scores, axis=-1).astype(jnp.int32), -1)
