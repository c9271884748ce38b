"""The losses and the decisions of the paper's tables, by hand, and its section 7."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from paper_in_small import PLAN, digits

from experiments.paper import data, section7, table1, table2, training
from experiments.paper.data import Images

pytestmark = [pytest.mark.repository, pytest.mark.usefixtures("standard_promotion")]


# --- Losses ---------------------------------------------------------------------------------------

LOGITS_1 = np.float32([-3.0, -0.5, 0.2, 1.0, 4.0, 9.0])
CLASSES_1 = np.array([3, 0, 3, 1, 3, 3])  # 3 is the positive class
COUNTS = np.float32([400, 100])


def _cross_entropies(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a positive and of a negative."""
    return np.log1p(np.exp(-logits)), np.log1p(np.exp(logits))


def _rwwce_by_hand(positive: np.ndarray, negative: np.ndarray) -> tuple[Any, Any]:
    return 2000 * positive, 100 * negative


def _class_balanced_by_hand(positive: np.ndarray, negative: np.ndarray) -> tuple[Any, Any]:
    effective = (1 - 0.999 ** COUNTS.astype(float)) / (1 - 0.999)
    weights = 2 / effective / np.sum(1 / effective)
    return weights[1] * positive, weights[0] * negative


def _focal_by_hand(positive: np.ndarray, negative: np.ndarray) -> tuple[Any, Any]:
    wrong = (1 - np.exp(-positive)) ** 2, (1 - np.exp(-negative)) ** 2
    return 0.25 * wrong[0] * positive, 0.75 * wrong[1] * negative


@pytest.mark.parametrize(
    ("arm", "method", "by_hand"),
    [
        (table1.PAPERS, table1.CONTROL_1, lambda *both: both),
        (table1.PAPERS, table1.RWWCE, _rwwce_by_hand),
        ("weighted losses", "Class-balanced weights, β = 0.999", _class_balanced_by_hand),
        ("weighted losses", "Focal loss, α = 0.25, γ = 2", _focal_by_hand),
    ],
)
def test_losses_of_table_1(arm: str, method: str, by_hand: Callable[..., Any]) -> None:
    loss = table1.ARMS[arm].methods[method]
    where = np.arange(6) < 5  # the last is padding
    task = table1.Task(np.int32(3), COUNTS)
    actual = loss(jnp.asarray(LOGITS_1[:, None]), jnp.asarray(CLASSES_1), jnp.asarray(where), task)
    of_positive, of_negative = by_hand(*_cross_entropies(LOGITS_1.astype(float)))
    expected = np.where(CLASSES_1 == 3, of_positive, of_negative)[where].mean()
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_losses_of_table_2() -> None:
    rng = np.random.default_rng(0)
    logits, classes = rng.normal(size=(7, 10)), rng.integers(10, size=7)
    where = np.arange(7) < 5
    fp = np.zeros((10, 10))
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
    assert set(by_hand) == set(table2.ARMS)
    task = table2.Task(jnp.float32(fp), jnp.float32(expected_costs))
    for arm, losses in by_hand.items():
        actual = table2.ARMS[arm].loss(
            jnp.float32(logits), jnp.asarray(classes), jnp.asarray(where), task
        )
        np.testing.assert_allclose(actual, losses[where].mean(), rtol=1e-5, err_msg=arm)


# --- Decisions and costs --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_f1_threshold_is_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(-4, 5, 60).astype(np.float32)  # with many ties
    labels, where = rng.random(60) < 0.3, rng.random(60) < 0.8

    def f1(threshold: float) -> float:
        accepted = (scores > threshold) & where
        hits = np.sum(accepted & labels)
        return 2 * hits / (accepted.sum() + np.sum(labels & where))

    threshold = float(jax.jit(table1.best_f1_threshold)(scores, labels, where))
    assert f1(threshold) == max(f1(each) for each in np.arange(-5, 5))


def test_expected_costs_are_averages_over_the_other_classes() -> None:
    classes = np.repeat(np.arange(10), [50, 25, *[25] * 8])
    fp = np.zeros((10, 10))
    fp[0, 1] = 19
    costs = table2.expected_costs(classes, fp)
    np.testing.assert_allclose(costs, [1 + 19 / 9, *[1] * 9])


def _untrained(monkeypatch: pytest.MonkeyPatch, scores: np.ndarray) -> list[Any]:
    """Networks that give each image the score of its row number; returns the tasks they are for."""
    tasks = []

    def train(images: Images, examples: Any, task: Any, *rest: Any, **options: Any) -> None:
        tasks.append(task)

    def logits(weights: None, images: Images, chosen: data.Stack) -> np.ndarray:
        arms = scores[:, chosen.rows]
        return np.moveaxis(arms, 0, 1)

    monkeypatch.setattr(training, "train", train)
    monkeypatch.setattr(training, "logits", logits)
    return tasks


