"""All that is known of the costs of some classes, to be passed on as ``*costs``."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import jax
import numpy as np

from rwwce_jax._checks import CostsLike, arguments
from rwwce_jax.costs._pairs import PairCosts, describe
from rwwce_jax.costs._pytrees import pytree_dataclass


@pytree_dataclass("class_names", "action_names")
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
        right: What the right decisions cost, negative where they gain: a scalar, or by class, as
            ``costs_from_matrix`` and ``binary_costs`` return it. The metrics leave it out, and
            ``rwwce.savings`` takes it. None if it is not known.
        actions: What decisions that are no class cost, such as to ask somebody, by true class, over
            the right decision: ``(K, A)``. A scalar is one action that costs the same for every
            truth. Pass it beside ``*costs``, as ``actions=costs.actions``. None without actions.
        class_names: The names of the classes, for ``ordered`` and the ``repr``, or None.
        action_names: The names of the actions, for the ``repr``, or None.

    Example:
        >>> import rwwce_jax as rwwce
        >>> rwwce.Costs(fn=[1.0, 2.0], fp=[[0.0, 4.0], [0.0, 0.0]])
        Costs of 2 classes, what each mistake costs:
          true 0 predicted 1: 5.0
          true 1 predicted 0: 2.0
    """

    fn: CostsLike
    fp: CostsLike | PairCosts
    right: CostsLike | None = None
    actions: CostsLike | None = None
    _: dataclasses.KW_ONLY
    class_names: tuple[str, ...] | None = None
    action_names: tuple[str, ...] | None = None
    not_an_array: ClassVar[str] = "which holds both fn and fp: pass *costs in place of the two"

    def __iter__(self) -> Iterator[CostsLike | PairCosts]:
        """``fn, fp``, so that ``*costs`` gives a function both."""
        return iter((self.fn, self.fp))

    def __repr__(self) -> str:
        """One line per costly mistake or action, the most costly first, if ``fp`` is a matrix."""
        given = {name: getattr(self, name) for name in ("fn", "fp", "right", "actions")}
        known = not any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(given))
        is_array = known and not isinstance(self.fp, PairCosts)
        fn, fp = (np.asarray(x) if is_array else np.zeros(()) for x in (self.fn, self.fp))
        if fp.ndim != 2 or fn.ndim > 1:
            listed = (f"{name}={x!r}" for name, x in given.items() if x is not None)
            return f"Costs({', '.join(listed)})"
        size = len(fp)
        mistakes = np.where(np.eye(size, dtype=bool), 0, fp + fn[..., None])
        actions = np.zeros((size, 0)) if self.actions is None else np.asarray(self.actions)
        mistakes = np.hstack([mistakes, np.ones((size, 1)) * actions])
        title = f"Costs of {size} classes, what each mistake costs:"
        true, decided = np.nonzero(mistakes)
        ids = range(mistakes.shape[1])
        names = [*(self.class_names or ids[:size]), *(self.action_names or ids[size:])]
        return describe(title, names, true, decided, mistakes[true, decided])

    def ordered(self, class_names: Iterable[object]) -> "Costs":
        """The same costs, for the classes in this order.

        Scikit-learn sorts the classes: the columns of ``predict_proba`` are in the order of
        ``classes_``, whatever the order of the costs.

        Args:
            class_names: The names of these costs in the order that the classes should have, such as
                ``model.classes_``.

        Returns:
            ``Costs`` whose ids count in this order. What is one number for all classes stays so.

        Raises:
            ValueError: if the costs have no names, or others; or if they are not of so many
                classes.

        Example:
            >>> import numpy as np
            >>> import rwwce_jax as rwwce
            >>> matrix = [[0.0, 1.0], [20.0, 0.0]]
            >>> costs = rwwce.costs_from_matrix(matrix, class_names=["keep", "call"])
            >>> classes = np.array(["call", "keep"])  # as in model.classes_
            >>> probs = np.array([[0.1, 0.9]])  # as from model.predict_proba
            >>> print(classes[rwwce.decide(probs, *costs.ordered(classes))])
            ['call']
        """
        names, own = tuple(map(str, class_names)), self.class_names
        if own is None or sorted(names) != sorted(own):
            raise ValueError(
                f"class_names must be those of the costs, {own!r:.80}, in any order, got "
                f"{names!r:.80}."
            )
        order = np.array([own.index(name) for name in names])

        def in_order(name: str, axes: int = 1) -> Any:
            """Costs of which the first ``axes`` axes are those of the classes, or one for all."""
            value = getattr(self, name)
            if isinstance(value, PairCosts):
                return value.ordered(order)
            if value is None or (array := arguments.as_array(name, value)).ndim == 0:
                return value
            arguments.same_shape(name, array, (len(own),) * axes + array.shape[axes:], "shape")
            return array[order][:, order] if axes == 2 else array[order]

        by_class = {name: in_order(name) for name in ("fn", "right", "actions")}
        return dataclasses.replace(self, fp=in_order("fp", axes=2), class_names=names, **by_class)
