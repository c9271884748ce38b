"""Costs of false positives, or of false negatives, that each example has of its own."""

import dataclasses

from jax.typing import ArrayLike

from rwwce_jax._pytrees import register_dataclass


@register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class ExampleCosts:
    """Costs that differ from example to example, to be used in place of ``fn`` or ``fp``.

    A pytree of arrays with the examples' shape ``(...)`` in front, and the classes last. The costs
    may be traced and differentiated. Memory is in proportion to the costs: no matrix is built.

    Attributes:
        costs: As ``fn``: what missing this example costs, ``(...)``. As ``fp``: this example's row
            of costs, ``(..., K)``, by predicted class; the entry of its label is never used. With
            ``classes``, what predicting each of these costs, ``(..., P)`` or what broadcasts to it,
            such as one number.
        classes: As ``fp``, the costly classes of each example, integers ``(..., P)``; all other
            classes cost nothing extra. -1 is an empty slot, the slot of the label is not used, and
            the costs of a class that is given twice are added up. Any other id outside [0, K) makes
            this example's loss, gradient and cost NaN.

    Example:
        Unlikelihood training: what the text has just said shall not be said again.

        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> logits = jnp.zeros((2, 5)).at[:, 3].set(2.0)
        >>> labels = jnp.array([0, 3])
        >>> candidates = jnp.array([[3, 1], [1, -1]])
        >>> fp = rwwce.ExampleCosts(1.0, classes=candidates)
        >>> for loss in rwwce.categorical(logits, labels, 1.0, fp, reduction="none"):
        ...     print(f"{loss:.3f}")
        3.571
        0.525

    References:
        S. Welleck et al., "Neural Text Generation with Unlikelihood Training", ICLR 2020. There,
        1 - p is clamped at 1e-5, which takes away the gradient where it matters; here it is exact.
    """

    costs: ArrayLike
    classes: ArrayLike | None = None
