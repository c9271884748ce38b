"""The scorer for scikit-learn: which way round it is, labels, costs of examples, and its tools."""

import pickle

import jax.numpy as jnp
import numpy as np
import pytest
import sklearn
from says import Says
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_score,
)

import rwwce_jax as rwwce
from rwwce_jax.sklearn import real_world_cost_scorer

FN = np.array([1.0, 2.0, 4.0])
FP = np.array([[np.nan, 2.0, 3.0], [5.0, np.nan, 7.0], [11.0, 13.0, np.nan]])
PAIRS = rwwce.pair_costs({(0, 1): 2.0, (2, 1): 13.0}, num_classes=3)
NAMES = ("healthy", "flu", "pneumonia")  # not in the order of the alphabet

RNG = np.random.default_rng(0)
TRUTH, DECIDED = RNG.integers(0, 3, (2, 60), np.int32)


def score(scorer, truth, decided, **metadata):
    return scorer(Says().fit(None, truth), np.array(decided)[:, None], np.array(truth), **metadata)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.fixture(scope="module")
def data():
    """A problem of two classes, 1 of 5 positive, and how much each example is worth."""
    rng = np.random.default_rng(1)
    y = (rng.random(240) < 0.2).astype(int)
    x = rng.normal(size=(240, 3)) + y[:, None]
    return x, y, rng.uniform(1, 9, 240)


# --- Which way round ------------------------------------------------------------------------------


def test_the_metric_itself_in_make_scorer_transposes_the_matrix():
    """Scikit-learn passes the truth first: the trap that the scorer is made for."""
    trap = make_scorer(
        rwwce.categorical_real_world_cost, greater_is_better=False, fn=0.0, fp=FP.astype("float32")
    )
    right = real_world_cost_scorer(0.0, FP)
    cost, transposed = (
        float(rwwce.categorical_real_world_cost(DECIDED, TRUTH, 0.0, x)) for x in (FP, FP.T)
    )
    assert abs(cost - transposed) > 0.4
    assert score(trap, TRUTH, DECIDED) == pytest.approx(-transposed, rel=1e-6)
    assert score(right, TRUTH, DECIDED) == pytest.approx(-cost, rel=1e-6)


@pytest.mark.parametrize("labels", [None, (0, 1), (1, 0), ("spam", "ham"), (-1, 1), (True, False)])
def test_the_second_of_two_labels_is_the_positive_one(labels):
    negative, positive = (0, 1) if labels is None else labels
    truth = [positive] * 3 + [negative] * 2
    decided = [negative, positive, positive, positive, negative]
    assert score(real_world_cost_scorer(20.0, 5.0, labels=labels), truth, decided) == -25 / 5


@pytest.mark.parametrize(
    ("truth", "decided"), [([True, False], [False, False]), ([1.0, 0], [0, 0])]
)
def test_booleans_and_floats_are_zeros_and_ones(truth, decided):
    assert score(real_world_cost_scorer(20.0, 5.0), truth, decided) == -10


@pytest.mark.parametrize(
    ("fn", "fp"),
    [(FN, 0.5), (1, FP), (FN, FP), (FN.tolist(), jnp.asarray(FP)), (FN, PAIRS), (2.0, 3.0)],
)
@pytest.mark.parametrize("labels", [NAMES, np.array(NAMES), [7, 3, 5], (2.5, "b", None)])
def test_labels_are_in_the_order_of_the_costs(fn, fp, labels):
    scorer = real_world_cost_scorer(fn, fp, labels=labels)
    truth, decided = (np.array(list(labels), object)[ids] for ids in (TRUTH, DECIDED))
    expected = float(rwwce.categorical_real_world_cost(DECIDED, TRUTH, fn, fp))
    assert expected > 0
    assert scorer._score_func(truth, decided) == pytest.approx(expected, rel=1e-6)


def test_a_matrix_of_two_classes():
    scorer = real_world_cost_scorer(0.0, [[0.0, 5.0], [20.0, 0.0]])
    assert score(scorer, [1, 1, 0, 0], [0, 1, 1, 0]) == -25 / 4


def test_a_fold_that_lacks_a_class_is_priced_as_the_others():
    scorer = real_world_cost_scorer(FN, FP, labels=NAMES)
    truth, decided = ["pneumonia", "flu", "flu"], ["flu", "pneumonia", "flu"]
    assert score(scorer, truth, decided) == -(4 + 13 + 2 + 7) / 3


# --- Weights and costs of the examples ------------------------------------------------------------


