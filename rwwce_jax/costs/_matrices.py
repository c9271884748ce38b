"""Costs made from a matrix with the cost of every decision."""

import warnings
from collections.abc import Sequence
from typing import SupportsIndex, get_args

import jax
import jax.numpy as jnp
import numpy as np

from rwwce_jax._checks import CostsLike, arguments
from rwwce_jax._checks.types import Split
from rwwce_jax.costs import _names
from rwwce_jax.costs._convert import cost_dtype
from rwwce_jax.costs._costs import Costs


def costs_from_matrix(
    matrix: CostsLike,
    *,
    num_actions: SupportsIndex = 0,
    class_names: Sequence[str] | None = None,
    split: Split = "cheapest",
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
        matrix: ``matrix[k, j]`` is the cost of deciding j when the truth is k, ``(K, K)``, or
            ``(K, K + num_actions)``. Rows are the truth, columns the decision. Benefits are
            negative costs: only differences within a row count. A pandas ``DataFrame`` brings the
            names of the classes: the columns of the classes are found by those of the rows, in any
            order, and further columns with names are those of actions.
        num_actions: How many columns after those of the classes are decisions that are no class,
            such as to ask somebody. May be left out with a ``DataFrame`` that names them.
        class_names: The names of the K classes, strings, for messages and for the ``repr``.
            Default: those of a ``DataFrame``, else none. The id of a class is its place. Names
            that are integers must therefore be 0 to K - 1, in their order: sorted as strings, "10"
            comes before "2".
        split: ``"cheapest"`` or ``"fp_only"``.

    Returns:
        ``Costs`` with ``fn`` of shape ``(K,)``, ``fp`` of shape ``(K, K)``, its diagonal 0,
        ``right``, what the right decisions cost, ``(K,)``, and ``actions``, ``(K, num_actions)``
        over the right decision, or None: float32 (float64 where JAX's default is). Its ``repr`` has
        one line per costly mistake, the most costly first. Read it: nothing can detect a matrix
        that is the wrong way round.

    Raises:
        ValueError: if the matrix is not square but for the actions, or smaller than 2 x 2; naming
            row and column, if a cost is NaN or infinite, or a mistake or action is cheaper than the
            right decision of its row; if no mistake costs anything; if there are not K different
            names, if a class has no column, or if the names are integers but not the ids in their
            order; or if the split is unknown.
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
        >>> print(costs.right)
        [   0. -100.  -60.]

    References:
        Y. Ho and S. Wookey, "The Real-World-Weight Cross-Entropy Loss Function", IEEE Access 8,
        2020, section IV. C. Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001.
    """
    arguments.one_of("split", split, get_args(Split))
    num_actions = arguments.integer("num_actions", num_actions, least=0)
    full, names = _full_matrix(matrix, num_actions, class_names)
    size = len(full)
    if (wrong := np.argwhere(~np.isfinite(full))).size:
        raise ValueError(f"{_place(wrong[0], names)} must be a finite cost, got {full[*wrong[0]]}.")
    right = full.diagonal()
    above = full - right[:, None]
    if (wrong := np.argwhere(above < 0)).size:
        raise ValueError(
            f"{_place(wrong[0], names)} must not cost less than the right decision of its row, "
            f"{right[wrong[0, 0]]}, got {full[*wrong[0]]}."
        )
    mistakes = above[:, :size]
    if not mistakes.any():
        raise ValueError("matrix must hold a mistake that costs more than the right decision.")
    if (free := np.flatnonzero(~mistakes.any(axis=1))).size:
        warnings.warn(
            "matrix has classes of which no mistake costs more than the right decision: "
            f"{', '.join(names[k] if names else str(k) for k in free)}; weights of pairs, with "
            "ones on the diagonal, are no costs.",
            stacklevel=2,
        )

    dtype = jax.dtypes.canonicalize_dtype(np.float64)
    if (wrong := np.argwhere(np.maximum(above, np.abs(full)) > np.finfo(dtype).max)).size:
        raise ValueError(f"{_place(wrong[0], names)} must be a cost within the range of {dtype}.")
    # Split in the dtype of the result, so that fn + fp gives back the matrix.
    mistakes = mistakes.astype(dtype)
    np.fill_diagonal(mistakes, np.inf)
    fn = mistakes.min(axis=1) if split == "cheapest" else np.zeros(size, dtype)
    mistakes -= fn[:, None]
    np.fill_diagonal(mistakes, 0)
    return Costs(
        jnp.asarray(fn),
        jnp.asarray(mistakes),
        jnp.asarray(right, dtype),
        jnp.asarray(above[:, size:], dtype) if len(above.T) > size else None,
        class_names=names[:size] or None,
        action_names=names[size:] or None,
    )


def _full_matrix(
    matrix: CostsLike, num_actions: int, class_names: Sequence[str] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The costs in double precision, classes before actions; and the names of both, if known."""
    full = arguments.known_costs("matrix", matrix)
    rows, columns = _names.axes_of_table(matrix)
    names = rows
    if rows:
        places = _names.places_of_columns(rows, columns)
        full, names = full[:, places], tuple(columns[place] for place in places)
        # Columns that have only numbers are not said to be actions.
        if _names.integers(names[len(rows) :]) is None:
            num_actions = num_actions or len(names) - len(rows)
    size = len(full) if full.ndim == 2 else 0
    if size < 2 or full.shape[1] != size + num_actions:
        raise ValueError(
            f"matrix must be (K, K + num_actions) with K >= 2 classes and num_actions="
            f"{num_actions}, got shape {full.shape}."
        )
    if class_names is None:
        _names.refuse_other_integers("matrix", rows)
        return full, names
    given = _names.checked_names(class_names, size)
    if rows not in ((), given) and _names.integers(rows) != sorted(_names.integers(rows) or [-1]):
        raise ValueError(
            f"class_names must be those of the matrix, {rows!r:.80}, or none, got {given!r:.80}."
        )
    return full, (*given, *(names[size:] or map(str, range(size, size + num_actions))))


def _place(index: np.ndarray, names: Sequence[str]) -> str:
    row, column = index
    named = f" (true {names[row]!r}, predicted {names[column]!r})" if names else ""
    return f"matrix[{row}, {column}]{named}"


def binary_costs(matrix: CostsLike) -> Costs:
    r"""Costs of decisions between two classes, from the cost of all four outcomes of each example.

    .. math::
        fn = C_{1,0} - C_{1,1}, \quad fp = C_{0,1} - C_{0,0}

    Args:
        matrix: ``matrix[..., k, j]`` is the cost of deciding j where the truth is k, ``(..., 2,
            2)``: one matrix for all examples, or one for each. Rows are the truth, columns the
            decision, of class 0, the negative one, and class 1. Benefits are negative costs.

    Returns:
        ``Costs(fn, fp, right)`` for the functions of two classes: ``fn`` and ``fp`` of shape
        ``(...)``, and ``right``, what the right decisions cost, ``(..., 2)`` by true class; float32
        (float64 if the matrix is).

    Raises:
        TypeError: if the costs are not real numbers.
        ValueError: if the matrix is not ``(..., 2, 2)``.

    Note:
        ``fn`` or ``fp`` is negative where a mistake costs less than the right decision, as to stop
        a fraud of 3 at a fee of 5. ``rwwce.bayes_threshold`` decides by such costs as well; a loss
        cannot be trained with them. NaN in, NaN out.

    Example:
        To let a payment pass earns 2 %, or loses all of it to fraud. To stop it costs a fee of 5,
        and of a fraud it saves a fine of 50.

        >>> import numpy as np
        >>> import rwwce_jax as rwwce
        >>> amounts = np.array([20.0, 400.0])
        >>> matrix = np.empty((2, 2, 2))
        >>> matrix[:, 0, 0], matrix[:, 0, 1] = -0.02 * amounts, 5.0
        >>> matrix[:, 1, 0], matrix[:, 1, 1] = amounts, -50.0
        >>> costs = rwwce.binary_costs(matrix)
        >>> print(costs.fn, costs.fp)
        [ 70. 450.] [ 5.4 13. ]
        >>> print(rwwce.bayes_threshold(*costs).round(3))
        [0.072 0.028]

    References:
        C. Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001, section 1.
    """
    _names.refuse_other_order("matrix", matrix)
    array = arguments.as_array("matrix", matrix)
    if array.shape[-2:] != (2, 2):
        raise ValueError(f"matrix must be (..., 2, 2), got shape {array.shape}.")
    dtype = cost_dtype(array)
    if isinstance(array, np.ndarray):
        costs: jax.Array | np.ndarray = arguments.known_costs("matrix", array)
    else:
        costs = arguments.costs("matrix", array, dtype)
    right = costs.diagonal(axis1=-2, axis2=-1)
    fn, fp = costs[..., 1, 0] - right[..., 1], costs[..., 0, 1] - right[..., 0]
    return Costs(*(jnp.asarray(x, dtype) for x in (fn, fp, right)))
