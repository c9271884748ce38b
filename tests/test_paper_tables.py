"""The paper, reproduced: the reduced run of its command, and the parts it is made of."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rwwce_jax as rwwce
from examples import mnist
from examples.paper import __main__ as command
from examples.paper import data, report, section7, statistics, store, table1, table2, training
from examples.paper.data import Examples, Images, Plan

pytestmark = pytest.mark.repository

PLAN = Plan(images=1797, sets_per_digit=1, pairs=6, epochs=2, more_seeds=0)


@pytest.fixture(autouse=True)
def _standard_promotion() -> Iterator[None]:
    """Optax's Adam multiplies floats with an integer count."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def _digits(source: str) -> mnist.ImageData:
    return _load("digits")


_load = mnist.load


def test_reduced_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make paper-quick`, on the digits that are there without a network."""
    monkeypatch.setattr(mnist, "load", _digits)
    arguments = ["--quick", f"--output={tmp_path}"]
    assert command.main(arguments) == 0
    text, facts = (tmp_path / "report.md").read_text(), _facts(tmp_path)
    assert text in capsys.readouterr().out
    for name in ("figure1", "table1", "table2"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert [len(facts[t]) for t in ("Table I", "Table II", "Table I, seed 1")] == [14, 7, 8]
    for method in [*facts["Table I"], *facts["Table II"]]:
        assert f"| {method} " in text
    assert text.startswith("**A reduced run")
    assert facts["bands"] == []
    assert facts["command"] == "python -m examples.paper --seed=0 --quick"
    assert facts["versions"]["jax"] == jax.__version__

    # A second run goes on from the finished arms, and one with another option does not.
    monkeypatch.setattr(training, "train", _must_not_train)
    assert command.main(arguments) == 0
    assert capsys.readouterr().err.count("kept from a run before") == 11
    assert _facts(tmp_path) == facts
    with pytest.raises(AssertionError, match="trained"):
        command.main([*arguments, "--seed=1"])


def _facts(folder: Path) -> Any:
    return json.loads((folder / "report.json").read_text())


def _must_not_train(*arguments: Any, **options: Any) -> None:
    raise AssertionError("trained")


def test_interrupt_keeps_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def finish(*_: Any) -> dict[str, Any]:
        return {"outcomes": {}, "seconds": {"training": 0, "all": 0}}

    def interrupt(arm: Any, images: Any, plan: Any, seed: int, name: str, between: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        between()

    monkeypatch.setattr(mnist, "load", _digits)
    monkeypatch.setattr(table1, "run", finish)
    monkeypatch.setattr(table2, "run", interrupt)
    assert command.main(["--quick", f"--output={tmp_path}"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        "Interrupted; the arms that are finished are kept."
    )
    assert len(list((tmp_path / "arms").glob("*/*.json"))) == len(table1.ARMS)
    assert not (tmp_path / "report.md").exists()


@pytest.mark.parametrize("option", ["--seed=-1", "--seed=2147483648", "--seed=x"])
def test_refuses_a_wrong_option(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main([option])
    assert "argument --seed" in capsys.readouterr().err


# --- Data sets ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits() -> Images:
    return data.images(_load("digits"), PLAN)


def test_full_plan_is_the_papers() -> None:
    full = Plan(images=70_000, sets_per_digit=10, pairs=90, epochs=10, more_seeds=5)
    assert full == data.FULL
    assert data.FULL.positives == 630


def test_binary_sets_are_batches_of_a_digit_against_all_others() -> None:
    classes = np.random.default_rng(0).integers(10, size=7000)
    plan = Plan(images=7000, sets_per_digit=10, pairs=0, epochs=0, more_seeds=0)
    positive, splits = data.binary_sets(classes, plan, seed=0)
    assert len(splits) == 100
    for number, (digit, split) in enumerate(zip(positive, splits, strict=True)):
        rows = np.concatenate(split)
        assert len(np.unique(rows)) == len(rows)
        own = np.flatnonzero(classes == digit)[number % 10 * 63 :][:63]
        others = np.flatnonzero(classes != digit)
        np.testing.assert_array_equal(np.sort(rows), np.sort(np.concatenate([own, others])))
        shares = np.array([len(part) for part in split]) / len(rows)
        np.testing.assert_allclose(shares, [0.675, 0.075, 0.25], atol=3e-4)


def test_pairs_are_all_ordered_pairs() -> None:
    pairs = data.pairs(data.FULL)
    assert len(np.unique(pairs, axis=0)) == 90
    assert np.all(pairs[:, 0] != pairs[:, 1])
    assert data.pairs(data.QUICK).shape == (data.QUICK.pairs, 2)


def test_streams_are_apart() -> None:
    """Also where one's numbers begin with the other's, and a zero follows."""
    uses = [(), (1,), (1, 0), (1, 0, 0), (2,), (1, 2), (2, 1)]
    drawn = {data.stream(5, *of).integers(2**62) for of in uses}
    assert len(drawn) == len(uses)


def test_splits_follow_from_the_seed() -> None:
    plan = Plan(images=100, sets_per_digit=1, pairs=2, epochs=1, more_seeds=0)
    first, again, other = (data.categorical_sets(100, plan, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first[0].train, again[0].train)
    assert np.any(first[0].train != first[1].train)
    assert np.any(first[0].train != other[0].train)


def test_smote_is_imbalanced_learns(digits: Images) -> None:
    over_sampling = pytest.importorskip("imblearn.over_sampling")
    rows = np.flatnonzero((digits.classes != 3) | (np.arange(1797) < 300))
    positive = digits.classes[rows] == 3
    ours = data.smote(digits.pixels, rows, positive, 7)
    pixels = digits.pixels.astype(np.float32)
    base, partner = (pixels[each] for each in (ours.rows, ours.partners))
    images = base + ours.steps[:, None] * (partner - base)
    theirs, labels = over_sampling.SMOTE(random_state=7).fit_resample(pixels[rows], positive)
    np.testing.assert_allclose(images, theirs, rtol=1e-6, atol=1e-4)  # pixels from 0 to 255
    np.testing.assert_array_equal(digits.classes[ours.rows] == 3, labels)


@pytest.mark.parametrize(
    ("resampling", "expected"), [(data.oversampled, (90, 90)), (data.undersampled, (10, 10))]
)
def test_resampling_balances(resampling: data.Resampling, expected: tuple[int, int]) -> None:
    rows, positive = np.arange(1000, 1100), np.arange(100) < 10
    drawn = resampling(np.zeros(0), rows, positive, 0).rows
    assert set(drawn) <= set(rows)
    assert (np.sum(drawn < 1010), np.sum(drawn >= 1010)) == expected


# --- Training -------------------------------------------------------------------------------------


def _mean_of(elementwise: Callable[..., jax.Array]) -> training.Loss:
    def loss(logits: jax.Array, classes: jax.Array, where: jax.Array, task: Any) -> jax.Array:
        truth = (classes == task).astype(jnp.float32)
        return training.mean(elementwise(logits[:, 0], truth), where)

    return loss


def _squared(logits: jax.Array, truth: jax.Array) -> jax.Array:
    return (logits - truth) ** 2


def test_training_is_that_of_networks_one_by_one(digits: Images) -> None:
    """Each data set and loss by itself, batch by batch, without padding or masks."""
    rng = np.random.default_rng(0)
    # Sizes for which the last batch is incomplete, or missing where the other has one.
    rows = [rng.permutation(1797)[:size].astype(np.int32) for size in (230, 421)]
    steps = [rng.random(len(each), dtype=np.float32) for each in rows]
    examples = [
        Examples(each, rng.permutation(each), step) for each, step in zip(rows, steps, strict=True)
    ]
    tasks = np.array([3, 8], np.int32)
    losses = [_mean_of(optax.sigmoid_binary_cross_entropy), _mean_of(_squared)]
    options = {"widths": (5, 1), "seed": 4, "table": 1, "name": "", "between": lambda: None}
    start = training.train(digits, examples, tasks, losses, epochs=0, **options)
    trained = training.train(digits, examples, tasks, losses, epochs=2, **options)

    for number, each in enumerate(examples):
        for arm, elementwise in enumerate([optax.sigmoid_binary_cross_entropy, _squared]):
            weights = jax.tree.map(lambda x, i=(number, arm): x[i], start)
            state = training.OPTIMIZER.init(weights)
            for epoch in range(2):
                order = data.stream(4, 1, number, epoch).permutation(len(each.rows))
                for first in range(0, len(order), training.BATCH):
                    batch = order[first : first + training.BATCH]
                    base = digits.pixels[each.rows[batch]] / np.float32(255)
                    partner = digits.pixels[each.partners[batch]] / np.float32(255)
                    pixels = base + each.steps[batch, None] * (partner - base)
                    truth = digits.classes[each.rows[batch]] == tasks[number]

                    def objective(
                        weights: Any, x: Any = pixels, y: Any = truth, f: Any = elementwise
                    ) -> jax.Array:
                        (w1, b1), (w2, b2) = weights
                        hidden = jnp.maximum(0, x @ w1.T + b1[None])
                        return jnp.mean(f((hidden @ w2.T + b2[None])[:, 0], y.astype(np.float32)))

                    updates, state = training.OPTIMIZER.update(jax.grad(objective)(weights), state)
                    weights = optax.apply_updates(weights, updates)
            ours = jax.tree.map(lambda x, i=(number, arm): x[i], trained)
            for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(weights), strict=True):
                np.testing.assert_allclose(a, b, atol=2e-5)


def test_arms_start_alike_and_networks_do_not(digits: Images) -> None:
    examples = [Examples(np.arange(100))] * 2
    ((first, biases), _) = training.train(
        digits,
        examples,
        np.zeros(2),
        [_mean_of(_squared)] * 2,
        widths=(3, 1),
        epochs=0,
        seed=0,
        table=1,
        name="",
        between=lambda: None,
    )
    np.testing.assert_array_equal(first[:, 0], first[:, 1])
    assert np.all(first[0] != first[1])
    assert np.all(np.abs(first) <= np.sqrt(6 / (64 + 3)))
    assert not biases.any()


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


def test_section_7() -> None:
    result = section7.run()
    assert result.probability == pytest.approx(0.9, abs=1e-4)
    assert min(result.curve, key=lambda point: point[1])[0] == 0.9
    assert result.likelihood < 1e-11
    assert result.gradient < 1e-11


# --- Losses and decisions, by hand ----------------------------------------------------------------

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


def test_logits_are_each_networks_own(digits: Images) -> None:
    """Two data sets, two arms, and more rows than are evaluated at once, with some left over."""
    rng = np.random.default_rng(0)
    rows = rng.integers(1797, size=(2, training.BLOCK + 37))
    sizes = [(6, 64), (3, 6)]
    weights = [
        (rng.normal(size=(2, 2, *size)).astype("f"), rng.normal(size=(2, 2, size[0])).astype("f"))
        for size in sizes
    ]
    actual = training.logits(weights, digits, data.Stack(rows, np.ones_like(rows, bool)))
    assert actual.shape == (2, 2, rows.shape[1], 3)
    for number, arm in np.ndindex(2, 2):
        (w1, b1), (w2, b2) = ((w[number, arm], b[number, arm]) for w, b in weights)
        hidden = np.maximum(0, digits.pixels[rows[number]] / 255 @ w1.T + b1)
        np.testing.assert_allclose(actual[number, arm], hidden @ w2.T + b2, rtol=1e-4, atol=1e-4)


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


def test_decisions_of_table_1(digits: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every threshold is chosen on its own split, by its own measure, and judged on the test's."""
    rng = np.random.default_rng(0)
    # Of control and RWWCE: noise, so that each split has a best threshold of its own.
    scores = rng.normal(size=(2, 1797, 1)).astype("f") * 2
    _untrained(monkeypatch, scores)
    outcomes = table1.run(table1.ARMS[table1.PAPERS], digits, PLAN, 0, "", lambda: None)["outcomes"]
    positive, splits = data.binary_sets(digits.classes, PLAN, 0)

    def wrong(rows: np.ndarray, arm: int, threshold: float, digit: int) -> tuple[int, int, int]:
        decided, truth = scores[arm, rows, 0] > threshold, digits.classes[rows] == digit
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


def test_decisions_of_table_2(digits: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """The costs stand at (true, predicted), and each way to decide is judged by them."""
    scores = np.random.default_rng(0).normal(size=(1, 1797, 10)).astype("f")
    tasks = _untrained(monkeypatch, scores)
    pairs, splits = data.pairs(PLAN), data.categorical_sets(1797, PLAN, 0)
    outcomes = {
        arm: table2.run(table2.ARMS[arm], digits, PLAN, 0, "", lambda: None)["outcomes"]
        for arm in ("cross-entropy", "RWWCE")
    }
    for number, ((true, predicted), split) in enumerate(zip(pairs, splits, strict=True)):
        fp = tasks[0].fp[number]
        assert fp[true, predicted] == 19
        assert fp.sum() == 19
        logits, truth = scores[0, split.test], digits.classes[split.test]
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


# --- Statistics and bands -------------------------------------------------------------------------


def _around(mean: float, spread: float = 0.01) -> np.ndarray:
    return mean * (1 + spread * np.linspace(-1, 1, 100))


def _as_in_the_paper() -> tuple[statistics.Methods, statistics.Methods]:
    first, second = (
        {method: {name: _around(mean) for name, mean in means.items()} for method, means in paper}
        for paper in (statistics.PAPER_1.items(), statistics.PAPER_2.items())
    )
    return first, second


def test_bands_hold_for_the_papers_own_figures() -> None:
    first, second = _as_in_the_paper()
    bands = statistics.bands_1(first) + statistics.bands_2(second)
    assert len(bands) == 13
    assert all(band.held for band in bands)
    assert all(", held (" in line for line in statistics.verdicts(bands))


def test_bands_are_the_ones_that_were_set() -> None:
    """Fixed before the first run: a change here is a change of what was promised."""
    first, second = _as_in_the_paper()
    bands = statistics.bands_1(first) + statistics.bands_2(second)
    limits = [(round(band.lowest, 12), round(band.highest, 12)) for band in bands]
    assert limits == [
        (5.18, 6.38),
        (41.4, 49.4),
        (2.51, 3.11),
        (13.6, 18.6),
        (107, 147),
        (3.71, 4.51),
        (0, 1e-10),
        (0, 1e-10),
        (5.47, 7.87),
        (0.0398, 0.0458),
        (1.77, 3.37),
        (0.036, 0.042),
        (0, 1e-4),
    ]


def test_a_cost_that_is_higher_is_no_success() -> None:
    """However small the p-value."""
    first, _ = _as_in_the_paper()
    first[table1.CONTROL_2]["cost"] = _around(2.0)
    *_, last = statistics.bands_1(first)
    assert not last.held


def test_a_missed_band_is_called_missed() -> None:
    first, second = _as_in_the_paper()
    first[table1.RWWCE]["cost"] = _around(3.12)
    lines = statistics.verdicts(statistics.bands_1(first) + statistics.bands_2(second))
    missed = [line for line in lines if "MIS" in line]
    assert missed == ["Table I, RWWCE, Real World Cost: 3.12, MISSED (from 2.51 to 3.11)"]


def _measured(measures: Callable[..., Any], outcome: dict[str, Any]) -> statistics.Measures:
    """Of one data set, whose network was updated once."""
    return measures({"updates": [1], **{name: [x.item()] for name, x in outcome.items()}})


def test_measures_of_table_1_divide_as_the_paper_does() -> None:
    """The paper's mean counts, in data sets of its size: 158 positives, 15,774 negatives."""
    labels = np.arange(15_932) < 158
    scores = np.where(labels, 1.0, -1.0).astype(np.float32)
    scores[:16] = -1  # false negatives
    scores[158 : 158 + 127] = 1  # false positives
    padded = [
        np.append(each, each.dtype.type(end))
        for each, end in ((scores, 1), (labels, False), (labels | True, False))
    ]
    outcome = table1.judge(*map(jnp.asarray, padded), 0.0)
    measured = _measured(statistics.measures_1, outcome)
    assert measured["cost"] == pytest.approx((2000 * 16 + 100 * 127) / 15_932)
    assert measured["cost"] == pytest.approx(2.81, abs=0.01)
    assert measured["error_of_negatives"] == pytest.approx(0.0091, abs=5e-5)
    assert measured["error"] == pytest.approx(143 / 15_932)


def test_measures_of_table_2() -> None:
    """Five mistakes in a hundred, two of them 3 taken for 8, which is not 8 taken for 3."""
    truth, decided = np.full(100, 3), np.full(100, 3)
    truth[:10], decided[:10] = 8, 8
    decided[[0, 1, 50, 51, 52]] = [3, 1, 8, 8, 9]
    fp = np.zeros((10, 10), np.float32)
    fp[3, 8] = table2.FP_OF_PAIR
    outcome = table2.judge(*map(jnp.asarray, (decided, truth, np.array([3, 8]), fp)))
    measured = _measured(statistics.measures_2, outcome)
    assert measured["high_cost"] == [2]
    assert measured["error"] == [0.05]
    assert measured["cost"] == pytest.approx((5 + 2 * 19) / 100)


def test_averages_are_of_the_methods_that_all_runs_have() -> None:
    first, _ = _as_in_the_paper()
    other = {table1.RWWCE: {name: 3 * values for name, values in first[table1.RWWCE].items()}}
    averaged = statistics.averaged([first, other])
    assert set(averaged) == {table1.RWWCE}
    np.testing.assert_allclose(averaged[table1.RWWCE]["cost"], 2 * first[table1.RWWCE]["cost"])


def test_strays_err_twice_as_often_as_their_kind() -> None:
    good, bad = np.full(9, 0.04), np.append(np.full(8, 0.04), 0.09)
    found = statistics.strays({"good": {"error": good}, "bad": {"error": bad}})
    assert list(found) == ["bad"]
    assert found["bad"].tolist() == [False] * 8 + [True]


def test_the_best_of_several_must_be_better_by_more() -> None:
    noise = np.random.default_rng(0).normal(size=100)
    methods = {"one": {"cost": 1 + noise}, "other": {"cost": 1.2 + 0.1 * noise[::-1]}}
    alone = statistics.compare("one", "other", methods)
    assert alone.difference == pytest.approx((methods["one"]["cost"] - 1.2).mean(), abs=0.02)
    assert statistics.compare("one", "other", methods, best_of=3).p == pytest.approx(3 * alone.p)


# --- The report -----------------------------------------------------------------------------------


OVERSAMPLING = "Random oversampling to 1 : 1"


def _report(deciding: float, oversampling: float = 9.0) -> str:
    """A full report of Table I in which deciding by the Bayes threshold costs so much."""
    first, second = _as_in_the_paper()
    counted = {"updates": _around(4000), "negatives": _around(15_000), "error": _around(0.01)}
    costs = {
        table1.BAYES: deciding,
        table1.COST_VALIDATION: 9.5,
        table1.COST_TRAIN: 9.5,
        table1.ORACLE: 1.0,
        OVERSAMPLING: oversampling,
    }
    for method, cost in costs.items():
        first[method] = {"fn": _around(20), "fp": _around(30), "cost": _around(cost)}
    second[table2.CE_DECIDE] = {
        name: _around(mean) for name, mean in (("high_cost", 2), ("error", 0.03), ("cost", 0.037))
    }
    for measures in first.values():
        measures |= {name: measures.get(name, values) for name, values in counted.items()}
    one, other = first, {method: first[method] for method in first if method != OVERSAMPLING}
    return report.write(
        {0: one, 1: other}, second, section7.Section7(0.9, [], 0.0, 0.0), full=True, how="how"
    )


@pytest.mark.parametrize(
    ("deciding", "verdict"),
    [
        (2.5, "deciding with the costs after training beats training with them"),
        (3.5, "training with the costs beats deciding with them after training"),
        (2.81, "no clear difference between deciding with the costs and training with them"),
    ],
)
def test_report_begins_with_who_wins(deciding: float, verdict: str) -> None:
    first, *_ = _report(deciding).splitlines()
    assert first.startswith(f"**Table I, mean of 2 seeds: {verdict}.** The best such decision,")
    beats = "deciding with the costs after training beats training with them"
    assert f"**Table II: {beats}.**" in first
    assert table1.BAYES in first
    # What looks at the examples it is judged by is not in the running.
    assert table1.ORACLE not in first


def test_report_names_the_cheapest_of_all_where_it_is_another() -> None:
    cheapest = f"The cheapest method of all, *{OVERSAMPLING}*, costs 2,"
    assert cheapest in _report(3.5, oversampling=2.0).splitlines()[0]
    assert "The cheapest method of all" not in _report(3.5).splitlines()[0]


def test_full_report_gives_every_verdict_and_seed() -> None:
    text = _report(3.5)
    assert text.count(", held (from ") == 13
    assert "| bands held " in text
    assert text.count("8 of 8") == 2
    rows = [line for line in text.splitlines() if line.startswith(f"| {OVERSAMPLING}")]
    assert len(rows) == 1  # in the ranking, but not among the seeds


def test_a_control_without_a_score_learned_nothing() -> None:
    """All images get one score. The highest F1 is that of calling all of them positive."""
    labels = jnp.arange(1000) < 10
    where = jnp.ones(1000, bool)
    learned = []
    for scores in (jnp.zeros(1000), jnp.where(labels, 1.0, -1.0)):
        threshold = table1.best_f1_threshold(scores, labels, where)
        outcome = table1.judge(scores, labels, where, threshold)
        measures = _measured(statistics.measures_1, outcome)
        learned.append(statistics.learned_nothing({table1.CONTROL_2: measures}).tolist())
    assert learned == [[True], [False]]


def test_interval_is_students() -> None:
    low, high = statistics.interval(np.array([1.0, 2.0, 3.0]))
    assert (low, high) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), rel=1e-4)


# --- Store ----------------------------------------------------------------------------------------


def test_key_follows_options_data_and_code(digits: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [
        store.key(digits, PLAN, 0),
        store.key(digits, PLAN, 1),
        store.key(digits, data.QUICK, 0),
        store.key(digits._replace(classes=digits.classes[::-1]), PLAN, 0),
    ]
    monkeypatch.setattr(store, "CODE", store.CODE[1:])
    keys.append(store.key(digits, PLAN, 0))
    monkeypatch.setattr(store, "device", lambda: "another")
    keys.append(store.key(digits, PLAN, 0))
    monkeypatch.setattr(store, "versions", lambda: {"jax": "another"})
    keys.append(store.key(digits, PLAN, 0))
    read = Path.read_bytes
    of_library = Path(rwwce.__file__).parent / "_numerics" / "softmax.py"
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + b"#" * (path == of_library))
    keys.append(store.key(digits, PLAN, 0))
    assert len(set(keys)) == len(keys)
    assert keys[-1] == store.key(digits, PLAN, 0)


def test_store_gives_back_what_it_took(tmp_path: Path) -> None:
    kept = store.Store(tmp_path, "key")
    assert kept.load("Table I, an arm") is None
    kept.save("Table I, an arm", {"outcomes": [1]})
    assert store.Store(tmp_path, "key").load("Table I, an arm") == {"outcomes": [1]}
    assert store.Store(tmp_path, "other").load("Table I, an arm") is None


def test_help_imports_no_jax() -> None:
    code = "import sys; sys.argv = ['paper', '--help']\n"
    code += "try:\n import runpy; runpy.run_module('examples.paper', run_name='__main__')\n"
    code += "finally:\n assert 'jax' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
