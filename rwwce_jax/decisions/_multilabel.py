"""The cheapest set of labels."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rwwce_jax._checks import CostsLike, arguments, compiled
from rwwce_jax.costs import PairCosts
from rwwce_jax.costs._convert import of_labels
from rwwce_jax.costs._operators import CostOperator
from rwwce_jax.decisions._thresholds import bayes_threshold


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
        or outside [0, 1], a cost is not finite, or both costs of a class are negative. If only its
        false positive is, the class is predicted, and if only its miss is, it is not. A class with
        ``fn = 0`` is never predicted, unless a false positive costs nothing either: then it is
        predicted if p > 1/2.

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
    array = arguments.floats("probs", probs)
    num_classes = arguments.num_labels("probs", array.shape)
    dtype = arguments.at_least_float32(array.dtype)
    costs = of_labels(fn, fp, fp_pairs, num_classes, dtype)
    return _multilabel_decide(array.astype(dtype), *costs)


@compiled
def _multilabel_decide(
    probs: jax.Array, fn: jax.Array, fp: jax.Array, fp_pairs: CostOperator
) -> jax.Array:
    valid = (probs >= 0) & (probs <= 1)
    fn, fp = (jnp.broadcast_to(x, probs.shape) for x in (fn, fp))
    threshold = bayes_threshold(fn, fp + fp_pairs.weighted_sum(jnp.where(valid, probs, jnp.nan)))
    decided = (probs > threshold).astype(jnp.int32)
    return jnp.where(valid & ~jnp.isnan(threshold), decided, -1)
