"""Several labels per example: the loss, the Real World Cost and the decisions.

The paper leaves this case open (end of section III): costs for all pairs of true and predicted sets
are a matrix of :math:`2^K` by :math:`2^K`. Here the cost of a set is the sum over its mistakes, and
the cost of a mistake is a sum over the classes that are present.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rwwce_jax import _arguments, _costs, _numerics
from rwwce_jax._cost_kinds import ByClass, FalsePositives
from rwwce_jax._reductions import reduce
from rwwce_jax._sharding import compiled
from rwwce_jax._typing import CostsLike, Reduction
from rwwce_jax.pairs import PairCosts
from rwwce_jax.thresholds import bayes_threshold


def multilabel(
    logits: ArrayLike,
    labels: ArrayLike,
    fn: CostsLike,
    fp: CostsLike,
    *,
    fp_pairs: CostsLike | PairCosts | None = None,
    where: ArrayLike | None = None,
    reduction: Reduction = "mean",
) -> jax.Array:
    r"""Real-World-Weight Cross-Entropy for any number of labels per example.

    .. math::
        J = -\frac{1}{M} \sum_m \sum_j \left[ fn_j \, y_m^j \log \sigma(z_m^j)
            + (1 - y_m^j) \Big( fp_j + \sum_{k \neq j} y_m^k \, fp\_pairs_{k,j} \Big)
            \log(1 - \sigma(z_m^j)) \right]

    Each class is a binary question with its own sigmoid, as in ``binary``. The cost of falsely
    predicting j depends on which classes are present.

    Args:
        logits: Unnormalised scores z of K >= 1 classes, ``(..., K)``, of a floating dtype.
        labels: The truth y, of the logits' shape: 1 for each class that is present, else 0, of any
            dtype; or probabilities in [0, 1], taken as independent of each other.
        fn: Cost of missing a class that is present: a scalar, or one per class ``(K,)``.
        fp: Cost of predicting a class that is absent, likewise.
        fp_pairs: ``fp_pairs[k, j]`` is added to ``fp[j]`` for falsely predicting j when k is
            present. Rows are the truth, columns the prediction. ``(K, K)``, its diagonal never
            used, or ``rwwce.pair_costs``. Default: nothing.
        where: Boolean mask over the examples, of the logits' shape without the class axis; or over
            the labels, of the logits' shape, if some are unknown. An unknown label adds no term of
            its own, and nothing to the pairs. What is left out changes neither the value nor any
            gradient, whatever it holds.
        reduction: ``"mean"`` over the examples with a selected label (0 if there are none),
            ``"sum"``, or ``"none"`` for one loss per example.

    Returns:
        The loss, in the unit of the costs: a scalar, or the logits' shape without the class axis
        for ``"none"``. float32 for logits of 32 bits or fewer, float64 for float64.

    Raises:
        TypeError: if the logits are not floating-point, or labels or costs not real numbers.
        ValueError: if a shape does not fit the logits', or the reduction is unknown.

    Note:
        NaN among the logits gives NaN for that example, and so does a label outside [0, 1]. An
        infinite logit gives 0 if it is right, inf if it is wrong, and a finite gradient in both
        cases. A cost of zero adds nothing: 0 * inf is 0 here.

    Example:
        To predict a dog that is absent costs 1, and 5 more if a wolf is present.

        >>> import jax
        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> child, dog, wolf = 0, 1, 2
        >>> pairs = jnp.zeros((3, 3)).at[wolf, dog].set(5.0)
        >>> logits = jnp.array([[2.0, 1.0, -3.0], [-2.0, 1.0, -3.0]])
        >>> labels = jnp.array([[1, 0, 1], [0, 1, 0]])
        >>> loss = jax.value_and_grad(rwwce.multilabel)
        >>> value, gradient = loss(logits, labels, fn=1.0, fp=1.0, fp_pairs=pairs)
        >>> print(f"{value:.3f}")
        5.772
        >>> print(gradient.round(2))
        [[-0.06  2.19 -0.48]
         [ 0.06 -0.13  0.02]]

    References:
        Y. Ho and S. Wookey, "The Real-World-Weight Cross-Entropy Loss Function", IEEE Access 8,
        2020: equation 5 for each class. For the pairs see "Several labels at once" in the
        documentation.
    """
    _arguments.reduction(reduction)
    scores = _arguments.logits("logits", logits)
    num_classes = _arguments.num_labels("logits", scores)
    truth = _arguments.binary_labels("labels", labels, scores.shape, scores.dtype)
    fn_costs = _costs.by_class("fn", fn, num_classes, scores.dtype)
    fp_costs = _costs.by_class("fp", fp, num_classes, scores.dtype)
    pair_costs = _costs.false_positives_beside(fp_pairs, num_classes, scores.dtype)
    known = _arguments.label_mask("where", where, scores.shape)
    return _multilabel(scores, truth, fn_costs, fp_costs, pair_costs, known, reduction)


@compiled(static=6)
def _multilabel(
    logits: jax.Array,
    labels: jax.Array,
    fn: ByClass,
    fp: ByClass,
    fp_pairs: FalsePositives,
    known: jax.Array | None,
    reduction: Reduction,
) -> jax.Array:
    if known is not None:
        logits, labels = (jnp.where(known, x, 0) for x in (logits, labels))
    positive = fn.of_weights(labels)
    negative = _cost_of_false_positives(labels, fp, fp_pairs) * (1 - labels)
    return _reduce(_numerics.binary_loss(logits, positive, negative), known, reduction)


def _cost_of_false_positives(labels: jax.Array, fp: ByClass, fp_pairs: FalsePositives) -> jax.Array:
    """For each class, the cost of predicting it if it is absent and the others are as given."""
    return fp.of_weights(jnp.ones_like(labels)) + fp_pairs.of_weights(labels)


def _reduce(costs: jax.Array, known: jax.Array | None, reduction: Reduction) -> jax.Array:
    if known is None:
        return reduce(jnp.sum(costs, axis=-1), None, reduction)
    costs = jnp.where(known, costs, 0)
    return reduce(jnp.sum(costs, axis=-1), jnp.any(known, axis=-1), reduction)


def multilabel_real_world_cost(
    predictions: ArrayLike,
    labels: ArrayLike,
    fn: CostsLike,
    fp: CostsLike,
    *,
    fp_pairs: CostsLike | PairCosts | None = None,
    where: ArrayLike | None = None,
) -> jax.Array:
    r"""Real World Cost of predicted sets of labels: their mean cost per example.

    An example costs ``fn[k]`` for each class k that is present and not predicted. For each class j
    that is predicted and absent it costs ``fp[j]``, plus ``fp_pairs[k, j]`` for each k that is
    present.

    Args:
        predictions: Decisions ``(..., K)`` for K >= 1 classes: booleans, or the integers 0 and 1,
            such as ``rwwce.multilabel_decide(probs, fn, fp)``, or ``logits > 0`` of a model that
            was trained with ``multilabel`` and these costs.
        labels: The truth, of the same shape: 0 or 1 of any dtype, or probabilities in [0, 1], taken
            as independent of each other, for the expected cost.
        fn: Cost of missing a class that is present: a scalar, or one per class ``(K,)``.
        fp: Cost of predicting a class that is absent, likewise.
        fp_pairs: As for ``rwwce.multilabel``.
        where: Boolean mask over the examples, of the predictions' shape without the class axis; or
            over the labels, of the predictions' shape, if some are unknown. What is left out does
            not count.

    Returns:
        The mean cost per example with a selected label, a float32 scalar (float64 if the costs
        are) in the unit of the costs; 0 if none is selected.

    Raises:
        TypeError: if the predictions are not booleans or integers.
        ValueError: if a shape does not fit the predictions'.

    Note:
        A prediction that is neither 0 nor 1, or a label outside [0, 1], gives NaN.

    Example:
        Class 0 is missed. Class 1 is falsely predicted while class 2 is present.

        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> pairs = jnp.zeros((3, 3)).at[2, 1].set(5.0)
        >>> predictions, labels = jnp.array([0, 1, 1]), jnp.array([1, 0, 1])
        >>> fn, fp = jnp.array([4.0, 2.0, 2.0]), 0.5
        >>> print(rwwce.multilabel_real_world_cost(predictions, labels, fn, fp))
        4.5
        >>> print(rwwce.multilabel_real_world_cost(predictions, labels, fn, fp, fp_pairs=pairs))
        9.5
    """
    decided = _arguments.decisions("predictions", predictions)
    num_classes = _arguments.num_labels("predictions", decided)
    dtype = _costs.cost_dtype(fn, fp, fp_pairs)
    truth = _arguments.binary_labels("labels", labels, decided.shape, dtype)
    fn_costs = _costs.by_class("fn", fn, num_classes, dtype)
    fp_costs = _costs.by_class("fp", fp, num_classes, dtype)
    pair_costs = _costs.false_positives_beside(fp_pairs, num_classes, dtype)
    known = _arguments.label_mask("where", where, decided.shape)
    return _multilabel_real_world_cost(decided, truth, fn_costs, fp_costs, pair_costs, known)


@compiled()
def _multilabel_real_world_cost(
    predictions: jax.Array,
    labels: jax.Array,
    fn: ByClass,
    fp: ByClass,
    fp_pairs: FalsePositives,
    known: jax.Array | None,
) -> jax.Array:
    if known is not None:
        labels = jnp.where(known, labels, 0)
    missed = fn.of_weights(labels)
    falsely_predicted = _cost_of_false_positives(labels, fp, fp_pairs) * (1 - labels)
    costs = jnp.where(predictions == 0, missed, falsely_predicted)
    valid = (predictions == 0) | (predictions == 1)
    return _reduce(jnp.where(valid, costs, jnp.nan), known, "mean")


def multilabel_decide(
    probs: ArrayLike, fn: CostsLike, fp: CostsLike, *, fp_pairs: CostsLike | PairCosts | None = None
) -> jax.Array:
    r"""The set of labels of least expected cost, for labels that are independent given the input.

    Class j is predicted if and only if

    .. math::
        p_j \, fn_j > (1 - p_j) \Big( fp_j + \sum_{k \neq j} p_k \, fp\_pairs_{k,j} \Big)

    which is ``p[j] > rwwce.bayes_threshold(fn[j], expected fp[j])``. Costs add up over the classes,
    so that no other set is cheaper. ``fp_pairs`` need the labels to be independent: the
    probabilities of single labels do not tell how often k is present and j is not.

    Args:
        probs: Probabilities p of K >= 1 classes, ``(..., K)``, each in [0, 1] by itself, of a
            floating dtype: the sigmoids of a model trained with plain cross-entropy. For a model
            that was trained with these costs, ``logits > 0`` is the decision already.
        fn: Cost of missing a class that is present: a scalar, or one per class ``(K,)``.
        fp: Cost of predicting a class that is absent, likewise.
        fp_pairs: As for ``rwwce.multilabel``.

    Returns:
        Decisions ``(..., K)`` in int32: 1 to predict the class, 0 not to. A tie is 0.

    Raises:
        TypeError: if the probabilities are not floating-point, or the costs not real numbers.
        ValueError: if the costs do not fit the probabilities' classes.

    Note:
        A decision cannot be NaN. It is -1, which the metric turns into NaN, if a probability is NaN
        or outside [0, 1], or a cost is negative or not finite. A class with ``fn = 0`` is never
        predicted, unless a false positive costs nothing either: then it is predicted if p > 1/2.

    Example:
        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> pairs = jnp.zeros((3, 3)).at[2, 1].set(5.0)
        >>> probs = jnp.array([[0.9, 0.6, 0.0], [0.9, 0.6, 0.3]])
        >>> print(rwwce.multilabel_decide(probs, fn=1.0, fp=1.0, fp_pairs=pairs))
        [[1 1 0]
         [1 0 0]]

    References:
        C. Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001, equation 2.
    """
    array = _arguments.floats("probs", probs)
    num_classes = _arguments.num_labels("probs", array)
    dtype = _arguments.at_least_float32(array.dtype)
    fn_costs = _costs.by_class("fn", fn, num_classes, dtype)
    fp_costs = _costs.by_class("fp", fp, num_classes, dtype)
    pair_costs = _costs.false_positives_beside(fp_pairs, num_classes, dtype)
    return _multilabel_decide(array.astype(dtype), fn_costs, fp_costs, pair_costs)


@compiled()
def _multilabel_decide(
    probs: jax.Array, fn: ByClass, fp: ByClass, fp_pairs: FalsePositives
) -> jax.Array:
    valid = (probs >= 0) & (probs <= 1)
    costs = _cost_of_false_positives(jnp.where(valid, probs, jnp.nan), fp, fp_pairs)
    threshold = bayes_threshold(fn.of_weights(jnp.ones_like(probs)), costs)
    decided = (probs > threshold).astype(jnp.int32)
    return jnp.where(valid & ~jnp.isnan(threshold), decided, -1)