@pytest.mark.usefixtures("routing")
def test_a_weight_counts_as_so_many_examples():
    weights = RNG.integers(0, 4, TRUTH.size)
    scorer = real_world_cost_scorer(FN, FP).set_score_request(sample_weight=True)
    repeated = score(scorer, np.repeat(TRUTH, weights), np.repeat(DECIDED, weights))
    weighed = score(scorer, TRUTH, DECIDED, sample_weight=weights)
    assert weighed == pytest.approx(repeated, rel=1e-6)
    assert abs(weighed - score(scorer, TRUTH, DECIDED)) > 1e-2


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("names", [["fn"], ["fp"], ["fn", "fp"]])
@pytest.mark.parametrize("classes", [2, 3])
def test_costs_of_the_examples(names, classes):
    rng = np.random.default_rng(2)
    truth, decided = rng.integers(0, classes, (2, 50))
    given = {"fn": rng.uniform(1, 9, 50), "fp": rng.uniform(1, 9, 50)}
    if classes == 3:
        given["fp"] = rng.uniform(1, 9, (50, 3))
    routed = {name: given[name] for name in names}
    shared = {name: None if name in routed else 3.0 for name in ("fn", "fp")}
    scorer = real_world_cost_scorer(**shared, labels=range(classes))
    scorer.set_score_request(**dict.fromkeys(names, True))
    fn, fp = (np.broadcast_to(routed.get(name, 3.0), given[name].shape) for name in ("fn", "fp"))
    each = fn + fp[np.arange(50), decided] if classes == 3 else np.where(truth == 1, fn, fp)
    expected = np.mean(each * (truth != decided))
    assert score(scorer, truth, decided, **routed) == pytest.approx(-expected, rel=1e-6)


@pytest.mark.usefixtures("routing")
def test_a_row_of_costs_for_each_example_tells_the_classes():
    fp = RNG.uniform(1, 9, (60, 3))
    scorer = real_world_cost_scorer(0.0, None).set_score_request(fp=True)
    expected = np.mean(fp[np.arange(60), DECIDED] * (TRUTH != DECIDED))
    assert score(scorer, TRUTH, DECIDED, fp=fp) == pytest.approx(-expected, rel=1e-6)


@pytest.mark.usefixtures("routing")
def test_cross_validation_routes_to_each_fold_its_own_costs(data):
    x, y, amounts = data
    scorer = real_world_cost_scorer(None, 2.0).set_score_request(fn=True)
    folds = StratifiedKFold(3)
    scores = cross_val_score(
        LogisticRegression(), x, y, scoring=scorer, cv=folds, params={"fn": amounts}
    )
    for found, (train, test) in zip(scores, folds.split(x, y), strict=True):
        decided = LogisticRegression().fit(x[train], y[train]).predict(x[test])
        cost = rwwce.binary_real_world_cost(decided, y[test], amounts[test], 2.0)
        assert found == pytest.approx(-float(cost), rel=1e-6)
    assert np.ptp(scores) > 0


# --- In scikit-learn's tools ----------------------------------------------------------------------


def test_grid_search_finds_the_cheapest(data):
    x, y, _ = data
    y = np.array(["keep", "call"])[y]
    weights = [{"keep": 1, "call": w} for w in (0.1, 1, 10)]
    scorer = real_world_cost_scorer(20.0, 1.0, labels=("keep", "call"))
    search = GridSearchCV(LogisticRegression(), {"class_weight": weights}, scoring=scorer, cv=3)
    search.fit(x, y)
    assert search.best_params_ == {"class_weight": weights[2]}
    assert np.all(np.diff(search.cv_results_["mean_test_score"]) > 0)


GRID = np.linspace(0.02, 0.98, 49)


def tuned_cost(x, y, amounts, scoring, **metadata):
    """What the decisions cost at the threshold that scikit-learn takes for the best."""
    model = LogisticRegression().fit(x, y)
    tuned = TunedThresholdClassifierCV(
        model, scoring=scoring, thresholds=GRID, cv="prefit", refit=False
    ).fit(x, y, **metadata)
    decided = tuned.predict(x)
    at_best = FixedThresholdClassifier(model, threshold=tuned.best_threshold_).fit(x, y).predict(x)
    np.testing.assert_array_equal(decided, at_best)
    return np.mean(np.where(y == 1, amounts * (decided == 0), decided == 1)), model


def cheapest(x, y, amounts, model):
    decided = model.predict_proba(x)[:, 1] > GRID[:, None]
    costs = np.where(y == 1, amounts * ~decided, decided).mean(-1)
    assert np.ptp(costs) > 0.1
    return costs.min()


def test_tuned_threshold_is_the_cheapest_one(data):
    x, y, _ = data
    found, model = tuned_cost(x, y, 20.0, real_world_cost_scorer(20.0, 1.0))
    assert found == pytest.approx(cheapest(x, y, 20.0, model))
    trap = make_scorer(
        rwwce.categorical_real_world_cost,
        greater_is_better=False,
        fn=0.0,
        fp=np.array([[0, 1], [20, 0]]),
    )
    assert tuned_cost(x, y, 20.0, trap)[0] > 2 * found


@pytest.mark.usefixtures("routing")
def test_tuned_threshold_for_costs_of_the_examples(data):
    x, y, amounts = data
    scorer = real_world_cost_scorer(None, 1.0).set_score_request(fn=True)
    found, model = tuned_cost(x, y, amounts, scorer, fn=amounts)
    assert found == pytest.approx(cheapest(x, y, amounts, model))


