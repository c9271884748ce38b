"""Splits each row of logits into the class at the top and the others, with code per platform.

Relative to the largest logit, the exponentials of the others underflow above a gap of 87 in
float32, and ``log(1 - p)`` of the class at the top would be -inf. Relative to the runner-up, the
largest of the others, they do not.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import zero_from_primal

from rwwce_jax._numerics import platforms
from rwwce_jax._numerics.platforms import is_class, is_small, pick, row_max, row_sum


class Split(NamedTuple):
    """The class *alone* at the top, and all others.

    Two classes that tie for the top have p <= 1/2, and neither is alone. Derivatives take ``alone``
    and ``reference`` for constants, and ``top`` too where no class is alone.
    """

    top: jax.Array  # (..., 1): the largest logit; NaN for an infinite one
    alone: jax.Array  # (..., 1): the logit that only the class alone has; inf if there is none
    is_alone: jax.Array  # (..., K): the mask of that class
    reference: jax.Array  # (..., 1): the logit that exponentials are relative to
    each: jax.Array  # (..., K): exp(logits - reference), but 0 for the class alone
    rest: jax.Array  # (..., 1): the sum of the exponentials of all classes but one at the top
    p: jax.Array  # (..., K): the softmax, but 0 for the class alone


@jax.custom_jvp
def split(logits: jax.Array, labels: jax.Array | None, costly: jax.Array | None) -> Split:
    """Splits rows of logits, (..., K).

    Where the class alone has no cost, the rest may underflow on a CPU: nothing uses it, and it
    would take another pass.

    Args:
        logits: (..., K).
        labels: The class that has a weight, (..., 1); or None, if all may have one.
        costly: The classes that have a cost, (..., F), with K or more for none; or None, if all may
            have one. If labels and costly are both given, no other class counts as a tie.
    """
    return platforms.by_platform(logits, labels, costly, cpu=_frugal, default=_in_one_pass)


@split.defjvp
def _split_jvp(
    primals: tuple[jax.Array, jax.Array | None, jax.Array | None], tangents: tuple[jax.Array, ...]
) -> tuple[Split, Split]:
    change, parts = tangents[0], split(*primals)
    scale = jnp.exp(parts.reference - parts.top)
    d_top = row_sum(jnp.where(parts.is_alone, change, 0))
    d_each = parts.each * change
    d_rest = row_sum(d_each)
    d_log_total = d_top + scale * (d_rest - parts.rest * d_top) / (1 + scale * parts.rest)
    d_p = parts.p * (change - d_log_total)
    constants = map(zero_from_primal, (parts.alone, parts.is_alone, parts.reference))
    return parts, Split._make((d_top, *constants, d_each, d_rest, d_p))


def _frugal(logits: jax.Array, labels: jax.Array | None, costly: jax.Array | None) -> Split:
    """For a CPU, which pays for each pass: relative to the top.

    Only if the rest of a row underflows, and its class alone may have a cost, another pass computes
    it relative to the runner-up.
    """
    top = _finite_or_nan(row_max(logits))
    each = jnp.exp(logits - top)
    if labels is None or costly is None:
        total = row_sum(each)
        single = total < 2  # two classes at the top make 2, exactly
        lost = single & (total == 1)
        if labels is not None:
            lost &= pick(logits, labels) < top
        at = None
    else:
        classes = jnp.concatenate([labels, costly], axis=-1)
        at_top = _at_top(logits, classes, top)
        single = jnp.sum(at_top, axis=-1, keepdims=True) == 1
        at = jnp.max(jnp.where(at_top, classes, 0), axis=-1, keepdims=True)
        at = jnp.where(single, at, logits.shape[-1])
        each = jnp.where(is_class(logits, at), 0, each)
        total = 1 + row_sum(each)
        lost = single & jnp.any(at_top[..., 1:], axis=-1, keepdims=True) & (total == 1)
    alone = jnp.where(single, top, jnp.inf)
    counted = jnp.where(single, 0, 1).astype(each.dtype)

    def mask() -> jax.Array:
        return logits == alone if at is None else is_class(logits, at)

    def from_runner_up(lost: jax.Array | bool, mark: int) -> _Part:
        others = jnp.where(mask(), -jnp.inf, logits)
        runner_up = row_max(others)
        reference = jnp.where(lost & (runner_up > -jnp.inf), runner_up, top)
        each = jnp.exp(others - reference)
        rest = row_sum(each) - counted
        if mark:
            # The runner-up has 1 as well: it is moved below the mark, by a rounding error of exp.
            each = jnp.where(single, jnp.minimum(each, 1 - np.finfo(each.dtype).epsneg), each)
        return reference, jnp.where(mask(), mark, each), rest

    if is_small(logits):
        return _with_p(top, alone, mask(), *from_runner_up(True, 0))
    if at is not None:
        rest = row_sum(each) - counted
        parts = lax.cond(jnp.any(lost), lambda: from_runner_up(lost, 0), lambda: (top, each, rest))
        return _with_p(top, alone, mask(), *parts)
    # An exponential of 1 marks the class alone, which saves reading the logits again.
    reference, each, rest = lax.cond(
        jnp.any(lost), lambda: from_runner_up(lost, 1), lambda: (top, each, counted)
    )
    is_alone = (each == 1) & single
    # Stored arrays are summed fast, and the probabilities are needed in any case.
    p = jnp.where(is_alone, 0, jnp.exp(reference - top) / total * each)
    rest = jnp.where(lost, rest, row_sum(p) * total - counted)
    return Split(top, alone, is_alone, reference, jnp.where(is_alone, 0, each), rest, p)


def _with_p(*parts: jax.Array) -> Split:
    """Completes the other fields of a ``Split``, in their order, by the probabilities."""
    top, _, _, reference, each, rest = parts
    scale = jnp.exp(reference - top)
    return Split._make((*parts, scale / (1 + scale * rest) * each))


def _in_one_pass(logits: jax.Array, labels: jax.Array | None, costly: jax.Array | None) -> Split:
    """For an accelerator, limited by memory: top, runner-up and rest in one reduction."""

    # Constants to XLA, but not to JAX: if a gradient that was taken in a scan is differentiated,
    # JAX 0.10.2 drops the rule above, and its own for this reduction fails on constants.
    def filled(number: float) -> jax.Array:
        return jnp.where(False, logits, number)

    parts = lax.reduce(
        (logits, filled(-jnp.inf), filled(0)),
        tuple(np.array(number, logits.dtype) for number in (-np.inf, -np.inf, 0)),
        _merge,
        (logits.ndim - 1,),
    )
    top, runner_up, rest = (x[..., None] for x in parts)
    top = _finite_or_nan(top)
    single = runner_up < top
    if labels is not None and costly is not None:
        tops = _at_top(logits, labels, top), _at_top(logits, costly, top)
        single &= tops[0] | jnp.any(tops[1], axis=-1, keepdims=True)
    alone = jnp.where(single, top, jnp.inf)
    reference = jnp.where(single & (runner_up > -jnp.inf), runner_up, top)
    rest *= jnp.exp(runner_up - reference)
    is_alone = logits == alone
    each = jnp.exp(jnp.where(is_alone, -jnp.inf, logits) - reference)
    return _with_p(top, alone, is_alone, reference, each, rest)


def _at_top(logits: jax.Array, classes: jax.Array, top: jax.Array) -> jax.Array:
    return (pick(logits, classes) == top) & (classes < logits.shape[-1])


_Part = tuple[jax.Array, jax.Array, jax.Array]


def _merge(left: _Part, right: _Part) -> _Part:
    """Merges two tops, runner-ups and sums of all but one top, relative to the runner-up."""
    (top1, runner_up1, rest1), (top2, runner_up2, rest2) = left, right
    low = jnp.minimum(top1, top2)
    runner_up = jnp.maximum(jnp.maximum(runner_up1, runner_up2), low)
    reference = jnp.maximum(runner_up, np.finfo(low.dtype).min)  # -inf - -inf is NaN
    rest = rest1 * jnp.exp(runner_up1 - reference) + rest2 * jnp.exp(runner_up2 - reference)
    return jnp.maximum(top1, top2), runner_up, rest + jnp.exp(low - reference)


def _finite_or_nan(top: jax.Array) -> jax.Array:
    return jnp.where(top == jnp.inf, jnp.nan, top)
