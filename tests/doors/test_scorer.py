"""The scorer for scikit-learn: which way round it is, labels, costs of examples, and its tools."""

import pickle

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV, cross_val_score

import rwwce_jax as rwwce
from rwwce_jax.sklearn import real_world_cost_scorer

FN = np.array([1.0, 2.0, 4.0])
FP = np.array([[np.nan, 2.0, 3.0], [5.0, np.nan, 7.0], [11.0, 13.0, np.nan]])
PAIRS = rwwce.pair_costs({(0, 1): 2.0, (2, 1): 13.0}, num_classes=3)
NAMES = ("healthy", "flu", "pneumonia")  # not in the order of the alphabet
ACTIONS = np.array([[0.5, 3.0], [2.0, 0.25], [0.0, 1.0]])
ASKED = ("ask", "wait")

RNG = np.random.default_rng(0)
TRUTH, DECIDED = RNG.integers(0, 3, (2, 60), np.int32)
ACTED = RNG.integers(0, 5, 60)


class Says(ClassifierMixin, BaseEstimator):
    """Predicts what stands in the only column of X."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.ravel(X)


def score(scorer, truth, decided, **metadata):
    return scorer(Says().fit(None, truth), np.array(decided)[:, None], np.array(truth), **metadata)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.always
@pytest.mark.parametrize("labels", [None, (0, 1), (1, 0), ("spam", "ham"), (-1, 1), (True, False)])
def test_the_second_of_two_labels_is_the_positive_one(labels):
    negative, positive = (0, 1) if labels is None else labels
    truth = [positive] * 3 + [negative] * 2
    decided = [negative, positive, positive, positive, negative]
    assert score(real_world_cost_scorer(20.0, 5.0, labels=labels), truth, decided) == -25 / 5
    matrix = real_world_cost_scorer(0.0, [[0.0, 5.0], [20.0, 0.0]], labels=labels)
    assert score(matrix, truth, decided) == -25 / 5


def test_booleans_floats_and_columns_are_zeros_and_ones():
    scorer = real_world_cost_scorer(20.0, 5.0)
    assert score(scorer, [True, False], [False, False]) == -10
    assert score(scorer, [1.0, 0], [0, 0]) == -10
    with pytest.warns(DataConversionWarning, match="column-vector"):
        assert scorer._score_func([[1], [0]], [0, 0]) == 10


@pytest.mark.always
@pytest.mark.parametrize(
    ("fn", "fp", "labels"),
    [
        (FN, 0.5, np.array(NAMES)),
        (1, FP, [7, 3, 5]),
        (FN.tolist(), PAIRS, NAMES),
        (2.0, 3.0, (2.5, "b", None)),
    ],
)
def test_labels_are_in_the_order_of_the_costs(fn, fp, labels):
    scorer = real_world_cost_scorer(fn, fp, labels=labels)
    truth, decided = (np.array(list(labels), object)[ids] for ids in (TRUTH, DECIDED))
    costs = rwwce.categorical_real_world_cost(DECIDED, TRUTH, fn, fp, reduction="none")
    assert costs.any()
    expected = pytest.approx(float(costs.mean()), rel=1e-6)
    copied = clone(GridSearchCV(Says(), {}, scoring=scorer)).scoring
    for one in (scorer, copied, pickle.loads(pickle.dumps(scorer))):
        assert one._score_func(truth, decided) == expected
    assert set(TRUTH[:2]) < {0, 1, 2}  # a fold that lacks a class
    fold = scorer._score_func(truth[:2], decided[:2])
    assert fold == pytest.approx(float(costs[:2].mean()), rel=1e-6)


def test_repr_tells_the_costs_and_is_short():
    scorer = real_world_cost_scorer(20.0, 1, labels=["ham", "spam"])
    assert "real_world_cost(fn=20.0, fp=1, labels=('ham', 'spam'))" in repr(scorer)
    assert "actions=[[0.5, 3.0]" in repr(real_world_cost_scorer(FN, FP, actions=ACTIONS))
    assert len(repr(real_world_cost_scorer(1, np.eye(300), labels=range(300)))) < 300


@pytest.mark.usefixtures("routing")
def test_a_weight_counts_as_so_many_examples():
    weights = RNG.integers(0, 4, TRUTH.size)
    scorer = real_world_cost_scorer(FN, FP).set_score_request(sample_weight=True)
    repeated = score(scorer, np.repeat(TRUTH, weights), np.repeat(DECIDED, weights))
    weighed = score(scorer, TRUTH, DECIDED, sample_weight=weights)
    assert weighed == pytest.approx(repeated, rel=1e-6)
    assert abs(weighed - score(scorer, TRUTH, DECIDED)) > 1e-2
    assert score(scorer, TRUTH, DECIDED, sample_weight=0 * weights) == 0


@pytest.mark.usefixtures("routing")
@pytest.mark.always
@pytest.mark.parametrize(
    ("classes", "names"), [(2, ["fn"]), (2, ["fn", "fp"]), (3, ["fp"]), (3, ["fn", "fp"])]
)
def test_costs_of_the_examples(classes, names):
    rng = np.random.default_rng(2)
    truth, decided = rng.integers(0, classes, (2, 50))
    # The rows of fp tell the number of classes.
    shapes = {"fn": 50, "fp": 50 if classes == 2 else (50, 3)}
    given = {name: rng.uniform(1, 9, shapes[name]) for name in names}
    shared = {name: None if name in given else 3.0 for name in shapes}
    scorer = real_world_cost_scorer(**shared).set_score_request(**dict.fromkeys(names, True))
    fn, fp = (np.broadcast_to(given.get(name, 3.0), shape) for name, shape in shapes.items())
    each = fn + fp[np.arange(50), decided] if classes == 3 else np.where(truth == 1, fn, fp)
    expected = np.mean(each * (truth != decided))
    assert score(scorer, truth, decided, **given) == pytest.approx(-expected, rel=1e-6)


def test_actions_are_known_by_name_or_follow_classes_that_are_integers():
    cost = rwwce.categorical_real_world_cost(ACTED, TRUTH, FN, FP, actions=ACTIONS)
    expected = pytest.approx(float(cost), rel=1e-6)
    for kind in (tuple, np.array):
        names, asked = kind(NAMES), kind(ASKED)
        named = real_world_cost_scorer(FN, FP, labels=names, actions=ACTIONS, action_names=asked)
        decisions = np.array([*NAMES, *ASKED])[ACTED]
        assert named._score_func(np.array(NAMES)[TRUTH], decisions) == expected
        with pytest.raises(ValueError, match=r"^y_true must hold the labels .* only, got 'ask'\.$"):
            named._score_func(np.array(["ask"]), np.array(["ask"]))
    scorer = real_world_cost_scorer(FN, FP, actions=ACTIONS)
    scores = cross_val_score(Says(), ACTED[:, None], TRUTH, scoring=scorer, cv=3)
    assert -scores.mean() == expected
    by_number = real_world_cost_scorer(FN, FP, actions=0.5, labels=range(3))
    assert by_number._score_func([0, 1], [3, 3]) == 0.5


def test_actions_beside_two_classes_with_one_cost_each():
    """As LeastCostClassifier takes them: the second class is the positive one."""
    truth, decided, amounts = TRUTH % 2, ACTED % 4, RNG.uniform(1, 9, 60)
    actions = np.array([[1.0, 0.1], [0.0, 3.0]])
    for fn, given in ((20.0, {}), (None, {"fn": amounts})):
        scorer = real_world_cost_scorer(fn, 1.0, actions=actions)
        each = np.where(truth == 1, amounts if fn is None else fn, 1.0)
        by_decision = np.stack([each * truth, each * (1 - truth), *actions.T[:, truth]])
        expected = by_decision[decided, np.arange(60)].mean()
        assert scorer._score_func(truth, decided, **given) == pytest.approx(expected, rel=1e-6)


@pytest.mark.usefixtures("routing")
@pytest.mark.always
@pytest.mark.parametrize("of_examples", [False, True])
def test_tuned_threshold_is_the_cheapest_one_on_the_second_label(of_examples):
    rng = np.random.default_rng(1)
    y, amounts = (rng.random(240) < 0.2).astype(int), rng.uniform(1, 9, 240)
    x = rng.normal(size=(240, 3)) + y[:, None]
    names, grid = np.array(["good", "bad"])[y], np.linspace(0.02, 0.98, 49)
    fn, own = (amounts, {"fn": amounts}) if of_examples else (20.0, {})
    scorer = real_world_cost_scorer(None if own else fn, 1.0, labels=["good", "bad"])
    scorer.set_score_request(fn=of_examples)
    model = LogisticRegression().fit(x, names)
    tuned = TunedThresholdClassifierCV(
        model, scoring=scorer, thresholds=grid, cv="prefit", refit=False
    ).fit(x, names, **own)
    bad = model.predict_proba(x)[:, model.classes_.tolist().index("bad")]
    decided = tuned.predict(x) == "bad"
    np.testing.assert_array_equal(decided, bad >= tuned.best_threshold_)
    costs = [np.mean(np.where(y, fn * (bad < least), bad >= least)) for least in grid]
    assert np.ptp(costs) > 0.1
    assert np.mean(np.where(y, fn * ~decided, decided)) == pytest.approx(min(costs))