@pytest.mark.parametrize("fp", [FP, PAIRS])
@pytest.mark.parametrize("copy", [clone, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_score_alike(copy, fp):
    scorer = real_world_cost_scorer(FN, fp, labels=NAMES)
    copied = copy(GridSearchCV(Says(), {}, scoring=scorer)).scoring
    truth, decided = (np.array(NAMES)[ids] for ids in (TRUTH, DECIDED))
    assert copied is not scorer
    assert score(copied, truth, decided) == score(scorer, truth, decided) < 0


def test_repr_tells_the_costs_and_is_short():
    scorer = real_world_cost_scorer(20.0, 1, labels=["ham", "spam"])
    assert "real_world_cost(fn=20.0, fp=1, labels=('ham', 'spam'))" in repr(scorer)
    assert len(repr(real_world_cost_scorer(1, np.eye(300), labels=range(300)))) < 300


def test_the_best_threshold_is_one_on_the_probability_of_the_second_label(data):
    x, y, _ = data
    y = np.array(["good", "bad"])[y]
    scorer = real_world_cost_scorer(20.0, 1.0, labels=["good", "bad"])
    tuned = TunedThresholdClassifierCV(LogisticRegression(), scoring=scorer).fit(x, y)
    bad = tuned.predict_proba(x)[:, tuned.classes_.tolist().index("bad")]
    np.testing.assert_array_equal(tuned.predict(x) == "bad", bad >= tuned.best_threshold_)


def test_columns_are_ravelled_with_a_warning():
    with pytest.warns(DataConversionWarning, match="column-vector"):
        assert real_world_cost_scorer(20.0, 5.0)._score_func([[1], [0]], [0, 0]) == 10


def test_weights_that_sum_to_0():
    assert real_world_cost_scorer(20.0, 5.0)._score_func([1, 0], [0, 0], sample_weight=[0, 0]) == 0


# --- What is refused ------------------------------------------------------------------------------


@pytest.mark.always
@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"fn": FN, "fp": np.ones((4, 4))}, ValueError, "fn"),
        ({"fn": 1.0, "fp": np.ones((3, 2))}, ValueError, "fp"),
        ({"fn": 1.0, "fp": {("a", "b"): 1.0}}, TypeError, "fp"),
        ({"fn": 1.0, "fp": "costly"}, TypeError, "fp"),
        ({"fn": rwwce.ExampleCosts(FN), "fp": 1.0}, TypeError, "fn"),
        ({"fn": 1.0, "fp": rwwce.ExampleCosts(FP)}, TypeError, "fp"),
        ({"fn": FN, "fp": FP, "labels": ["a", "b"]}, ValueError, "labels"),
        ({"fn": 1.0, "fp": 1.0, "labels": ["a", "b", "a"]}, ValueError, "labels"),
        ({"fn": 1.0, "fp": 1.0, "labels": ["a"]}, ValueError, "labels"),
    ],
)
def test_costs_and_labels_that_are_refused(arguments, error, name):
    with pytest.raises(error, match=rf"^{name} must [^\n]+\.$"):
        real_world_cost_scorer(**arguments)


@pytest.mark.always
@pytest.mark.parametrize(
    ("scorer", "truth", "decided", "metadata", "sentence"),
    [
        ((1.0, 1.0), ["a", "b"], ["a", "b"], {}, r"y_true .*, got 'a'; name .* labels=\.$"),
        ((1.0, 1.0), [0, 2], [0, 1], {}, r"y_true must hold the labels \[0, 1\] only, got 2; "),
        ((FN, FP), [0, 2], [0, 3], {}, r"y_pred must hold the labels \[0, 1, 2\] only, got 3; "),
        (
            (1.0, 1.0, "ab"),
            ["a", "b"],
            ["b", "c"],
            {},
            r"y_pred must hold .*'b'\] only, got 'c'\.$",
        ),
        ((1.0, 1.0), [[0, 1]], [0, 1], {}, r"y_true must be one label per example, got shape"),
        ((1.0, 1.0), [0, 1], [0, 1], {"sample_weight": [1.0]}, r"weights must .* got shape \(1,\)"),
        ((None, 1.0), [0, 1], [1, 0], {}, r"fn must come with the examples, got None; .*fn=True"),
        ((1.0, None), [0, 1], [1, 0], {}, r"fp must come with the examples, got None; .*fp=True"),
        ((None, 1.0), [0, 1], [1, 0], {"fn": [1.0]}, r"fn .* shape \(2,\), got shape \(1,\)\.$"),
        ((FN, None), [0, 1], [1, 0], {"fp": [1.0, 2.0]}, r"fp .* shape \(2, 3\), got shape \(2,\)"),
    ],
)
@pytest.mark.usefixtures("routing")
def test_what_is_refused_when_scoring(scorer, truth, decided, metadata, sentence):
    fn, fp, *labels = scorer
    scorer = real_world_cost_scorer(fn, fp, labels=labels[0] if labels else None)
    with pytest.raises(ValueError, match=rf"^{sentence}") as raised:
        scorer._score_func(truth, decided, **metadata)
    assert "\n" not in str(raised.value)


def test_a_mask_is_not_forgotten():
    masked = np.ma.masked_equal([0, 1], 1)
    with pytest.raises(TypeError, match=r"^y_true must be an array without a mask, got .*\.$"):
        real_world_cost_scorer(1.0, 1.0)._score_func(masked, [0, 1])
