"""Validates the values of costs, which compiled code cannot."""

from typing import Any

import jax
import numpy as np

from rwwce_jax._checks import CostsLike, arguments
from rwwce_jax.costs._convert import GivenCosts, given
from rwwce_jax.costs._examples import ExampleCosts
from rwwce_jax.costs._operators import CostOperator
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
    largest = float(np.finfo(jax.dtypes.canonicalize_dtype(np.float64)).max)
    some_cost, of_classes = False, actions is not None
    values: dict[str, Any] = {"fn": fn, "fp": fp, "actions": 0.0 if actions is None else actions}
    for name, value in values.items():
        costs: Any = given(name, value)
        if isinstance(costs, CostOperator):
            name, costs, of_classes = f"{name}.costs", costs.costs, True
        known = arguments.known_costs(name, costs)
        if name == "fp" and known.ndim == 2 and known.shape[0] == known.shape[1]:
            of_classes |= np.ndim(values["fn"]) < 2
            np.fill_diagonal(known, 0)
        for index in np.argwhere(~((known >= 0) & (known <= largest))).tolist():
            arguments.finite_cost(f"{name}{index or ''}", known[*index], known[*index])
        some_cost |= name != "actions" and bool(np.any(known > 0))
    if not some_cost:
        raise ValueError("fn and fp must hold a cost above 0, got only zeros: no mistake costs.")
    if of_classes:
        GivenCosts.of(fn, fp, actions).refuse()
    else:  # of the examples, for two classes
        arguments.broadcast_shape(fn, fp)
