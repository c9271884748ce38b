"""For scikit-learn: what the scorer counts, what the classifier decides, and both in its tools."""

import pickle

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import rwwce_jax as rwwce
from rwwce_jax.sklearn import LeastCostClassifier, real_world_cost_scorer

FN = np.array([1.0, 2.0, 4.0])
FP = np.array([[np.nan, 2.0, 3.0], [5.0, np.nan, 7.0], [11.0, 13.0, np.nan]])
PAIRS = rwwce.pair_costs({(0, 1): 2.0, (2, 1): 13.0}, num_classes=3)
NAMES = np.array(["healthy", "flu", "pneumonia"])  # not in the order of the alphabet
ACTIONS = np.array([[0.5, 3.0], [2.0, 0.25], [0.0, 1.0]])
ASKED = np.array(["ask", "wait"])

RNG = np.random.default_rng(0)
TRUTH, DECIDED = RNG.integers(0, 3, (2, 60), np.int32)
ACTED = RNG.integers(0, 5, 60)
X = RNG.normal(size=(300, 4))
Y = np.argmax(X[:, :3] + RNG.normal(size=(300, 3)), axis=1)
PROBS = RNG.dirichlet(np.ones(3), 200)


class Says(ClassifierMixin, BaseEstimator):
    """Its probabilities stand in X, in the order of the sorted classes, or its predictions."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.asarray(X)

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


@pytest.mark.always
@pytest.mark.parametrize(
    ("fn", "fp", "labels"),
    [
        (FN, 0.5, NAMES),
        (1, FP, [7, 3, 5]),
        (FN.tolist(), PAIRS, tuple(NAMES.tolist())),
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
        names, asked = kind(NAMES.tolist()), kind(ASKED.tolist())
        named = real_world_cost_scorer(FN, FP, labels=names, actions=ACTIONS, action_names=asked)
        assert named._score_func(NAMES[TRUTH], np.array([*NAMES, *ASKED])[ACTED]) == expected
    with pytest.raises(ValueError, match=r"^y_true must hold the labels .* only, got 'ask'\.$"):
        named._score_func(ASKED[:1], ASKED[:1])
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
def test_tuned_threshold_is_the_cheapest_one_on_the_second_label():
    rng = np.random.default_rng(1)
    y, amounts = (rng.random(240) < 0.2).astype(int), rng.uniform(1, 9, 240)
    x = rng.normal(size=(240, 3)) + y[:, None]
    names, grid = np.array(["good", "bad"])[y], np.linspace(0.02, 0.98, 49)
    scorer = real_world_cost_scorer(None, 1.0, labels=["good", "bad"]).set_score_request(fn=True)
    model = LogisticRegression().fit(x, names)
    tuned = TunedThresholdClassifierCV(
        model, scoring=scorer, thresholds=grid, cv="prefit", refit=False
    ).fit(x, names, fn=amounts)
    bad = model.predict_proba(x)[:, model.classes_.tolist().index("bad")]
    decided = tuned.predict(x) == "bad"
    np.testing.assert_array_equal(decided, bad >= tuned.best_threshold_)
    costs = [np.mean(np.where(y, amounts * (bad < least), bad >= least)) for least in grid]
    assert np.ptp(costs) > 0.1
    assert np.mean(np.where(y, amounts * ~decided, decided)) == pytest.approx(min(costs))


def says(*arguments, names=NAMES, **more):
    """Fitted to the names, so that X holds the probabilities of the sorted names."""
    model = LeastCostClassifier(Says(), *arguments, **more)
    return model.fit(np.zeros((len(names), len(names))), names)


def cheapest(p, fn, fp, actions=((),) * 3):
    """The cheapest decision for one example, by loops."""
    size, actions = len(p), np.asarray(actions)
    costs = [sum(p[k] * (fn[k] + fp[k, j]) for k in range(size) if k != j) for j in range(size)]
    costs += [sum(p[k] * actions[k, a] for k in range(size)) for a in range(actions.shape[1])]
    return int(np.argmin(costs))


def test_scikit_learn_s_own_checks():
    quick = LogisticRegression(solver="newton-cholesky")
    check_estimator(LeastCostClassifier(quick, fn=1.0, fp=1.0), on_skip=None)


def test_decisions_are_the_cheapest_in_the_order_of_the_labels():
    actions = RNG.uniform(1, 4, (3, 2))
    model = says(FN, FP, labels=NAMES, actions=actions, action_names=ASKED)
    columns = PROBS[:, np.argsort(NAMES)]
    expected = [cheapest(p, FN, FP, actions) for p in PROBS]
    assert set(expected) == set(range(5))
    np.testing.assert_array_equal(model.predict(columns), np.array([*NAMES, *ASKED])[expected])
    assert list(model.classes_) == sorted(NAMES)
    np.testing.assert_array_equal(model.predict_proba(columns), columns)
    pairs = rwwce.pair_costs({("healthy", "flu"): 9.0}, class_names=tuple(NAMES))
    ids = np.asarray(rwwce.decide(PROBS, 1.0, pairs))
    np.testing.assert_array_equal(says(1.0, pairs, labels=NAMES).predict(columns), NAMES[ids])


def test_a_class_that_fit_never_saw_may_be_decided():
    fp = np.array([[0.0, 5.0, 0.2], [5.0, 0.0, 0.2], [1.0, 1.0, 0.0]])
    model = LeastCostClassifier(Says(), np.zeros(3), fp, labels=["a", "b", "unsure"])
    model.fit(np.zeros((2, 2)), ["a", "b"])
    assert list(model.classes_) == ["a", "b"]
    assert model.predict([[0.5, 0.5], [0.99, 0.01]]).tolist() == ["unsure", "a"]


@pytest.mark.parametrize("size", [2, 3])
def test_costs_of_each_example(size):
    rng = np.random.default_rng(1)
    names, probs = np.arange(size), rng.dirichlet(np.ones(size), 40)
    fn, fp = rng.random(40), rng.random(40 if size == 2 else (40, 3))
    model = says(None, None, names=names)
    if size == 2:
        expected = probs[:, 1] > rwwce.bayes_threshold(fn, fp)
    else:
        rows = zip(probs, fn, fp, strict=True)
        expected = [cheapest(p, [a] * 3, np.tile(b, (3, 1))) for p, a, b in rows]
    np.testing.assert_array_equal(model.predict(probs, fn=fn, fp=fp), expected)
    # One of the two may be shared, and the arguments of predict go before those of the class.
    shared = says(None, 0.7, names=names).predict(probs, fn=fn)
    other = says(9.0, 9.0, names=names).predict(probs, fn=fn, fp=0.7)
    np.testing.assert_array_equal(shared, other)
    with pytest.raises(ValueError, match="fn must come with the examples, got None"):
        model.predict(probs, fp=fp)
    with pytest.raises(ValueError, match=r"fn must be costs >= 0 of the examples, .*\(40,\)"):
        model.predict(probs, fn=fn[:3], fp=fp)


def test_costs_of_each_example_through_a_pipeline():
    amounts = RNG.uniform(0.1, 30, len(Y))
    with sklearn.config_context(enable_metadata_routing=True):
        model = LeastCostClassifier(LogisticRegression(), None, 1.0).set_predict_request(fn=True)
        pipeline = make_pipeline(StandardScaler(), model).fit(X, Y == 0)
        decided = pipeline.predict(X, fn=amounts)
    probs = pipeline.predict_proba(X)[:, 1]
    np.testing.assert_array_equal(decided, probs > rwwce.bayes_threshold(amounts, 1.0))


def test_searches_and_copies():
    scorer = real_world_cost_scorer(FN, FP)
    plain = -cross_val_score(LogisticRegression(), X, Y, scoring=scorer, cv=2).mean()
    model = LeastCostClassifier(LogisticRegression(), FN, FP, labels=[0, 1, 2])
    grid = {"estimator__C": [0.1, 1.0], "fn": [FN, 2 * FN]}
    search = GridSearchCV(model, grid, scoring=scorer, cv=2, error_score="raise").fit(X, Y)
    assert -search.best_score_ < plain
    assert set(search.best_params_) == set(grid)
    assert not hasattr(model.estimator, "classes_")  # a clone of it was fitted
    fitted = clone(model).fit(X, Y)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    assert 0 < fitted.score(X, Y) < 1


def test_what_has_no_probabilities_is_refused():
    assert not hasattr(LeastCostClassifier(object(), 1.0, 0.0), "predict_proba")
    with pytest.raises(ValueError, match="predict_proba of the estimator must return numbers"):
        says(1.0, 0.0).predict([[np.nan, 0.5, 0.5]])
