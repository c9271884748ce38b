"""Real World Cost of several labels per example."""

import jax
from jax.typing import ArrayLike

from rwwce_jax._checks import CostsLike, CountedLabels, Reduction, arguments
from rwwce_jax._checks.labels import binary_decisions, binary_labels
from rwwce_jax.costs import PairCosts
from rwwce_jax.costs._convert import cost_dtype, of_labels
from rwwce_jax.costs._records import BinaryExamples
from rwwce_jax.metrics._real_world_cost import binary_cost


def multilabel_real_world_cost(
    predictions: ArrayLike,
    labels: ArrayLike,
    fn: CostsLike,
    fp: CostsLike,
    *,
    fp_pairs: CostsLike | PairCosts | None = None,
    where: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    reduction: Reduction = "mean",
) -> jax.Array:
    r"""Real World Cost of predicted sets of labels: their mean cost per example.

    An example costs ``fn[k]`` for each class k that is present and not predicted. For each class j
    that is predicted and absent it costs ``fp[j]``, plus ``fp_pairs[k, j]`` for each k that is
    present. It is what the decisions cost above what the right decisions cost.

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
        weights: One number per example, 0 or more, of the predictions' shape without the class
            axis: an example of weight w counts as w examples, and the mean divides by the sum of
            the weights. Default: 1 each.
        reduction: ``"mean"``, ``"sum"``, or ``"none"`` for the cost of each decision, times its
            weight, and 0 where the mask leaves it out.

    Returns:
        The mean cost per example with a selected label (0 if there is none), their sum, or for
        ``"none"`` one cost per example, of the predictions' shape without the class axis. In the
        unit of the costs; float32, or float64 if the costs are.

    Raises:
        TypeError: if the predictions are not booleans or integers.
        ValueError: if a shape does not fit the predictions', or the reduction is unknown.

    Note:
        A prediction that is neither 0 nor 1, or a label outside [0, 1], gives NaN, whatever its
        weight, and so does a weight that is negative, infinite or NaN.

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
    arguments.reduction(reduction)
    decided = binary_decisions(predictions)
    num_classes = arguments.num_labels("predictions", decided.shape)
    dtype = cost_dtype(fn, fp, fp_pairs)
    truth = binary_labels("labels", labels, decided.shape, dtype)
    costs = of_labels(fn, fp, fp_pairs, num_classes, dtype)
    counted = CountedLabels.of(where, weights, decided.shape, dtype)
    return binary_cost(decided, BinaryExamples(truth, counted, *costs), reduction=reduction)
