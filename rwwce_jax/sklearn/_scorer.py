"""Real World Cost as a scorer for scikit-learn, which passes the truth first."""

import dataclasses
import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from sklearn import metrics
from sklearn.utils import column_or_1d

from rwwce_jax._checks import arguments
from rwwce_jax._checks.types import CostsLike
from rwwce_jax.costs import ExampleCosts, PairCosts
from rwwce_jax.costs._convert import GivenCosts, actions_by_class, as_numpy, refuse_examples
from rwwce_jax.metrics import binary_real_world_cost, categorical_real_world_cost
from rwwce_jax.sklearn._names import listed, names_of_actions, refuse_few


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
    for name, costs in (("fn", fn), ("fp", fp)):
        remedy = "give None, and the costs of the examples by metadata routing"
        refuse_examples(name, costs, remedy)
    known_fn, known_fp = (0.0 if costs is None else costs for costs in (fn, fp))
    given = GivenCosts.of(known_fn, known_fp, actions)
    given._replace(actions=None).refuse()
    classes = listed(labels)
    if classes is not None:
        refuse_few(classes)
        if given.num_classes not in (None, len(classes)):
            raise ValueError(
                f"labels must be the {given.num_classes} classes of the costs, got {len(classes)}."
            )
    known = classes or tuple(range(given.num_classes or 2))
    by_class = actions_by_class(actions, len(known), np.float64)
    names = names_of_actions(action_names, known, 0 if by_class is None else by_class.shape[1])
    classes = classes if by_class is None else known
    function = _RealWorldCost(as_numpy(fn), as_numpy(fp), as_numpy(by_class), classes, names)
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
        known = [0.0 if costs is None else costs for costs in (self.fn, self.fp)]
        num_classes = GivenCosts.of(*known).num_classes
        if np.ndim(fp) == 2:
            num_classes = np.shape(fp)[1]
        if self.labels is not None and (num_classes is not None or len(self.labels) > 2):
            num_classes = len(self.labels)
        classes = range(num_classes or 2) if self.labels is None else self.labels
        truth = self._class_ids("y_true", y_true, classes)
        decided = self._class_ids("y_pred", y_pred, [*classes, *self.action_names])
        examples = truth.shape
        of_fp = examples if num_classes is None else (*examples, num_classes)
        costs = [_routed("fn", self.fn, fn, examples), _routed("fp", self.fp, fp, of_fp)]
        by_example = [given is not None and np.ndim(given) > 0 for given in (fn, fp)]
        metric: Callable[..., Any] = binary_real_world_cost
        if num_classes is not None:
            metric = categorical_real_world_cost
            costs = [
                ExampleCosts(x) if own else x for x, own in zip(costs, by_example, strict=True)
            ]
        if self.actions is not None:
            metric = functools.partial(categorical_real_world_cost, actions=self.actions)
            if num_classes is None:  # two classes, each with a cost of its own
                costs = [ExampleCosts(np.where(truth == 1, *costs)), 0.0]
        each = np.asarray(metric(decided, truth, *costs, reduction="none"), np.float64)
        if sample_weight is None:
            return float(np.mean(each))
        weights = np.asarray(arguments.weights(sample_weight, examples, np.float32), np.float64)
        total = weights.sum()
        return float(each @ weights / total) if total else 0.0

    def _class_ids(self, name: str, values: Any, classes: Sequence[Hashable]) -> np.ndarray:
        arguments.refuse_masked(name, values)
        array = np.asarray(values)
        if array.shape[1:] == (1,):
            array = column_or_1d(array, warn=True)
        if array.ndim != 1:
            raise ValueError(f"{name} must be one label per example, got shape {array.shape}.")
        ids = {label: k for k, label in enumerate(classes)}
        found = np.array([ids.get(label, -1) for label in array.tolist()], np.int32)
        if np.any(found < 0):
            unknown = array.tolist()[int(np.argmin(found))]
            hint = "; name the classes by labels=" if self.labels is None else ""
            known = f"{list(classes)!r:.80}"
            raise ValueError(
                f"{name} must hold the labels {known} only, got {unknown!r:.80}{hint}."
            )
        return found


def _short(costs: Any) -> str:
    """What is printed of costs: a search prints its scorer again and again."""
    if not isinstance(costs, np.ndarray):
        return repr(costs)
    return repr(costs.tolist()) if costs.size < 50 else f"array of shape {costs.shape}"


def _routed(name: str, default: Any, routed: Any, expected: tuple[int, ...]) -> Any:
    """The costs that came with the examples, or else the scorer's own."""
    if routed is None:
        if default is None:
            raise ValueError(
                f"{name} must come with the examples, got None; enable metadata routing, call "
                f"scorer.set_score_request({name}=True) and pass {name} beside y."
            )
        return default
    costs = np.asarray(routed)
    if costs.shape not in ((), expected):
        raise ValueError(
            f"{name} must be a scalar or costs of the examples, of shape {expected}, "
            f"got shape {costs.shape}."
        )
    return costs
