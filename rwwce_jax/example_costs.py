"""Costs of mistakes that differ from example to example."""

import dataclasses

from jax.typing import ArrayLike

from rwwce_jax._pytrees import register_dataclass


@register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class ExampleCosts:
    """Costs that differ from example to example, to use as ``fn`` or ``fp``.

    A pytree of arrays: the leading axes ``(...)`` are those of the examples, the last one is that
    of the classes. The costs may be traced and differentiated. No matrix is built.

    Attributes:
        costs: As ``fn``, the cost of missing each example, ``(...)``. As ``fp``, the extra cost of
            each predicted class, ``(..., K)``; the entry of the label is never used. With
            ``classes``, the costs of those only: ``(..., P)``, or what broadcasts to it, such as
            one number.
        classes: For ``fp`` only, the costly classes of each example, integers ``(..., P)``. Other
            classes cost nothing extra. -1 marks an empty slot. A slot with the label is never used.
            The costs of a class that is given twice are summed. Any other id outside [0, K) makes
            the loss, gradient and cost of its example NaN.

    Example:
        Unlikelihood training: the model should not repeat what the text has just said.

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
        S. Welleck et al., "Neural Text Generation with Unlikelihood Training", ICLR 2020. They
        clamp 1 - p at 1e-5, which removes the gradient where it matters; here it is exact.
    """

    costs: ArrayLike
    classes: ArrayLike | None = None
