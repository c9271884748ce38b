"""The loss of several labels per example.

The paper leaves this case open (end of section III): costs for all pairs of true and predicted sets
are a matrix of :math:`2^K` by :math:`2^K`. Here the cost of a set is the sum over its mistakes, and
the cost of a mistake is a sum over the classes that are present.
"""

import jax
from jax.typing import ArrayLike

from rwwce_jax._checks import CostsLike, CountedLabels, Reduction, arguments
from rwwce_jax._checks.labels import binary_labels
from rwwce_jax.costs import PairCosts
from rwwce_jax.costs._convert import of_labels
from rwwce_jax.costs._records import BinaryExamples
from rwwce_jax.losses._binary import reduced_loss


def multilabel(
    logits: ArrayLike,
    labels: ArrayLike,
    fn: CostsLike,
    fp: CostsLike,
    *,
    fp_pairs: CostsLike | PairCosts | None = None,
    where: ArrayLike | None = None,
    weights: ArrayLike | None = None,
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
        weights: One number per example, 0 or more, of the logits' shape without the class axis: an
            example of weight w counts as w examples, and the mean divides by the sum of the weights
            of the examples with a selected label. Default: 1 each.
        reduction: ``"mean"`` over the examples with a selected label (0 if there are none),
            ``"sum"``, or ``"none"`` for one loss per example, times its weight.

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

        A weight that is negative, infinite or NaN gives NaN. An infinite loss of weight 0 counts 0,
        and NaN stays NaN: leave out by ``where`` what is no example.

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
    arguments.reduction(reduction)
    scores = arguments.logits("logits", logits)
    num_classes = arguments.num_labels("logits", scores.shape)
    truth = binary_labels("labels", labels, scores.shape, scores.dtype)
    costs = of_labels(fn, fp, fp_pairs, num_classes, scores.dtype)
    counted = CountedLabels.of(where, weights, scores.shape, scores.dtype)
    return reduced_loss(scores, BinaryExamples(truth, counted, *costs), reduction=reduction)
