"""The softmax of rows of logits, with the class that holds more than half kept apart.

There are two programs for it: what is fast on a CPU is slow on an accelerator, and the other way
round.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from rwwce_jax._numerics.arithmetic import at_label, inverse_or_0, is_small, log_flat_at_0, row_sum


class Softmax(NamedTuple):
    """The softmax of rows with the dominant class, the one with p > 1/2 if any, kept apart."""

    top: jax.Array  # (..., 1): the maximum of the logits
    total: jax.Array  # (..., 1): sum of exp(logits - top)
    has_dominant: jax.Array  # (..., 1)
    dominant: jax.Array  # (..., K): mask of the dominant class
    scaled: jax.Array  # (..., K): proportional to p on the other classes, 1 on the dominant one
    to_p: jax.Array  # (..., 1): p = to_p * scaled
    p: jax.Array  # (..., K): probabilities of the other classes, 0 on the dominant one
    rest: jax.Array  # (..., 1): their sum, which is 1 - p of the dominant class
    log_rest: jax.Array  # (..., 1): its logarithm, also where rest underflows
    to_share: jax.Array  # (..., 1): p / rest = to_share * scaled, also where rest underflows


def _runner_up(shifted: jax.Array) -> jax.Array:
    """The largest of the logits below their maximum, relative to it."""
    below = jnp.where(shifted < 0, shifted, -jnp.inf)
    return lax.stop_gradient(jnp.max(below, axis=-1, keepdims=True))


def split_softmax(logits: jax.Array, labels: jax.Array | None) -> Softmax:
    """By the program for the platform; with labels, exact where those examples' losses need it."""
    return lax.platform_dependent(logits, labels, cpu=frugal_softmax, default=fusible_softmax)


def fusible_softmax(logits: jax.Array, _: jax.Array | None) -> Softmax:
    """For accelerators, where XLA fuses the arithmetic and computes several sums in one pass.

    Relative to a far maximum the other exponentials would underflow. Where there is a dominant
    class, they are relative to the runner-up instead, which becomes 1/e.
    """
    top = lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    shifted = logits - top
    runner_up = _runner_up(shifted)
    total = row_sum(jnp.exp(shifted))
    # A tie for the top makes the total at least 2, exactly: then no class is dominant.
    has_dominant = total < 2
    dominant = (shifted == 0) & has_dominant
    shift = jnp.where(has_dominant & (runner_up > -jnp.inf), runner_up + 1, 0)
    scaled = jnp.exp(jnp.where(dominant, 0, shifted - shift))
    others = jnp.where(dominant, 0, scaled)
    scaled_rest = row_sum(others)
    to_p = jnp.exp(shift) / total
    log_rest = log_flat_at_0(scaled_rest) + (shift - jnp.log(total))
    return Softmax(
        top,
        total,
        has_dominant,
        dominant,
        scaled,
        to_p,
        to_p * others,
        to_p * scaled_rest,
        log_rest,
        inverse_or_0(scaled_rest),
    )


def frugal_softmax(logits: jax.Array, labels: jax.Array | None) -> Softmax:
    """For a CPU, where each pass over the logits costs: exponentials relative to the maximum.

    Only if some of them may have underflowed, and it matters, are these rows computed again.
    """
    top = lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    scaled = jnp.exp(logits - top)
    total = row_sum(scaled)
    has_dominant = total < 2
    # Where 1 + rest rounds to 1, rest may be lost. It matters to the cost of a dominant class; a
    # label has no such cost.
    lost = total == 1
    if labels is not None:
        lost &= at_label(logits, labels) < top

    def rescue(
        logits: jax.Array, top: jax.Array, scaled: jax.Array, lost: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        shifted = logits - top
        runner_up = _runner_up(shifted)
        shift = jnp.where(lost & (runner_up > -jnp.inf), runner_up + 1, 0)
        others = lost & (shifted < 0)
        relative = jnp.exp(jnp.where(others, shifted - shift, -jnp.inf))
        return jnp.where(others, relative, scaled), row_sum(relative), shift

    rows = (logits, top, scaled, lost)
    if is_small(logits):
        scaled, rescued, shift = rescue(*rows)
    else:
        unchanged = (scaled, jnp.zeros_like(top), jnp.zeros_like(top))
        scaled, rescued, shift = lax.cond(jnp.any(lost), rescue, lambda *_: unchanged, *rows)
    dominant = (scaled == 1) & has_dominant
    to_p = jnp.exp(shift) / total
    p = jnp.where(dominant, 0, to_p * scaled)
    rest = row_sum(p)
    log_rest = log_flat_at_0(jnp.where(lost, rescued, rest))
    log_rest += jnp.where(lost, shift - jnp.log(total), 0)
    to_share = inverse_or_0(jnp.where(lost, rescued, rest * total))
    return Softmax(top, total, has_dominant, dominant, scaled, to_p, p, rest, log_rest, to_share)
