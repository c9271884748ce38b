"""The two costs ``fn`` and ``fp``, made from a cost matrix."""

import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from typing import ClassVar, get_args

import jax
import jax.numpy as jnp
import numpy as np

from rwwce_jax._checks import arguments
from rwwce_jax._checks.types import CostsLike, Split
from rwwce_jax.costs._names import axes_of_table, refuse_other_integers
from rwwce_jax.costs._names import class_names as checked_names
from rwwce_jax.costs._pairs import PairCosts, describe
from rwwce_jax.costs._pytrees import register_dataclass


@register_dataclass
@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Costs:
    """The two costs that the losses, metrics and decisions take, in their order: ``*costs``.

    Both are marginal: what a mistake costs more than the right decision, per mistake and in any
    unit. An example of class k that is predicted as j costs ``fn[k] + fp[k, j]``; one that is
    predicted as k costs nothing. Costs may be numbers, lists, nested lists, arrays or tracers
    (``CostsLike`` in signatures), and are differentiable.

    An array holds costs of classes, even if there are as many examples as classes. For costs that
    differ from example to example, the categorical losses and metrics take ``rwwce.ExampleCosts``
    in place of ``fn`` or ``fp``. What decides without knowing the truth cannot use them.

    Attributes:
        fn: Cost of a false negative, by true class: a scalar, or one per class, ``(K,)``.
        fp: Extra cost of a false positive: ``fp[k, j]``, ``(K, K)``, for predicting j when the
            truth is k. Rows are the truth, columns the prediction. The diagonal is never used. Or a
            scalar, the same for every wrong class; or ``rwwce.pair_costs``, for a few pairs among
            many classes.
        class_names: The names of the classes, for the ``repr``, or None.

    Example:
        >>> import rwwce_jax as rwwce
        >>> rwwce.Costs(fn=[1.0, 2.0], fp=[[0.0, 4.0], [0.0, 0.0]])
        Costs of 2 classes, what each mistake costs:
          true 0 predicted 1: 5.0
          true 1 predicted 0: 2.0
    """

    fn: CostsLike
    fp: CostsLike | PairCosts
    # Static data of the pytree.
    class_names: tuple[str, ...] | None = dataclasses.field(
        default=None, kw_only=True, metadata={"static": True}
    )
    not_an_array: ClassVar[str] = "which holds both fn and fp: pass *costs in place of the two"

    def __iter__(self) -> Iterator[CostsLike | PairCosts]:
        """``fn, fp``, so that ``*costs`` gives a function both."""
        return iter((self.fn, self.fp))

    def __repr__(self) -> str:
        """One line per costly mistake, the most costly first, if ``fp`` is a matrix."""
        leaves = jax.tree.leaves((self.fn, self.fp))
        known = not any(isinstance(x, jax.core.Tracer) for x in leaves)
        is_array = known and not isinstance(self.fp, PairCosts)
        fn, fp = (np.asarray(x) if is_array else np.zeros(()) for x in (self.fn, self.fp))
        if fp.ndim != 2 or fn.ndim > 1:
            return f"Costs(fn={self.fn!r}, fp={self.fp!r})"
        mistakes = fp + np.broadcast_to(fn[..., None], fp.shape)
        true, predicted = np.nonzero(~np.eye(len(fp), dtype=bool))
        title = f"Costs of {len(fp)} classes, what each mistake costs:"
        costs = mistakes[true, predicted]
        return "\n  ".join([title, *describe(true, predicted, costs, self.class_names)])


