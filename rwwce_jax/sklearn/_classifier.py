"""A classifier for scikit-learn that decides by least expected cost."""

from collections.abc import Hashable, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import check_array, column_or_1d, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from rwwce_jax._checks import CostsLike
from rwwce_jax.costs import PairCosts, check_costs
from rwwce_jax.costs._convert import GivenCosts
from rwwce_jax.decisions import expected_cost
from rwwce_jax.sklearn._names import classes_of, ids_of, names_of_actions


def _predict_proba_of(self: "LeastCostClassifier") -> Any:
    """The estimator's ``predict_proba``. An estimator without it says why there is none."""
    return getattr(self, "estimator_", self.estimator).predict_proba


class LeastCostClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    r"""Predicts the decision of least expected cost, from the probabilities of any classifier.

    .. math::
        \arg\min_j \sum_{k \neq j} p_k \, (fn_k + fp_{k,j})

    It fits a clone of the estimator, and needs its ``predict_proba``. The probabilities should be
    those of a model that was not trained with costs, and calibrated: wrap the estimator in
    ``sklearn.calibration.CalibratedClassifierCV`` if it is not.

    Args:
        estimator: A classifier with ``predict_proba``. One that is fitted already goes in as
            ``sklearn.frozen.FrozenEstimator(model)``.
        fn: Cost of a false negative: a scalar, or ``(K,)`` by true class. See ``rwwce.Costs``. None
            if each example has its own, which ``predict`` takes.
        fp: Extra cost of a false positive: a scalar, ``(K, K)``, or ``rwwce.pair_costs``; or None,
            likewise. For two classes with one cost each, the second is the positive one.
        labels: The K classes in the order of the costs. Default: ``classes_``. A class that ``fit``
            never sees has probability 0, and may still be decided.
        actions: What decisions that are no class cost, by true class, over the right decision:
            ``(K, A)``, or one number for an action that costs the same whatever the truth is.
        action_names: What is predicted for the actions, of the kind of the classes. Default:
            K, K + 1, ..., where the classes are 0 to K - 1.

    Attributes:
        estimator_: The fitted classifier.
        classes_: Its classes, in the order of the columns of ``predict_proba``.

    Raises:
        TypeError: by ``fit``, if the costs are not real numbers.
        ValueError: by ``fit``, before the estimator is fitted, if costs, labels and actions do not
            fit each other, a cost is negative, or ``y`` holds a class that is not in ``labels``.

    Example:
        >>> import numpy as np
        >>> from sklearn.linear_model import LogisticRegression
        >>> from rwwce_jax.sklearn import LeastCostClassifier
        >>> X = np.array([[-2.0], [-1.0], [1.0], [2.0]])
        >>> y = np.array(["good", "good", "bad", "bad"])
        >>> model = LeastCostClassifier(LogisticRegression(), 10.0, 1.0, labels=["good", "bad"])
        >>> print(model.fit(X, y).predict([[-3.0], [-0.5]]))
        ['good' 'bad']

    References:
        C. Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001, equation 1. C. K. Chow,
        "On Optimum Recognition Error and Reject Tradeoff", 1970, for the actions.
    """

    def __init__(
        self,
        estimator: Any,
        fn: CostsLike | None,
        fp: CostsLike | PairCosts | None,
        *,
        labels: Sequence[Hashable] | np.ndarray | None = None,
        actions: CostsLike | None = None,
        action_names: Sequence[Hashable] | np.ndarray | None = None,
    ) -> None:
        """Keeps the arguments as they are, as scikit-learn wants it."""
        self.estimator = estimator
        self.fn = fn
        self.fp = fp
        self.labels = labels
        self.actions = actions
        self.action_names = action_names

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Validates the costs, then fits a clone of the estimator; weights are passed to it."""
        validate_data(self, X, y, skip_check_array=True)
        truth = column_or_1d(check_array(y, ensure_2d=False, dtype=None, input_name="y"))
        check_classification_targets(truth)
        self._prepare(np.unique(truth))
        given = {} if sample_weight is None else {"sample_weight": sample_weight}
        self.estimator_ = clone(self.estimator).fit(X, y, **given)
        self.classes_ = self.estimator_.classes_
        return self

    def _prepare(self, seen: np.ndarray) -> None:
        """Finds the names of the decisions, and the costs by true class: of misses, of others."""
        self._labels = classes_of(seen if self.labels is None else self.labels)
        ids_of("y", seen, self._labels)
        fn, fp, _, num_classes = GivenCosts.shared(self.fn, self.fp, "to predict")
        if self.fn is not None or self.fp is not None:
            check_costs(fn, fp, actions=self.actions if num_classes else None)
        size = len(self._labels)
        self._is_binary = size == 2 and num_classes is None
        if self._is_binary:
            fn, fp = [0.0, fn], [[0.0, fp], [0.0, 0.0]]
        # Rows of certain truths: what each decision costs, on top of the right one.
        certain = np.eye(size, dtype=np.float32)
        self._misses, self._extra, actions = (
            np.asarray(expected_cost(certain, *costs, actions=given), np.float64)
            for *costs, given in ((fn, 0, None), (0, fp, None), (0, 0, self.actions))
        )
        self._actions = actions[:, size:]
        names = names_of_actions(self.action_names, self._labels, self._actions.shape[1])
        self._names = np.asarray([*self._labels, *names])

    @available_if(_predict_proba_of)
    def predict_proba(self, X: Any) -> np.ndarray:
        """The probabilities of the estimator, (N, classes), in the order of ``classes_``."""
        check_is_fitted(self, "estimator_")
        return np.asarray(self.estimator_.predict_proba(X))

    def predict(self, X: Any, *, fn: Any = None, fp: Any = None) -> np.ndarray:
        """The decisions of least expected cost, (N,): classes, or names of actions.

        Args:
            X: The examples, as the estimator takes them.
            fn: The cost of missing each example, ``(N,)``, in place of ``fn``.
            fp: The extra cost of each example, in place of ``fp``: ``(N,)`` for two classes,
                ``(N, K)`` by predicted class for more.
        """
        probs = self.predict_proba(X)
        if np.isnan(np.sum(probs)):
            raise ValueError("predict_proba of the estimator must return numbers, got NaN.")
        p = np.zeros((len(probs), len(self._labels)))
        p[:, ids_of("classes_", self.classes_, self._labels)] = probs
        others = p.sum(axis=1, keepdims=True) - p
        misses, extra = p @ self._misses, p @ self._extra
        # Of two classes with one cost each, only the second can be missed.
        is_binary = self._is_binary and np.ndim(fp) < 2
        negative, positive = ([1, 0], [0, 1]) if is_binary else (1, 1)
        if fn is not None or self.fn is None:
            misses = _of_each("fn", fn, p.shape[:1]) * others * negative
        if fp is not None or self.fp is None:
            extra = _of_each("fp", fp, p.shape[: 1 if is_binary else 2]) * others * positive
        return self._names[np.argmin(np.hstack([misses + extra, p @ self._actions]), axis=1)]

    def __sklearn_tags__(self) -> Any:
        """What the estimator takes, this takes too."""
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags


def _of_each(name: str, costs: Any, expected: tuple[int, ...]) -> np.ndarray:
    """Costs of the examples that came with them, as rows, or as a column if they have one axis."""
    if costs is None:
        raise ValueError(f"{name} must come with the examples, got None: predict(X, {name}=...).")
    array = np.asarray(costs, np.float64)
    if array.shape not in ((), expected) or not np.all(array >= 0):
        raise ValueError(
            f"{name} must be costs >= 0 of the examples, a scalar or of shape {expected}, got "
            f"{array.tolist()!r:.80}."
        )
    return array if array.ndim > 1 else array.reshape(-1, 1)
