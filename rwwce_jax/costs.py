"""What the user knows about the costs of mistakes, turned into ``fn`` and ``fp``."""

import numpy as np
from jax.typing import ArrayLike


def check_costs(fn: ArrayLike, fp: ArrayLike) -> None:
    """Refuse costs that no loss can be trained on: negative, NaN, infinite, or all zero.

    The losses cannot look at values inside compiled code. What builds costs from user input calls
    this first, outside of ``jit``.

    Args:
        fn: Costs of a false negative, in any unit: a scalar, one per class ``(K,)``, or one per
            example for the binary loss.
        fp: Costs of a false positive, in the same unit: a scalar, ``(K, K)`` with rows the truth,
            or one per example for the binary loss. The diagonal of a square matrix is not looked
            at.

    Raises:
        ValueError: naming the first cost, by its row and column, that is negative, NaN or infinite;
            or if all costs are zero, so that no mistake costs anything.
        TypeError: if the costs are not real numbers.

    Example:
        >>> import rwwce_jax as rwwce
        >>> rwwce.check_costs(fn=2000.0, fp=100.0)
        >>> rwwce.check_costs(fn=1.0, fp=[[0.0, 3.0], [-3.0, 0.0]])
        Traceback (most recent call last):
            ...
        ValueError: fp[1, 0] must be a finite cost >= 0, got -3.0.
    """
    some_cost = False
    for name, value in (("fn", fn), ("fp", fp)):
        array = np.asarray(value)
        if array.dtype.kind not in "iuf":
            raise TypeError(f"{name} must be costs, integers or floats, got dtype {array.dtype}.")
        costs = array.astype(np.float64)
        if name == "fp" and costs.ndim == 2 and costs.shape[0] == costs.shape[1]:
            np.fill_diagonal(costs, 0)
        wrong = np.argwhere(~(np.isfinite(costs) & (costs >= 0)))
        if wrong.size or (costs.ndim == 0 and not (np.isfinite(costs) and costs >= 0)):
            index = tuple(int(i) for i in wrong[0])
            at = f"[{', '.join(map(str, index))}]" if index else ""
            raise ValueError(f"{name}{at} must be a finite cost >= 0, got {costs[index]}.")
        some_cost |= bool(np.any(costs > 0))
    if not some_cost:
        raise ValueError("fn and fp must hold a cost above 0, got only zeros: no mistake costs.")