def costs_from_matrix(
    matrix: CostsLike, *, class_names: Sequence[str] | None = None, split: Split = "cheapest"
) -> Costs:
    r"""Costs of mistakes, from a matrix with the cost of every decision.

    .. math::
        fn_k + fp_{k,j} = C_{k,j} - C_{k,k}, \quad j \neq k

    Many ``fn`` and ``fp`` satisfy this. Real World Cost and the decisions are the same for all of
    them. The loss and its minimum are not:

    - ``"cheapest"``, the paper's form: ``fn[k]`` is the cheapest mistake of row k, and ``fp`` what
      the others cost more than that. The model is pulled towards the truth as by cross-entropy, and
      is also pushed away from the costly mistakes. With three or more classes its argmax is not
      always the cheapest decision: use ``rwwce.decide`` on ``rwwce.categorical_posterior``.
    - ``"fp_only"``: all costs in ``fp``, and ``fn = 0``. The model is only pushed away from its
      mistakes. At the minimum of the loss, the argmax is the decision of least expected cost.

    Args:
        matrix: ``matrix[k, j]`` is the cost of deciding j when the truth is k, ``(K, K)``. Rows are
            the truth, columns the decision. Benefits are negative costs: only differences within a
            row count. A pandas ``DataFrame`` brings the names of the classes; its index and its
            columns must be the same, in the same order.
        class_names: The names of the K classes, strings, for messages and for the ``repr``.
            Default: those of a ``DataFrame``, else none. The id of a class is its place. Names
            that are integers must therefore be 0 to K - 1, in their order: sorted as strings, "10"
            comes before "2".
        split: ``"cheapest"`` or ``"fp_only"``.

    Returns:
        ``Costs(fn, fp)`` with ``fn`` of shape ``(K,)`` and ``fp`` of shape ``(K, K)``, its diagonal
        0: float32 (float64 where JAX's default is). Its ``repr`` has one line per costly mistake,
        the most costly first. Read it: nothing can detect a matrix that is the wrong way round.

    Raises:
        ValueError: if the matrix is not square or smaller than 2 x 2; naming row and column, if a
            cost is NaN or infinite, or a mistake is cheaper than the right decision of its row; if
            no mistake costs anything; if there are not K different names; or if the split is
            unknown.
        TypeError: if the costs are not real numbers, or the names no strings.

    Warns:
        UserWarning: naming the classes of which no mistake costs anything. A class that nothing
            depends on may have such a row. A table of weights, with ones on and off the diagonal,
            has many: it holds no costs.

    Example:
        To grant credit to a customer who repays it earns 100.

        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> matrix = [[0.0, 2000.0, 900.0], [0.0, -100.0, -40.0], [0.0, 20.0, -60.0]]
        >>> names = ["refuse", "grant", "half"]
        >>> costs = rwwce.costs_from_matrix(matrix, class_names=names)
        >>> costs
        Costs of 3 classes, what each mistake costs:
          true refuse predicted grant: 2000.0
          true refuse predicted half: 900.0
          true grant predicted refuse: 100.0
          true half predicted grant: 80.0
          true grant predicted half: 60.0
          true half predicted refuse: 60.0
        >>> print(costs.fn)
        [900.  60.  60.]
        >>> print(f"{rwwce.categorical(jnp.zeros(3), 0, *costs):.1f}")
        1434.8

    References:
        Y. Ho and S. Wookey, "The Real-World-Weight Cross-Entropy Loss Function", IEEE Access 8,
        2020, section IV. C. Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001.
    """
    arguments.one_of("split", split, get_args(Split))
    array = np.asarray(arguments.as_array("matrix", matrix))
    if array.dtype.kind not in "iuf" and not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"matrix must be costs, integers or floats, got dtype {array.dtype}.")
    if array.ndim != 2 or array.shape[0] != array.shape[1] or len(array) < 2:
        raise ValueError(f"matrix must be (K, K) with K >= 2 classes, got shape {array.shape}.")
    names = _names_of(matrix, class_names, len(array))

    full = array.astype(np.float64)
    if (wrong := np.argwhere(~np.isfinite(full))).size:
        at = _place(wrong[0], names)
        raise ValueError(f"{at} must be a finite cost, got {full[tuple(wrong[0])]}.")
    mistakes = full - full.diagonal()[:, None]
    if (wrong := np.argwhere(mistakes < 0)).size:
        row, column = wrong[0]
        raise ValueError(
            f"{_place(wrong[0], names)} must not cost less than the right decision of its row, "
            f"{full[row, row]}, got {full[row, column]}."
        )
    if not mistakes.any():
        raise ValueError("matrix must hold a mistake that costs more than the right decision.")
    if (free := np.flatnonzero(~mistakes.any(axis=1))).size:
        listed = ", ".join(repr(names[k]) if names else str(k) for k in free)
        warnings.warn(
            f"matrix has classes of which no mistake costs more than the right decision: {listed}; "
            "weights of pairs, with ones on the diagonal, are no costs.",
            stacklevel=2,
        )

    dtype = jax.dtypes.canonicalize_dtype(np.float64)
    if (wrong := np.argwhere(mistakes > np.finfo(dtype).max)).size:
        raise ValueError(f"{_place(wrong[0], names)} must be a cost within the range of {dtype}.")
    # Split in the dtype of the result, so that fn + fp gives back the matrix.
    mistakes = mistakes.astype(dtype)
    fn = np.zeros_like(mistakes, shape=len(mistakes))
    if split == "cheapest":
        np.fill_diagonal(mistakes, np.inf)
        fn = mistakes.min(axis=1)
        mistakes -= fn[:, None]
        np.fill_diagonal(mistakes, 0)
    return Costs(jnp.asarray(fn), jnp.asarray(mistakes), class_names=names)


def _names_of(
    matrix: object, class_names: Sequence[str] | None, number: int
) -> tuple[str, ...] | None:
    """The names that are given, or else those of the rows and columns of a DataFrame."""
    names = None if class_names is None else checked_names(class_names, number)
    axes = axes_of_table(matrix)
    if axes is None:
        return names
    rows, columns = axes
    if rows != columns:
        raise ValueError(
            "matrix must have the same classes in the same order as rows, the truth, and columns, "
            f"the decision, got {rows!r:.80} and {columns!r:.80}; give matrix.loc[names, names]."
        )
    refuse_other_integers("matrix", rows)
    if names is not None and rows not in (names, tuple(map(str, range(len(rows))))):
        raise ValueError(
            f"class_names must be those of the matrix, {rows!r:.80}, or none, got {names!r:.80}."
        )
    return rows if names is None else names


def _place(index: np.ndarray, names: Sequence[str] | None) -> str:
    row, column = (int(i) for i in index)
    named = "" if names is None else f" (true {names[row]!r}, predicted {names[column]!r})"
    return f"matrix[{row}, {column}]{named}"
