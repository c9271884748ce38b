"""What the doors refuse, in one sentence that names the argument."""

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier

import rwwce_jax as rwwce
from rwwce_jax.flax import RealWorldCost as Flax
from rwwce_jax.keras import BinaryRWWCE, CategoricalRWWCE
from rwwce_jax.keras import RealWorldCost as Keras
from rwwce_jax.plot import confusion_in_money, cost_curve, reliability
from rwwce_jax.sklearn import LeastCostClassifier, real_world_cost_scorer

FN, FP = [1.0, 2.0, 4.0], np.ones((3, 3))
PAIRS = rwwce.pair_costs({(0, 1): 2.0}, num_classes=3)
IDS, MASK = np.array([0, 1]), np.array([True, False])
LOGITS, WIDE, COLUMN = (np.ones((2, k), np.float32) for k in (3, 4, 1))
NAN = np.nan


def update(*costs, threshold=None, labels=IDS, **batch):
    Flax(*costs, threshold=threshold).update(labels=labels, **batch)


FLAX = [
    (lambda: Flax(FN, 1.0, threshold=0.0), ValueError, "fn must"),
    (lambda: Flax(1.0, PAIRS, threshold=0.0), TypeError, "fp must"),
    (lambda: Flax(1.0, 1.0, actions=0.2), ValueError, r"actions must .* give fn=\[\.\.\.\] \* K"),
    (lambda: Flax(1.0, 1.0, actions=1, threshold=0), ValueError, "actions must come without a"),
    (lambda: update(FN, FP, labels=None, logits=LOGITS), TypeError, "labels must"),
    (lambda: update(FN, FP, values=IDS), TypeError, "predictions or logits must"),
    (lambda: update(FN, FP, logits=WIDE), ValueError, "logits must score the 3 classes"),
    (lambda: update(FN, FP, predictions=IDS, mask=IDS), TypeError, "mask must"),
    (lambda: update(FN, FP, mask=MASK, where=MASK), ValueError, "mask must"),
    (lambda: update(2.0, 1.0, predictions=IDS), ValueError, "predictions must"),
    (lambda: update(2.0, 1.0, threshold=0.0, logits=COLUMN), ValueError, "labels must"),
]


def count(metric, labels, outputs):
    metric.update_state(labels, outputs)


KERAS = [
    (lambda: BinaryRWWCE(FN, 1.0), ValueError, "fn must"),
    (lambda: CategoricalRWWCE(1.0, rwwce.ExampleCosts(FP)), TypeError, "fp must"),
    (lambda: Keras(1.0, FP, threshold=0.0), ValueError, "fp must"),
    (lambda: CategoricalRWWCE(FN, FP)(IDS[:1], LOGITS), ValueError, "labels must"),
    (lambda: CategoricalRWWCE(FN, FP)(IDS, WIDE), ValueError, "fn must"),
    (lambda: BinaryRWWCE(1.0, 1.0)(IDS, LOGITS), ValueError, "labels must"),
    (lambda: count(Keras(FN, FP), IDS.astype(str), LOGITS), TypeError, "labels .*; encode "),
    (lambda: count(Keras(FN, FP), IDS, WIDE), ValueError, "logits must"),
    (lambda: count(Keras(2.0, 1.0), IDS, COLUMN), ValueError, "logits .* a threshold"),
    (lambda: count(Keras(1.0, 1.0, 0.0), IDS, LOGITS), ValueError, "y_true must"),
]

ASKING = {"fn": 1, "fp": 1, "actions": 1, "action_names": "ab"}
PLOT = [
    (lambda: confusion_in_money(np.ones((4, 2, 2)), 1, 1), ValueError, "confusion must have shape"),
    (lambda: confusion_in_money([[1, -1], [0, 1]], 1, 1), ValueError, "confusion must"),
    (lambda: confusion_in_money(FP, 1, 1, class_names="a"), ValueError, "class_names must be 3"),
    (lambda: confusion_in_money(WIDE[:, :3], **ASKING), ValueError, "action_names must be 1 names"),
    (lambda: cost_curve(np.float32([]), [], 1, 1), ValueError, "scores must be of one"),
    (lambda: cost_curve([0.5, NAN], [0, 1], 1, 1), ValueError, "scores must be of one"),
    (lambda: reliability([0.5, 1.6], [0, 1]), ValueError, "probs must .* jax.nn.sigmoid"),
    (lambda: reliability([0.5, 0.6], [0, 2]), ValueError, "labels must be in"),
    (lambda: reliability([[0.5, 0.5]], [2]), ValueError, "labels must be in"),
    (lambda: reliability([0.5], [1], fn=1.0), ValueError, "fn and fp must be given"),
    (lambda: reliability([[0.5, 0.5]], [1], fn=1.0, fp=1.0), ValueError, "fn and fp .* for two"),
]


