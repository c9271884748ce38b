"""The Real-World-Weight Cross-Entropy losses: one function per equation of the paper.

Each turns its arguments into weights and costs per example. ``_numerics`` computes with them.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rwwce_jax import _arguments, _costs, _numerics
from rwwce_jax._cost_kinds import FalseNegatives, FalsePositives, partition
from rwwce_jax._reductions import reduce
from rwwce_jax._sharding import compiled
from rwwce_jax._terms import terms_of_examples
from rwwce_jax._typing import CostsLike, Reduction
from rwwce_jax.example_costs import ExampleCosts
from rwwce_jax.pairs import PairCosts


def binary(
    logits: ArrayLike,
    labels: ArrayLike,
    fn: CostsLike,
    fp: CostsLike,
    *,
    where: ArrayLike | None = None,
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
        reduction: ``"mean"`` over the selected examples (0 if there are none), ``"sum"``, or
            ``"none"`` for one loss per example.

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
    _arguments.reduction(reduction)
    scores = _arguments.logits("logits", logits)
    truth = _arguments.binary_labels("labels", labels, scores.shape, scores.dtype)
    fn_costs = _arguments.costs_like("fn", fn, scores.shape, scores.dtype)
    fp_costs = _arguments.costs_like("fp", fp, scores.shape, scores.dtype)
    mask = _arguments.mask("where", where, scores.shape)
    return _binary(scores, truth, fn_costs, fp_costs, mask, reduction)


@compiled(static=5)
def _binary(
    logits: jax.Array,
    labels: jax.Array,
    fn: jax.Array,
    fp: jax.Array,
    where: jax.Array | None,
    reduction: Reduction,
) -> jax.Array:
    if where is not None:
        logits, labels, fn, fp = (jnp.where(where, x, 0) for x in (logits, labels, fn, fp))
    return reduce(_numerics.binary_loss(logits, fn * labels, fp * (1 - labels)), where, reduction)


def categorical(
    logits: ArrayLike,
    labels: ArrayLike,
    fn: CostsLike | ExampleCosts,
    fp: CostsLike | PairCosts | ExampleCosts,
    *,
    axis: int = -1,
    where: ArrayLike | None = None,
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
        reduction: ``"mean"`` over the selected examples (0 if there are none), ``"sum"``, or
            ``"none"`` for one loss per example.

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
        2020, equation 6. With ``fp = 0`` it is the class-weighted softmax cross-entropy.
    """
    _arguments.reduction(reduction)
    scores = _arguments.logits("logits", logits)
    axis = _arguments.class_axis("logits", scores, axis, "binary")
    shape = scores.shape
    scores = jnp.moveaxis(scores, axis, -1)
    examples, num_classes = scores.shape[:-1], scores.shape[-1]
    fn_costs = _costs.false_negatives(fn, num_classes, scores.dtype, examples)
    fp_costs = _costs.false_positives(fp, num_classes, scores.dtype, examples)
    mask = _arguments.mask("where", where, examples)
    if not _arguments.is_class_ids(labels):
        truth = _arguments.probabilities("labels", labels, shape, examples, scores.dtype)
        truth = jnp.moveaxis(truth, axis, -1)
        return _categorical(scores, truth, None, fn_costs, fp_costs, mask, reduction)
    ids, valid = _arguments.class_ids("labels", labels, examples, num_classes)
    return _categorical(scores, ids, valid, fn_costs, fp_costs, mask, reduction)


@compiled(static=6)
def _categorical(
    logits: jax.Array,
    labels: jax.Array,
    valid: jax.Array | None,
    fn: FalseNegatives,
    fp: FalsePositives,
    where: jax.Array | None,
    reduction: Reduction,
) -> jax.Array:
    """Labels are class ids with the mask of valid ones, or class probabilities without a mask."""
    if where is not None:
        logits = jnp.where(where[..., None], logits, 0)
    own, shared = partition(fn, fp)
    losses = _numerics.loss_of_rows(terms_of_examples, logits, (labels, valid, where, own), shared)
    return reduce(losses, where, reduction)
