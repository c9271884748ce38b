"""The paper's tables: which images each network sees, what it is trained for, how it is judged."""

import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from experiments.paper import data, section7, table1, table2
from experiments.paper.networks import Batch

pytestmark = [
    pytest.mark.repository,
    pytest.mark.experiments,
    pytest.mark.usefixtures("standard_promotion"),
]


def test_binary_sets_are_batches_of_a_digit_against_all_others():
    classes = np.random.default_rng(0).integers(10, size=7000)
    plan = data.QUICK._replace(sets_per_digit=10)
    positive, splits = data.binary_sets(classes, plan, seed=0)
    assert len(splits) == 100
    for number, (digit, split) in enumerate(zip(positive, splits, strict=True)):
        own = np.flatnonzero(classes == digit)[number % 10 * 63 :][:63]
        expected = np.sort(np.concatenate([own, np.flatnonzero(classes != digit)]))
        np.testing.assert_array_equal(np.sort(np.concatenate(split)), expected)
        shares = np.array([len(part) for part in split]) / len(expected)
        np.testing.assert_allclose(shares, [0.675, 0.075, 0.25], atol=3e-4)


def test_smote_is_imbalanced_learns():
    over_sampling = pytest.importorskip("imblearn.over_sampling")
    images = data.images("digits", data.FULL)
    rows = np.flatnonzero((images.classes != 3) | (np.arange(1797) < 300))
    positive = images.classes[rows] == 3
    ours = data.smote(images.pixels, rows, positive, 7)
    pixels = images.pixels.astype(np.float32)
    base, partner = (pixels[each] for each in (ours.rows, ours.partners))
    theirs, labels = over_sampling.SMOTE(random_state=7).fit_resample(pixels[rows], positive)
    between = base + ours.steps[:, None] * (partner - base)
    np.testing.assert_allclose(between, theirs, rtol=1e-6, atol=1e-4)  # pixels from 0 to 255
    np.testing.assert_array_equal(images.classes[ours.rows] == 3, labels)


PLAN = data.QUICK._replace(images=1797)
LOGITS = np.float32([-3.0, -0.5, 0.2, 1.0, 4.0, 9.0])
POSITIVE = np.array([1, 0, 1, 0, 1, 1], bool)
WHERE = np.arange(6) < 5  # the last is padding
COUNTS = np.float32([400, 100])
MISSED, ALARM = np.log1p(np.exp(-LOGITS)), np.log1p(np.exp(LOGITS))  # cross-entropies


@pytest.mark.parametrize(
    ("arm", "number", "positive", "negative"),
    [
        (table1.PAPERS, 0, MISSED, ALARM),
        (table1.PAPERS, 1, 2000 * MISSED, 100 * ALARM),
        ("F1", 3, 8 * MISSED, ALARM),
    ],
)
def test_losses_of_table_1(arm, number, positive, negative):
    task, classes = table1.Task(3, COUNTS), jnp.where(POSITIVE, 3, 5)
    loss = table1.ARMS[arm].losses[number]
    found = loss(Batch(jnp.asarray(LOGITS)[:, None], classes, WHERE, task, jnp.zeros(2)))
    expected = np.where(POSITIVE, positive, negative)[WHERE].mean()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_losses_of_table_2():
    rng = np.random.default_rng(0)
    logits, classes = rng.normal(size=(7, 10)), rng.integers(10, size=7)
    fp, where = np.zeros((10, 10)), np.arange(7) < 5
    fp[classes[0], (classes[0] + 1) % 10] = 19
    expected_costs = rng.random(10) + 1
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    label = np.eye(10, dtype=bool)[classes]
    miss, false_alarms = -np.log(p[label]), np.where(label, 0, -np.log1p(-p))
    by_hand = {
        "binary cross-entropy": miss + false_alarms.sum(1),
        "cross-entropy": miss,
        "RWWCE": miss + (fp[classes] * false_alarms).sum(1),
        "RWWCE with fn = 0": ((1 + fp[classes]) * false_alarms).sum(1),
        "expected-cost weights": expected_costs[classes] * miss,
    }
    task = table2.Task(jnp.float32(fp), jnp.float32(expected_costs))
    batch = Batch(jnp.float32(logits), jnp.asarray(classes), where, task, jnp.zeros(2))
    losses = {name: float(arm.loss(batch)) for name, arm in table2.ARMS.items()}
    assert losses == pytest.approx({n: of[where].mean() for n, of in by_hand.items()}, rel=1e-5)


