"""Validates the values of costs, which compiled code cannot."""

import jax
import numpy as np

from rwwce_jax._checks import arguments
from rwwce_jax._checks.types import CostsLike
from rwwce_jax.costs._convert import GivenCosts, refuse_misread
from rwwce_jax.costs._examples import ExampleCosts
from rwwce_jax.costs._pairs import PairCosts


def check_costs(
    fn: CostsLike | ExampleCosts,
    fp: CostsLike | PairCosts | ExampleCosts,
    *,
    actions: CostsLike | None = None,
) -> None:
    """Refuses costs that no loss can be trained with: negative, not finite, or all zero.

    The losses cannot see values inside compiled code. Call this first, outside of ``jit``, where
    costs come from user input.

    Args:
        fn: Costs of a false negative: see ``rwwce.Costs``; or one per example, for two classes.
        fp: Costs of a false positive, likewise. The diagonal of a square matrix is not checked.
        actions: Costs of decisions that are no class, a scalar or ``(K, A)``: see ``rwwce.Costs``.

    Raises:
        ValueError: naming the first cost, by its row and column, that is negative, NaN, or infinite
            in JAX's precision; or if all costs are zero, so that no mistake costs anything; or if
            the costs of classes have shapes that do not fit, or others do not broadcast.
        TypeError: if the costs are not real numbers.

    Example:
        >>> import rwwce_jax as rwwce
        >>> rwwce.check_costs(fn=2000.0, fp=100.0)
        >>> rwwce.check_costs(fn=1.0, fp=[[0.0, 3.0], [-3.0, 0.0]])
        Traceback (most recent call last):
            ...
        ValueError: fp[1, 0] must be a finite cost >= 0, got -3.0.
    """
    largest = np.finfo(jax.dtypes.canonicalize_dtype(np.float64))
    axes = {}
    some_cost = fp_is_matrix = False
    for name, value in (("fn", fn), ("fp", fp), ("actions", 0.0 if actions is None else actions)):
        if isinstance(value, ExampleCosts) or (name == "fp" and isinstance(value, PairCosts)):
            name, value = f"{name}.costs", value.costs
        elif name == "fp":
            refuse_misread(name, value)
        costs = arguments.known_costs(name, value)
        axes[name] = costs.ndim
        if name == "fp" and costs.ndim == 2 and costs.shape[0] == costs.shape[1]:
            fp_is_matrix = True
            np.fill_diagonal(costs, 0)
        wrong = np.argwhere(~((costs >= 0) & (costs <= largest.max)))
        if len(wrong):
            index = tuple(int(i) for i in wrong[0])
            at = f"[{', '.join(map(str, index))}]" if index else ""
            cost = costs[index]
            beyond = f" in {largest.dtype}" if np.isfinite(cost) and cost > 0 else ""
            raise ValueError(f"{name}{at} must be a finite cost >= 0{beyond}, got {cost}.")
        some_cost |= bool(np.any(costs > 0)) and name != "actions"
    if not some_cost:
        raise ValueError("fn and fp must hold a cost above 0, got only zeros: no mistake costs.")
    of_kinds = axes.keys() != {"fn", "fp", "actions"}  # PairCosts or ExampleCosts
    if of_kinds or (fp_is_matrix and axes["fn"] < 2) or actions is not None:
        GivenCosts.of(fn, fp, actions).refuse()
    else:  # of the examples, for two classes
        arguments.broadcast_shape(fn, fp)
