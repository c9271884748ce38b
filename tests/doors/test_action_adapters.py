"""Decisions that are no class, in the metric for Flax and the scorer for scikit-learn."""

import pickle

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from says import Says
from sklearn.model_selection import cross_val_score

import rwwce_jax as rwwce
from rwwce_jax.flax import RealWorldCost
from rwwce_jax.sklearn import LeastCostClassifier, real_world_cost_scorer

RNG = np.random.default_rng(0)
FN, FP = np.array([1.0, 2.0, 4.0]), RNG.integers(0, 9, (3, 3)).astype(float)
ACTIONS = np.array([[0.5, 3.0], [2.0, 0.25], [0.0, 1.0]])
TRUTH, DECIDED = RNG.integers(0, 3, 60), RNG.integers(0, 5, 60)
EXPECTED = float(rwwce.categorical_real_world_cost(DECIDED, TRUTH, FN, FP, actions=ACTIONS))

# --- Flax -----------------------------------------------------------------------------------------


def test_the_metric_counts_actions_that_come_as_predictions():
    metric = RealWorldCost(FN, FP, actions=ACTIONS)

    @nnx.jit
    def update(metric, predictions, labels):
        metric.update(predictions=predictions, labels=labels, logits=None)

    for part in np.split(np.arange(60), 3):
        update(metric, jnp.asarray(DECIDED[part]), jnp.asarray(TRUTH[part]))
    np.testing.assert_allclose(metric.compute(), EXPECTED, rtol=1e-6)


def test_logits_never_decide_for_an_action():
    metric = RealWorldCost(1.0, 0.0, actions=[[0.1]] * 3)
    metric.update(logits=np.eye(3, dtype=np.float32), labels=np.array([0, 1, 1]))
    np.testing.assert_allclose(metric.compute(), 1 / 3, rtol=1e-6)
    with pytest.raises(ValueError, match=r"^logits must score the 3 classes of the costs, got"):
        metric.update(logits=np.eye(4, dtype=np.float32), labels=np.arange(4))
    metric.update(predictions=np.array([4]), labels=np.array([0]))
    assert np.isnan(metric.compute())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"actions": 0.2, "threshold": 0.0},
            ValueError,
            "actions must come without a threshold, which is for two classes",
        ),
        ({"actions": 0.2}, ValueError, r"actions must be .* give fn=\[\.\.\.\] \* K"),
        ({"actions": "ask"}, TypeError, "actions must be an array of numbers, got 'ask'"),
    ],
)
def test_what_the_metric_refuses(arguments, error, message):
    with pytest.raises(error, match=rf"^{message}\.$"):
        RealWorldCost(1.0, 1.0, **arguments)


# --- scikit-learn ---------------------------------------------------------------------------------


NAMES, ASKED = np.array(["refuse", "grant", "half"]), np.array(["ask", "wait"])


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_the_scorer_knows_actions_by_name(kind):
    scorer = real_world_cost_scorer(
        FN, FP, labels=kind(NAMES), actions=ACTIONS, action_names=kind(ASKED)
    )
    decisions = np.array([*NAMES, *ASKED])[DECIDED]
    for score in (scorer._score_func, pickle.loads(pickle.dumps(scorer))._score_func):
        assert score(NAMES[TRUTH], decisions) == pytest.approx(EXPECTED, rel=1e-6)
    with pytest.raises(ValueError, match=r"^y_true must hold the labels .* only, got 'ask'\.$"):
        scorer._score_func(decisions, decisions)
    assert "actions=[[0.5, 3.0]" in repr(scorer)


def test_actions_follow_classes_that_are_integers():
    scorer = real_world_cost_scorer(FN, FP, actions=ACTIONS)
    assert scorer._score_func(TRUTH, DECIDED) == pytest.approx(EXPECTED, rel=1e-6)
    scores = cross_val_score(Says(), DECIDED[:, None], TRUTH, scoring=scorer, cv=3)
    np.testing.assert_allclose(scores.mean(), -EXPECTED, rtol=1e-6)
    by_number = real_world_cost_scorer(FN, FP, actions=0.5, labels=range(3))
    assert by_number._score_func([0, 1], [3, 3]) == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": NAMES, "actions": 0.2}, "given where the classes are not 0 to K - 1"),
        ({"action_names": ["ask"]}, r"0 names that are no class, got \('ask',\)"),
        (
            {"actions": ACTIONS, "action_names": ["ask"]},
            r"2 names that are no class, got \('ask',\)",
        ),
        (
            {"labels": NAMES, "actions": ACTIONS, "action_names": ["ask", "half"]},
            r"2 names that are no class, got \('ask', 'half'\)",
        ),
        (
            {"labels": NAMES, "actions": ACTIONS, "action_names": ["ask", "ask"]},
            r"2 names that are no class, got \('ask', 'ask'\)",
        ),
    ],
)
def test_names_of_actions_that_the_scorer_refuses(arguments, message):
    with pytest.raises(ValueError, match=rf"^action_names must be {message}\.$"):
        real_world_cost_scorer(FN, FP, **arguments)


@pytest.mark.parametrize("actions", [0.25, [[0.25], [0.25]], [[1.0, 0.1], [0.0, 3.0]]], ids=str)
def test_two_classes_with_one_cost_each(actions):
    """As LeastCostClassifier takes them: the second class is the positive one."""
    labels = ["ham", "spam"]
    names = ["ask", "wait"][: np.shape(actions)[-1] if np.ndim(actions) else 1]
    scorer = real_world_cost_scorer(20.0, 1.0, labels=labels, actions=actions, action_names=names)
    truth, decided = RNG.integers(0, 2, 50), RNG.integers(0, 2 + len(names), 50)
    fn, fp = [0.0, 20.0], [[0.0, 1.0], [0.0, 0.0]]
    expected = rwwce.categorical_real_world_cost(decided, truth, fn, fp, actions=actions)
    found = scorer._score_func(np.array(labels)[truth], np.array(labels + names)[decided])
    assert found == pytest.approx(float(expected), rel=1e-6)
    amounts = RNG.uniform(1, 9, 50)
    scorer = real_world_cost_scorer(None, 1.0, actions=actions)
    each = np.where(truth == 1, amounts, 1.0)
    expected = rwwce.categorical_real_world_cost(
        decided,
        truth,
        rwwce.ExampleCosts(each),
        0.0,
        actions=np.broadcast_to(actions, (2, len(names))),
    )
    found = scorer._score_func(truth, decided, fn=amounts)
    assert found == pytest.approx(float(expected), rel=1e-6)


def test_the_scorer_prices_what_the_classifier_decides():
    from sklearn.linear_model import LogisticRegression

    x = RNG.normal(size=(400, 2))
    y = np.array(["spam", "ham"])[(x[:, 0] + RNG.logistic(size=400) > 0).astype(int)]
    costs = {"fn": 20.0, "fp": 1.0, "labels": ["ham", "spam"]}
    asking = costs | {"actions": 0.4, "action_names": ["ask"]}
    models = [
        LeastCostClassifier(LogisticRegression(), **given).fit(x, y) for given in (costs, asking)
    ]
    without, with_asking = (real_world_cost_scorer(**asking)(model, x, y) for model in models)
    assert without < with_asking < 0