def test_decisions_of_table_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every threshold is chosen on its own split, by its own measure, and judged on the test's."""
    rng = np.random.default_rng(0)
    # Of control and RWWCE: noise, so that each split has a best threshold of its own.
    scores = rng.normal(size=(2, 1797, 1)).astype("f") * 2
    _untrained(monkeypatch, scores)
    arm = table1.ARMS[table1.PAPERS]
    outcomes = table1.run(arm, digits(), PLAN, 0, "", lambda: None)["outcomes"]
    positive, splits = data.binary_sets(digits().classes, PLAN, 0)

    def wrong(rows: np.ndarray, arm: int, threshold: float, digit: int) -> tuple[int, int, int]:
        decided, truth = scores[arm, rows, 0] > threshold, digits().classes[rows] == digit
        return np.sum(truth & ~decided), np.sum(~truth & decided), np.sum(truth & decided)

    def cost(fn: int, fp: int, hits: int) -> float:
        return 2000 * fn + 100 * fp

    def f1(fn: int, fp: int, hits: int) -> float:
        return -2 * hits / max(1, 2 * hits + fn + fp)

    chosen = {
        table1.CONTROL_2: ("test", f1),
        table1.F1_VALIDATION: ("validation", f1),
        table1.COST_VALIDATION: ("validation", cost),
        table1.COST_TRAIN: ("train", cost),
        table1.ORACLE: ("test", cost),
    }
    assert len(outcomes) == 3 + len(chosen)
    for number, (digit, split) in enumerate(zip(positive, splits, strict=True)):
        fixed = {
            table1.CONTROL_1: (0, 0.0),
            table1.RWWCE: (1, 0.0),
            table1.BAYES: (0, np.log(100 / 2000)),
        }
        for method, (arm, threshold) in fixed.items():
            fn, fp, _ = wrong(split.test, arm, threshold, digit)
            outcome = outcomes[method]
            assert outcome["false_negatives"][number] == fn, method
            assert outcome["false_positives"][number] == fp, method
        for method, (part, measure) in chosen.items():
            rows = getattr(split, part)
            ordered = np.sort(scores[0, rows, 0])
            cuts = [-np.inf, *(ordered[:-1] + ordered[1:]) / 2, np.inf]
            worth = np.array([measure(*wrong(rows, 0, cut, digit)) for cut in cuts])
            best = {
                wrong(split.test, 0, cut, digit)[:2]
                for cut in np.array(cuts)[worth <= worth.min() + 1e-9]
            }
            outcome = outcomes[method]
            mistakes = outcome["false_negatives"][number], outcome["false_positives"][number]
            assert mistakes in best, method


def test_decisions_of_table_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """The costs stand at (true, predicted), and each way to decide is judged by them."""
    scores = np.random.default_rng(0).normal(size=(1, 1797, 10)).astype("f")
    tasks = _untrained(monkeypatch, scores)
    pairs, splits = data.pairs(PLAN), data.categorical_sets(1797, PLAN, 0)
    outcomes = {
        arm: table2.run(table2.ARMS[arm], digits(), PLAN, 0, "", lambda: None)["outcomes"]
        for arm in ("cross-entropy", "RWWCE")
    }
    for number, ((true, predicted), split) in enumerate(zip(pairs, splits, strict=True)):
        fp = tasks[0].fp[number]
        assert fp[true, predicted] == 19
        assert fp.sum() == 19
        logits, truth = scores[0, split.test], digits().classes[split.test]
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        costs = (1 + fp) * (1 - np.eye(10))
        decided = {
            ("cross-entropy", table2.CROSS_ENTROPY): logits.argmax(1),
            ("cross-entropy", table2.CE_DECIDE): (p @ costs).argmin(1),
            ("RWWCE", table2.RWWCE): logits.argmax(1),
        }
        for (arm, method), decisions in decided.items():
            outcome = outcomes[arm][method]
            dear = np.sum((truth == true) & (decisions == predicted))
            assert outcome["high_cost"][number] == dear, method
            assert outcome["errors"][number] == np.sum(truth != decisions), method
            expected = costs[truth, decisions].mean()
            np.testing.assert_allclose(outcome["cost"][number], expected, rtol=1e-5, err_msg=method)
    # On the network's own probabilities it would count the costs twice.
    posterior = outcomes["RWWCE"][table2.POSTERIOR_DECIDE]["errors"]
    assert posterior != outcomes["cross-entropy"][table2.CE_DECIDE]["errors"]


def test_section_7() -> None:
    result = section7.run()
    assert result.probability == pytest.approx(0.9, abs=1e-4)
    assert min(result.curve, key=lambda point: point[1])[0] == 0.9
    assert result.likelihood < 1e-11
    assert result.gradient < 1e-11
