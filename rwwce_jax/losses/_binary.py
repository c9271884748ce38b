"""The binary loss, equation 5 of the paper."""

import jax
from jax.typing import ArrayLike

from rwwce_jax._checks import CostsLike, Reduction, arguments, compiled
from rwwce_jax._numerics.binary import binary_loss
from rwwce_jax.costs._records import BinaryExamples


def binary(
    logits: ArrayLike,
    labels: ArrayLike,
    fn: CostsLike,
    fp: CostsLike,
    *,
    where: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    reduction: Reduction = "mean",
) -> jax.Array:
    r"""Binary Real-World-Weight Cross-Entropy, equation 5 of the paper.

    .. math::
        J = -\frac{1}{M} \sum_m \left[ fn \, y_m \log \sigma(z_m)
            + fp \, (1 - y_m) \log(1 - \sigma(z_m)) \right]

    Args:
        logits: Unnormalised scores z of the positive class, of any shape and floating dtype.
        labels: The truth y, of the logits' shape: 0 or 1 of any dtype, or probabilities in [0, 1].
        fn: Marginal cost of a false negative over a true positive: a scalar, or one cost per
            example, broadcast to the logits' shape.
        fp: Marginal cost of a false positive over a true negative, likewise.
        where: Boolean mask over the examples, of the logits' shape. Examples that it leaves out
            change neither the value nor any gradient, whatever they hold. Default: all examples.
        weights: One number per example, 0 or more, of the logits' shape: an example of weight
            w counts as w examples, and the mean divides by the sum of the weights. Default: 1 each.
        reduction: ``"mean"`` over the selected examples (0 if there are none), ``"sum"``, or
            ``"none"`` for one loss per example, times its weight.

    Returns:
        The loss, in the unit of the costs: a scalar, or the logits' shape for ``"none"``. float32
        for logits of 32 bits or fewer, float64 for float64.

    Raises:
        TypeError: if the logits are not floating-point, or labels or costs not real numbers.
        ValueError: if a shape does not fit the logits', or the reduction is unknown.

    Note:
        A NaN logit gives NaN, and so does a label outside [0, 1]. An infinite logit gives 0 if it
        is right, inf if it is wrong, and a finite gradient in both cases. A cost of zero adds
        nothing: 0 * inf is 0 here.

        A weight that is negative, infinite or NaN gives NaN. An infinite loss of weight 0 counts 0,
        and NaN stays NaN: leave out by ``where`` what is no example.

    Example:
        A missed disease costs 2000, a needless retest 100.

        >>> import jax
        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> logits = jnp.array([2.0, -1.0, 0.5])
        >>> labels = jnp.array([1, 0, 0])
        >>> print(f"{rwwce.binary(logits, labels, fn=2000.0, fp=100.0):.2f}")
        127.53
        >>> print(jax.grad(rwwce.binary)(logits, labels, 2000.0, 100.0).round(2))
        [-79.47   8.96  20.75]

    References:
        Y. Ho and S. Wookey, "The Real-World-Weight Cross-Entropy Loss Function", IEEE Access 8,
        2020, equation 5. With ``fn = fp = 1`` it is the sigmoid binary cross-entropy.
    """
    arguments.reduction(reduction)
    scores = arguments.logits("logits", logits)
    examples = BinaryExamples.of(labels, fn, fp, where, weights, scores.shape, scores.dtype)
    return reduced_loss(scores, examples, reduction=reduction)


@compiled
def reduced_loss(logits: jax.Array, examples: BinaryExamples, *, reduction: Reduction) -> jax.Array:
    """The losses of two classes, or of several labels of each example, reduced."""
    counted = examples.counted
    return counted.reduce(binary_loss(counted.select(logits), *examples.costs()), reduction)