def _scored(seed, examples):
    """Noise for two data sets, with many ties, so that each split has a threshold of its own."""
    rng = np.random.default_rng(seed)
    labels, where = rng.random((2, examples)) < 0.3, rng.random((2, examples)) < 0.9
    scores = rng.integers(-4, 5, (7, 2, examples)).astype(np.float32)
    return [table1.Scored(each, labels, where) for each in scores]


PARTS = {"train": _scored(0, 90), "validation": _scored(1, 60), "test": _scored(2, 80)}


@pytest.mark.parametrize(
    ("method", "part", "measure", "sign"),
    [
        (table1.CONTROL_2, "test", "f1", -1),
        (table1.F1_VALIDATION, "validation", "f1", -1),
        (table1.COST_VALIDATION, "validation", "cost", 1),
        (table1.COST_TRAIN, "train", "cost", 1),
        (table1.ORACLE, "test", "cost", 1),
    ],
)
def test_thresholds_are_the_best_of_their_split(method, part, measure, sign):
    test, thresholds = table1.ARMS[table1.PAPERS].methods[method](PARTS.__getitem__)
    assert test is PARTS["test"][0]
    cuts = [thresholds, *np.arange(-4.5, 5)]
    chosen, *others = (sign * table1.judge(PARTS[part][0], cut)[measure] for cut in cuts)
    np.testing.assert_allclose(chosen, np.min(others, axis=0), rtol=1e-6)


def test_judged_as_table_1_does():
    test, metrics = PARTS["test"][0], sklearn.metrics
    judged = table1.judge(test, 0.0)
    for number, (scores, labels, where) in enumerate(zip(*test, strict=True)):
        truth, decided = labels[where], scores[where] > 0
        (right, alarms), (missed, _) = metrics.confusion_matrix(truth, decided)
        expected = {"fn": missed, "fp": alarms, "negatives": right + alarms}
        expected["error"] = 1 - metrics.accuracy_score(truth, decided)
        expected["error_of_negatives"] = (missed + alarms) / (right + alarms)
        expected["f1"] = metrics.f1_score(truth, decided)
        expected["cost"] = (2000 * missed + 100 * alarms) / len(truth)
        assert {name: of[number] for name, of in judged.items()} == pytest.approx(expected)


def test_judged_as_table_2_does():
    """Five mistakes in a hundred, two of them 3 taken for 8, which is not 8 taken for 3."""
    truth = np.repeat([[8, 3]], [10, 90], axis=1)
    decided = truth.copy()
    decided[0, [0, 1, 50, 51, 52]] = [3, 1, 8, 8, 9]
    fp = np.zeros((1, 10, 10), np.float32)
    fp[0, 3, 8] = table2.FP_OF_PAIR
    found = table2.judge(decided, truth, np.array([[3, 8]]), fp)
    assert found["high_cost"] == [2]
    assert found["error"] == [0.05]
    assert found["cost"] == pytest.approx([(5 + 2 * 19) / 100])


def test_cost_of_a_pair_stands_at_its_truth_and_prediction(monkeypatch):
    tasks = []
    monkeypatch.setattr(table2.networks, "train", lambda *given, **_: tasks.append(given[2]))
    monkeypatch.setattr(table2.networks, "logits", lambda *_: jnp.zeros((3, 1, 450, 10)))
    table2.run("RWWCE", "digits", PLAN, 0)
    truth, predicted = data.pairs(PLAN).T
    np.testing.assert_array_equal(tasks[0].fp[range(3), truth, predicted], 19)
    assert tasks[0].fp.sum() == 3 * 19


def test_section_7():
    result = section7.run()
    assert result["probability"] == pytest.approx(0.9, abs=1e-5)
    assert min(result["curve"], key=result["curve"].get) == 0.9
    assert max(result["likelihood"], result["gradient"]) < 1e-11
