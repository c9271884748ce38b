"""LeastCostClassifier: what it decides, in which names, and with scikit-learn's tools."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import rwwce_jax as rwwce
from rwwce_jax.sklearn import LeastCostClassifier, real_world_cost_scorer

RNG = np.random.default_rng(0)
NAMES = np.array(["healthy", "flu", "pneumonia"])  # not in the order of the alphabet
FP = np.array([[0.0, 2.0, 3.0], [5.0, 0.0, 7.0], [11.0, 13.0, 0.0]])
FN = np.array([1.0, 2.0, 4.0])
X = RNG.normal(size=(300, 4))
Y = np.argmax(X[:, :3] + RNG.normal(size=(300, 3)), axis=1)
PROBS = RNG.dirichlet(np.ones(3), 200)


class Says(ClassifierMixin, BaseEstimator):
    """Its probabilities stand in X, in the order of the sorted classes."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.asarray(X)


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
    model = says(FN, FP, labels=NAMES, actions=actions, action_names=["refer", "ask"])
    columns = PROBS[:, np.argsort(NAMES)]
    expected = [cheapest(p, FN, FP, actions) for p in PROBS]
    assert set(expected) == set(range(5))
    decided = model.predict(columns)
    np.testing.assert_array_equal(decided, np.array([*NAMES, "refer", "ask"])[expected])
    assert list(model.classes_) == sorted(NAMES)
    np.testing.assert_array_equal(model.predict_proba(columns), columns)
    pairs = rwwce.pair_costs({("healthy", "flu"): 9.0}, class_names=tuple(NAMES))
    named = rwwce.costs_from_matrix(FN[:, None] + FP - np.diag(FN), class_names=tuple(NAMES))
    for fn, fp in ((FN, FP), named, (1.0, pairs)):
        ids = np.asarray(rwwce.decide(PROBS, fn, fp))
        np.testing.assert_array_equal(says(fn, fp, labels=NAMES).predict(columns), NAMES[ids])


def test_two_classes_decide_by_the_bayes_threshold():
    p = np.linspace(0.01, 0.99, 99)
    model = says(10.0, 1.0, names=["bad", "good"], labels=["good", "bad"])
    decided = model.predict(np.stack([p, 1 - p], axis=1)) == "bad"  # P(bad) first
    np.testing.assert_array_equal(decided, p > rwwce.bayes_threshold(10.0, 1.0))


def test_chow_s_rule():
    """With all mistakes 1, an action of cost r is cheaper where no class has p > 1 - r."""
    model = says(1.0, 0.0, names=np.arange(3), actions=0.3)
    expected = np.where(PROBS.max(axis=1) > 0.7, PROBS.argmax(axis=1), 3)
    np.testing.assert_array_equal(model.predict(PROBS), expected)


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


@pytest.mark.always
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames(frame):
    table = frame({f"column {k}": X[:, k] for k in range(4)})
    model = LeastCostClassifier(LogisticRegression(), 1.0, FP).fit(table, Y)
    assert model.feature_names_in_.tolist() == [f"column {k}" for k in range(4)]
    assert model.n_features_in_ == 4
    assert model.predict(table).shape == Y.shape


def test_what_has_no_probabilities_is_refused():
    assert not hasattr(LeastCostClassifier(object(), 1.0, 0.0), "predict_proba")
    with pytest.raises(ValueError, match="predict_proba of the estimator must return numbers"):
        says(1.0, 0.0).predict([[np.nan, 0.5, 0.5]])
