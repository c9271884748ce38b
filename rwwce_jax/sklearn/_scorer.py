"""Real World Cost as a scorer for scikit-learn, which passes the truth first."""

import dataclasses
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from sklearn import metrics

from rwwce_jax._checks import CostsLike, Shape, arguments
from rwwce_jax.costs import ExampleCosts, PairCosts
from rwwce_jax.costs._convert import GivenCosts, actions_by_class, as_numpy
from rwwce_jax.metrics import categorical_real_world_cost
from rwwce_jax.sklearn._names import classes_of, ids_of, names_of_actions


def real_world_cost_scorer(
    fn: CostsLike | None,
    fp: CostsLike | PairCosts | None,
    *,
    labels: Sequence[Hashable] | np.ndarray | None = None,
    actions: CostsLike | None = None,
    action_names: Sequence[Hashable] | np.ndarray | None = None,
) -> Callable[..., Any]:
    """A scorer for scikit-learn: minus the Real World Cost, so that more is better.

    The score is minus what the decisions cost above what the right decisions cost.

    Pass it as ``scoring`` to ``cross_val_score``, ``GridSearchCV`` or
    ``TunedThresholdClassifierCV``. Do not make one from ``rwwce.categorical_real_world_cost`` with
    ``make_scorer``: scikit-learn passes the truth first, the metrics take the predictions first,
    and the cost matrix would be read transposed without an error.

    Args:
        fn: Cost of a false negative: a scalar, or ``(K,)`` by true class. See ``rwwce.Costs``. None
            if each example has its own, ``(N,)``, which metadata routing passes.
        fp: Extra cost of a false positive: a scalar, ``(K, K)``, or ``rwwce.pair_costs``. None if
            each example has its own: ``(N,)`` for two classes, ``(N, K)`` by predicted class for
            more.
        labels: The K classes in the order of the costs, of any type that ``y`` may hold. For two
            classes with one cost each, the second is the positive one. Default: the integers 0 to
            K-1 (or False and True), where K is 2 if the costs do not tell it. The classes are never
            read from ``y``, because one fold of it may lack a class.
        actions: What decisions that are no class cost over the right decision, by true class:
            ``(K, A)``, or a scalar for one action. Default: no actions.
        action_names: The A actions as ``predict`` returns them, of the classes' kind. Default: the
            integers K to K+A-1, where the classes are 0 to K-1.

    Returns:
        ``scorer(estimator, X, y)``, made by ``sklearn.metrics.make_scorer`` from the estimator's
        ``predict``. It accepts ``sample_weight``, ``fn`` and ``fp`` by metadata routing.

    Raises:
        TypeError: if the costs are not real numbers, or are ``rwwce.ExampleCosts``.
        ValueError: if their shapes are none of these, or if there are not K different labels and A
            different names of actions. When scoring, if ``y`` or a prediction is none of the
            labels, or if costs or weights do not fit the examples.

    Note:
        A NaN cost that is used gives a score of NaN, of which scikit-learn warns. Weights that sum
        to 0 give 0. For two ``labels`` the scorer has ``pos_label=labels[1]``: ``best_threshold_``
        of ``TunedThresholdClassifierCV`` is one on the probability of that class.

    Example:
        A model that ignores the costs, and the threshold that fits them.

        >>> from sklearn.datasets import make_classification
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.model_selection import TunedThresholdClassifierCV, cross_val_score
        >>> from rwwce_jax.sklearn import real_world_cost_scorer
        >>> X, y = make_classification(400, weights=[0.9], flip_y=0.1, random_state=0)
        >>> scorer = real_world_cost_scorer(fn=20.0, fp=1.0)
        >>> model = LogisticRegression()
        >>> tuned = TunedThresholdClassifierCV(model, scoring=scorer)
        >>> for estimator in (model, tuned):
        ...     print(f"{-cross_val_score(estimator, X, y, scoring=scorer).mean():.2f}")
        2.11
        1.00

    References:
        Y. Ho and S. Wookey, "The Real-World-Weight Cross-Entropy Loss Function", IEEE Access 8,
        2020, sections IV and V.
    """
    given = GivenCosts.shared(fn, fp, "by metadata routing")
    size = GivenCosts.of(given.fn, given.fp, actions).num_classes
    classes = None if labels is None else classes_of(labels)
    if classes is not None and size not in (None, len(classes)):
        raise ValueError(f"labels must be the {size} classes of the costs, got {len(classes)}.")
    known = classes or tuple(range(size or 2))
    by_class = actions_by_class(actions, len(known), np.float64)
    names = names_of_actions(action_names, known, 0 if by_class is None else by_class.shape[1])
    classes = classes if by_class is None else known
    num_classes = None if len(known) == 2 else len(known)
    costs = as_numpy(fn), as_numpy(fp), as_numpy(by_class)
    function = _RealWorldCost(*costs, classes, names, given.num_classes or num_classes)
    # Else scikit-learn takes the probability of the class that it sorts last.
    positive = {"pos_label": classes[1]} if classes is not None and len(classes) == 2 else {}
    return metrics.make_scorer(function, greater_is_better=False, **positive)