class Unfit(DummyClassifier):
    def fit(self, X, y, sample_weight=None):
        raise AssertionError("the costs are validated first")


def fit(fn=1.0, fp=1.0, **more):
    LeastCostClassifier(Unfit(), fn, fp, **more).fit(FP, ["healthy", "flu", "pneumonia"])


def scorer(fn=1.0, fp=1.0, **more):
    return real_world_cost_scorer(fn, fp, **more)


def score(truth, decided, *costs, labels=None, **metadata):
    scorer(*costs, labels=labels)._score_func(truth, decided, **metadata)


TWO_AND_TWO = {"labels": "ab", "actions": [[1, 1], [1, 1]]}
SKLEARN = [
    (lambda: fit(fn=-1.0), ValueError, r"fn must be a finite cost >= 0, got -1\.0"),
    (lambda: fit(fp=np.ones((2, 2))), ValueError, r"fp must be a scalar or of shape \(3, 3\)"),
    (lambda: fit(fp=rwwce.ExampleCosts(FP)), TypeError, "fp .* costs of the examples to predict"),
    (lambda: fit(labels=["healthy", "flu"]), ValueError, "y must hold the labels .* 'pneumonia'"),
    (lambda: fit(actions=[1.0]), ValueError, r"actions must be .*\(3, A\)"),
    (lambda: fit(actions=1, action_names=[7]), ValueError, "action_names must be of the kind"),
    (lambda: scorer(fn=rwwce.ExampleCosts(FN)), TypeError, "fn .* metadata routing"),
    (lambda: scorer(FN, labels="ab"), ValueError, "labels must be the 3 classes"),
    (lambda: scorer(labels="aba"), ValueError, "labels must be 2 or more different"),
    (lambda: scorer(action_names=["ask"]), ValueError, r"action_names must be 0 .*\('ask',\)"),
    (lambda: scorer(**TWO_AND_TWO), ValueError, "action_names must be given where the classes"),
    (lambda: scorer(**TWO_AND_TWO, action_names="cb"), ValueError, "action_names must be 2 names"),
    (lambda: score(["a"], ["a"]), ValueError, "y_true .*, got 'a'; name .* labels="),
    (lambda: score([0, 2], [0, 1]), ValueError, r"y_true .* labels \[0, 1\] only, got 2; "),
    (lambda: score([0, 2], [0, 3], FN), ValueError, r"y_pred .* \[0, 1, 2\] only, got 3; "),
    (lambda: score(["a"], ["c"], labels="ab"), ValueError, r"y_pred .*'b'\] only, got 'c'\.$"),
    (lambda: score([[0, 1]], [0, 1]), ValueError, "y_true must be one label per example"),
    (lambda: score([0], [1], None), ValueError, "fn must come with the examples.*fn=True"),
    (lambda: score(IDS, IDS, None, fn=[1.0]), ValueError, r"fn .* \(2,\), got shape \(1,\)"),
    (lambda: score(IDS, IDS, FN, None, fp=FN), ValueError, r"fp .* \(2, 3\), got shape \(3,\)"),
    (lambda: score(np.ma.masked_equal([0, 1], 1), [0, 1]), TypeError, "y_true .* without a mask"),
]


@pytest.mark.always
@pytest.mark.usefixtures("standard_promotion")  # for Keras
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning")
@pytest.mark.parametrize(("call", "error", "message"), [*FLAX, *KERAS, *PLOT, *SKLEARN])
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=f"^{message}") as raised:
        call()
    assert "\n" not in str(raised.value)
    assert str(raised.value).endswith(".")
