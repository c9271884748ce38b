"""The categorical loss, equation 6 of the paper."""

import jax
from jax.typing import ArrayLike

from rwwce_jax._checks import CostsLike, Reduction, arguments, compiled
from rwwce_jax._numerics.categorical import categorical_loss
from rwwce_jax._numerics.platforms import (
    MOST_LABELS_AS_PRODUCT,
    MOST_PAIRS_AS_MATRIX,
    by_platform,
    is_few,
)
from rwwce_jax.costs import ExampleCosts, PairCosts
from rwwce_jax.costs._operators import ByClass
from rwwce_jax.costs._records import Examples


def categorical(
    logits: ArrayLike,
    labels: ArrayLike,
    fn: CostsLike | ExampleCosts,
    fp: CostsLike | PairCosts | ExampleCosts,
    *,
    axis: int = -1,
    where: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    z_loss: ArrayLike = 0.0,
    reduction: Reduction = "mean",
) -> jax.Array:
    r"""Categorical Real-World-Weight Cross-Entropy, equation 6 of the paper.

    .. math::
        J = -\frac{1}{M} \sum_m \sum_k y_m^k \left[ fn_k \log p_m^k
            + \sum_{j \neq k} fp_{k,j} \log(1 - p_m^j) \right]

    Here p_m is the softmax of the logits z_m.

    Args:
        logits: Unnormalised scores z of K >= 2 classes along ``axis``, ``(..., K)`` by default, of
            a floating dtype. A single example without batch axes, ``(K,)``, is allowed.
        labels: Integer class ids, of the logits' shape without ``axis``; or class probabilities y
            (one-hot, soft, smoothed), floats or booleans of the logits' shape. The dtype decides.
        fn: Cost of a false negative, by true class: a scalar, ``(K,)``, or ``rwwce.ExampleCosts``.
            See ``rwwce.Costs``.
        fp: Extra cost of a false positive, ``fp[k, j]`` for predicting j when the truth is k: a
            scalar, ``(K, K)``, ``rwwce.pair_costs``, or ``rwwce.ExampleCosts``, which has the
            classes last whatever ``axis`` is.
        axis: The class axis of the logits.
        where: Boolean mask over the examples, of the logits' shape without ``axis``. Examples that
            it leaves out change neither the value nor any gradient, whatever they hold.
        weights: One number per example, 0 or more, of the shape of ``where``: an example of weight
            w counts as w examples, and the mean divides by the sum of the weights. Default: 1 each.
        z_loss: How many times the square of log(sum(exp(z))) is added to each loss, a scalar. It
            keeps the logits of large models from drifting (1e-4 in PaLM).
        reduction: ``"mean"`` over the selected examples (0 if there are none), ``"sum"``, or
            ``"none"`` for one loss per example, times its weight.

    Returns:
        The loss, in the unit of the costs: a scalar, or the logits' shape without ``axis`` for
        ``"none"``. float32 for logits of 32 bits or fewer, float64 for float64.

    Raises:
        TypeError: if the logits are not floating-point, or the labels are floats where class ids
            are meant, or the costs not real numbers.
        ValueError: if a shape does not fit the logits', there are fewer than two classes, or the
            reduction is unknown.

    Note:
        Finite logits give a finite loss and gradient. A logit of -inf makes a class impossible: the
        loss is inf if that is the label, else finite. NaN or +inf among an example's logits, or a
        class id outside [0, K), such as -1, makes the loss and gradient of that example NaN, and of
        no other. A cost of zero adds nothing: 0 * inf is 0 here. A float16 gradient above 65504 is
        inf, which loss scaling looks for.

        A weight that is negative, infinite or NaN gives NaN. An infinite loss of weight 0 counts 0,
        and NaN stays NaN: leave out by ``where`` what is no example.

    Example:
        To read a 4 as a 9 costs 19 more than any other mistake.

        >>> import jax
        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> fp = jnp.zeros((10, 10)).at[4, 9].set(19.0)
        >>> logits = jnp.zeros((1, 10)).at[0, 9].set(3.0)
        >>> labels = jnp.array([4])
        >>> print(f"{rwwce.categorical(logits, labels, fn=1.0, fp=0.0):.3f}")
        3.370
        >>> print(f"{rwwce.categorical(logits, labels, fn=1.0, fp=fp):.3f}")
        25.658
        >>> print(jax.grad(rwwce.categorical)(logits, labels, 1.0, fp).round(1)[0])
        [-1.4 -1.4 -1.4 -1.4 -2.4 -1.4 -1.4 -1.4 -1.4 13.8]

    References:
        Y. Ho and S. Wookey, "The Real-World-Weight Cross-Entropy Loss Function", IEEE Access 8,
        2020, equation 6. With ``fp = 0`` it is the class-weighted softmax cross-entropy. The
        z-loss is of A. Chowdhery et al., "PaLM", 2022, section 5.
    """
    arguments.reduction(reduction)
    scores = arguments.logits("logits", logits)
    axis = arguments.class_axis("logits", scores.shape, axis, "binary")
    examples = Examples.of(labels, fn, fp, where, weights, z_loss, scores.shape, axis, scores.dtype)
    scores = arguments.moved_axis(scores, axis, -1)
    return _categorical(scores, examples, reduction=reduction)


@compiled
def _categorical(logits: jax.Array, examples: Examples, *, reduction: Reduction) -> jax.Array:
    num_classes = logits.shape[-1]

    def loss(logits: jax.Array, examples: Examples) -> jax.Array:
        return categorical_loss(logits, *examples.terms(num_classes))

    def loss_by_matrix(logits: jax.Array, examples: Examples) -> jax.Array:
        return loss(logits, examples._replace(fp=ByClass(examples.fp.as_matrix(num_classes))))

    logits = examples.counted.select(logits)
    # Of few classes, the pairs of each example are slower than rows of a matrix: see ``platforms``.
    has_pairs = examples.fp.as_pairs() is not None
    if has_pairs and is_few(num_classes, MOST_LABELS_AS_PRODUCT):
        on_cpu = loss_by_matrix if is_few(num_classes, MOST_PAIRS_AS_MATRIX) else loss
        losses = by_platform(logits, examples, cpu=on_cpu, default=loss, tpu=loss_by_matrix)
    else:
        losses = loss(logits, examples)
    return examples.counted.reduce(losses, reduction)