@dataclasses.dataclass(frozen=True, eq=False)
class _RealWorldCost:
    """The score function. Its signature tells scikit-learn which metadata it accepts."""

    fn: Any
    fp: Any
    actions: Any
    labels: tuple[Hashable, ...] | None
    action_names: tuple[Hashable, ...]
    num_classes: int | None  # None for two classes with one cost each

    @property
    def __name__(self) -> str:
        """The name that scikit-learn prints."""
        fn, fp, actions = map(_short, (self.fn, self.fp, self.actions))
        beside = "" if self.actions is None else f", actions={actions}"
        return f"real_world_cost(fn={fn}, fp={fp}, labels={self.labels!r:.80}{beside})"

    def __call__(
        self,
        y_true: Any,
        y_pred: Any,
        *,
        sample_weight: Any = None,
        fn: Any = None,
        fp: Any = None,
        pos_label: Any = None,
    ) -> float:
        # ``labels`` tell the positive class; ``pos_label`` is for scikit-learn, which passes it.
        num_classes = self.num_classes
        if num_classes is None and np.ndim(fp) == 2:
            num_classes = np.shape(fp)[1] if self.labels is None else len(self.labels)
        classes = self.labels or range(num_classes or 2)
        hint = "; name the classes by labels=" if self.labels is None else ""
        truth = ids_of("y_true", y_true, [*classes], hint)
        decided = ids_of("y_pred", y_pred, [*classes, *self.action_names], hint)
        examples = truth.shape
        of_fp = examples if num_classes is None else (*examples, num_classes)
        kind = np.asarray if num_classes is None else ExampleCosts
        fn = _routed("fn", self.fn, fn, examples, kind)
        fp = _routed("fp", self.fp, fp, of_fp, kind)
        if num_classes is None:
            fn, fp = ExampleCosts(np.where(truth == 1, fn, fp)), 0.0
        costs = categorical_real_world_cost(
            decided, truth, fn, fp, actions=self.actions, reduction="none"
        )
        weights = arguments.weights(sample_weight, examples, np.float32)
        if weights is not None and not weights.any():
            return 0.0
        return float(np.average(np.asarray(costs, np.float64), weights=weights))


def _short(costs: Any) -> str:
    """What is printed of costs: a search prints its scorer again and again."""
    if not isinstance(costs, np.ndarray):
        return repr(costs)
    return repr(costs.tolist()) if costs.size < 50 else f"array of shape {costs.shape}"


def _routed(name: str, default: Any, routed: Any, expected: Shape, kind: Callable[..., Any]) -> Any:
    """The costs that came with the examples, as this kind, or else the scorer's own."""
    if routed is None:
        if default is None:
            raise ValueError(
                f"{name} must come with the examples, got None; enable metadata routing, call "
                f"scorer.set_score_request({name}=True) and pass {name} beside y."
            )
        return default
    costs = arguments.known_costs(name, routed)
    if costs.shape not in ((), expected):
        raise ValueError(
            f"{name} must be a scalar or costs of the examples, of shape {expected}, "
            f"got shape {costs.shape}."
        )
    return kind(np.broadcast_to(costs, expected))
