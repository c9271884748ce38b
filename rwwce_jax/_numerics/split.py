"""Splits each row of logits into its leader and the others, with code per platform.

The leader is the class with the largest logit, if no other class has the same logit. Relative to
it, the exponentials of the others underflow above a gap of 87 in float32, and its ``log(1 - p)``
would be -inf. Relative to the runner-up, the largest of the others, they do not.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import zero_from_primal

from rwwce_jax._numerics.arithmetic import depending_on
from rwwce_jax._numerics.platforms import (
    by_platform,
    is_class,
    is_few,
    is_small,
    pick,
    row_max,
    row_sum,
)

# Where all classes may have costs and there are at most this many, a CPU computes all rows relative
# to the runner-up: to find the rows that need it takes longer. Time of value and gradient with a
# cost matrix, divided by that of the naive formula, at 65536 examples:
#
#                                     2     3     4     5     6     7     8     9
#     only the rows that need it   1.15  1.61  1.40  1.56  1.53  1.43  1.13  1.51
#     all rows                     1.08  1.02  1.28  1.26  1.25  1.15  1.20  1.59
_MOST_BY_RUNNER_UP = 7


class Split(NamedTuple):
    """The leader of each row, and the others.

    Two classes that tie for the top have p <= 1/2: such a row has no leader. Derivatives take
    ``leader`` and ``reference`` for constants, and ``top`` too where there is no leader.
    """

    top: jax.Array  # (..., 1): the largest logit; NaN for an infinite one
    leader: jax.Array  # (..., 1): its logit; inf, which no class has, if there is none
    is_leader: jax.Array  # (..., K)
    reference: jax.Array  # (..., 1): the logit that exponentials are relative to
    exps: jax.Array  # (..., K): exp(logits - reference), but 0 for the leader
    rest: jax.Array  # (..., 1): the sum of the exponentials of all classes but one at the top
    p: jax.Array  # (..., K): the softmax, but 0 for the leader


@jax.custom_jvp
def split_off_leader(
    logits: jax.Array, labels: jax.Array | None, costly: jax.Array | None
) -> Split:
    """Splits rows of logits, (..., K).

    Where the leader has no cost, the rest may underflow on a CPU: nothing uses it, and it would
    take another pass.

    Args:
        logits: (..., K).
        labels: The class that has a weight, (..., 1); or None, if all may have one.
        costly: The classes that have a cost, (..., F), with K or more for none; or None, if all may
            have one. If labels and costly are both given, no other class leads or ties.
    """
    parts = by_platform(logits, labels, costly, cpu=_frugal, default=_in_one_pass)
    # The tangent of the top depends on which class leads, and that on labels and costly classes.
    return parts._replace(top=depending_on(parts.top, parts.reference))


@split_off_leader.defjvp
def _split_off_leader_jvp(
    primals: tuple[jax.Array, jax.Array | None, jax.Array | None], tangents: tuple[jax.Array, ...]
) -> tuple[Split, Split]:
    d_logits, parts = tangents[0], split_off_leader(*primals)
    scale = jnp.exp(parts.reference - parts.top)
    d_top = row_sum(jnp.where(parts.is_leader, d_logits, 0))
    d_exps = parts.exps * d_logits
    d_rest = row_sum(d_exps)
    d_log_total = d_top + scale * (d_rest - parts.rest * d_top) / (1 + scale * parts.rest)
    d_p = parts.p * (d_logits - d_log_total)
    constants = map(zero_from_primal, (parts.leader, parts.is_leader, parts.reference))
    return parts, Split._make((d_top, *constants, d_exps, d_rest, d_p))


def _frugal(logits: jax.Array, labels: jax.Array | None, costly: jax.Array | None) -> Split:
    """For a CPU, which pays for each pass: relative to the top.

    Of large batches of many classes, another pass computes the rest relative to the runner-up only
    if it underflows in a row whose leader may have a cost.
    """
    top = _finite_or_nan(row_max(logits))
    exps = jnp.exp(logits - top)
    if labels is None or costly is None:
        total = row_sum(exps)
        leads = total < 2  # two classes at the top make 2, exactly
        lost = leads & (total == 1)
        if labels is not None:
            lost &= pick(logits, labels) < top
        leader_id = None
    else:
        classes = jnp.concatenate([labels, costly], axis=-1)
        at_top = _at_top(logits, classes, top)
        leads = jnp.sum(at_top, axis=-1, keepdims=True) == 1
        leader_id = jnp.max(jnp.where(at_top, classes, 0), axis=-1, keepdims=True)
        leader_id = jnp.where(leads, leader_id, logits.shape[-1])
        exps = jnp.where(is_class(logits, leader_id), 0, exps)
        total = 1 + row_sum(exps)
        lost = leads & jnp.any(at_top[..., 1:], axis=-1, keepdims=True) & (total == 1)
    leader = jnp.where(leads, top, jnp.inf)
    # Of classes that tie for the top, one is not in the rest.
    counted = jnp.where(leads, 0, 1).astype(exps.dtype)

    def find_leader() -> jax.Array:
        return logits == leader if leader_id is None else is_class(logits, leader_id)

    def from_runner_up(lost: jax.Array | bool, mark: int) -> _Part:
        others = jnp.where(find_leader(), -jnp.inf, logits)
        runner_up = row_max(others)
        reference = jnp.where(lost & (runner_up > -jnp.inf), runner_up, top)
        exps = jnp.exp(others - reference)
        rest = row_sum(exps) - counted
        if mark:
            # The exponential of the runner-up is 1 too. Below the mark it is wrong by one rounding
            # error, as any exponential may be.
            exps = jnp.where(leads, jnp.minimum(exps, 1 - np.finfo(exps.dtype).epsneg), exps)
        return reference, jnp.where(find_leader(), mark, exps), rest

    if labels is None and costly is not None:  # no costs at all: the rest may underflow
        exps = jnp.where(find_leader(), 0, exps)
        return _with_p(top, leader, find_leader(), top, exps, row_sum(exps) - counted)
    if is_small(logits) or (leader_id is None and is_few(logits.shape[-1], _MOST_BY_RUNNER_UP)):
        return _with_p(top, leader, find_leader(), *from_runner_up(True, 0))
    if leader_id is not None:
        rest = row_sum(exps) - counted
        parts = lax.cond(jnp.any(lost), lambda: from_runner_up(lost, 0), lambda: (top, exps, rest))
        return _with_p(top, leader, find_leader(), *parts)
    # An exponential of 1 marks the leader, which saves reading the logits again.
    reference, exps, rest = lax.cond(
        jnp.any(lost), lambda: from_runner_up(lost, 1), lambda: (top, exps, counted)
    )
    is_leader = (exps == 1) & leads
    # Stored arrays are summed fast, and the probabilities are needed in any case.
    p = jnp.where(is_leader, 0, jnp.exp(reference - top) / total * exps)
    rest = jnp.where(lost, rest, row_sum(p) * total - counted)
    return Split(top, leader, is_leader, reference, jnp.where(is_leader, 0, exps), rest, p)


def _with_p(*parts: jax.Array) -> Split:
    """Completes the other fields of a ``Split``, in their order, by the probabilities."""
    top, _, _, reference, exps, rest = parts
    scale = jnp.exp(reference - top)
    return Split._make((*parts, scale / (1 + scale * rest) * exps))


def _in_one_pass(logits: jax.Array, labels: jax.Array | None, costly: jax.Array | None) -> Split:
    """For an accelerator, limited by memory: top, runner-up and rest in one reduction."""

    # To differentiate a gradient that was taken in a scan, JAX 0.10.2 does not use the rule above,
    # but its own for this reduction, which fails on constants. These depend on the logits, until
    # XLA simplifies them.
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
    leads = runner_up < top
    if labels is not None and costly is not None:
        tops = _at_top(logits, labels, top), _at_top(logits, costly, top)
        leads &= tops[0] | jnp.any(tops[1], axis=-1, keepdims=True)
    leader = jnp.where(leads, top, jnp.inf)
    reference = jnp.where(leads & (runner_up > -jnp.inf), runner_up, top)
    rest *= jnp.exp(runner_up - reference)
    is_leader = logits == leader
    exps = jnp.exp(jnp.where(is_leader, -jnp.inf, logits) - reference)
    return _with_p(top, leader, is_leader, reference, exps, rest)


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
