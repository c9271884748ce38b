"""``python -m examples.credit``: what it prints and writes, and how it stops."""

import builtins
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest

import rwwce_jax as rwwce
from examples.credit import __main__ as credit
from examples.credit import contest, data, models, report

pytestmark = [pytest.mark.repository, pytest.mark.usefixtures("standard_promotion")]

ROOT = Path(__file__).parents[1]
QUICK = ["--customers", "600", "--folds", "2", "--repeats", "1"]
WAYS = {
    (model, *way)
    for model in ("logistic model", "network")
    for way in [
        ("cross-entropy", "0.5"),
        ("cross-entropy", "Bayes threshold"),
        ("rwwce.binary", "0.5"),
        ("rwwce.binary", "binary_posterior, Bayes threshold"),
    ]
} | {
    ("gradient boosting", "cross-entropy", "Bayes threshold"),
    ("logistic model", "empulse CSLogit", "0.5"),
}


@pytest.fixture(scope="module")
def empulse() -> None:
    pytest.importorskip("empulse")
    pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, empulse) -> tuple[Path, str]:
    output = tmp_path_factory.mktemp("credit") / "made" / "here"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert credit.main([*QUICK, "--data", "pakdd", "--output", str(output)]) == 0
    return output, printed.getvalue()


def results(output: Path) -> list[report.Result]:
    facts = json.loads((output / "credit.json").read_text())
    return [report.restored(one) for one in facts["results"]]


def test_three_files_are_written_and_nothing_else(finished):
    output, printed = finished
    assert {path.name for path in output.iterdir()} == {"credit.png", "credit.json", "credit.md"}
    assert (output / "credit.md").read_text() in printed
    height, width, _ = matplotlib.image.imread(output / "credit.png").shape
    assert width > 900
    assert height > 500


def test_every_way_is_measured_on_every_fold_and_none_is_nan(finished):
    output, _ = finished
    assert [one.name for one in results(output)] == ["PAKDD 2009 credit scoring"]
    for one in results(output):
        assert set(one.savings) == WAYS
        for savings in one.savings.values():
            assert savings.shape == (2,)
            assert np.all(np.isfinite(savings) & (savings <= 1))


def test_own_thresholds_save_more_than_one_half(finished):
    output, _ = finished
    for one in results(output):
        plain = [
            one.savings["logistic model", "cross-entropy", how].mean()
            for how in ("0.5", "Bayes threshold")
        ]
        assert plain[1] > plain[0] + 0.1


def test_table_of_the_docs_is_that_of_the_recorded_run():
    page = (ROOT / "docs" / "credit.md").read_text()
    recorded = json.loads((ROOT / "benchmarks" / "results" / "credit.json").read_text())
    for one in recorded["results"]:
        result = report.restored(one)
        assert report.table(result) in page
        assert report.verdict(result) in page


# The parts.


@pytest.mark.parametrize("name", list(data.DATA))
def test_costs_are_finite_and_some_are_zero(name, empulse):
    customers = data.DATA[name]()
    for costs in (customers.fn, customers.fp):
        assert np.all(np.isfinite(costs) & (costs >= 0))
    assert np.any(customers.fn == 0) | np.any(customers.fp == 0)
    assert set(np.unique(customers.labels)) == {0, 1}
    assert tuple(credit.DATA) == tuple(data.DATA)


def test_preprocessing_learns_nothing_from_the_test_customers(empulse):
    customers = data.subsample(data.pakdd(), 400, seed=0)
    train, test = np.arange(300), np.arange(300, 400)
    changed = customers.features.copy()
    changed.iloc[300:, 0] = 99
    splits = [
        contest._split(one, train, test, seed=0)
        for one in (customers, customers._replace(features=changed))
    ]
    np.testing.assert_array_equal(splits[0].train[0], splits[1].train[0])
    assert np.any(splits[0].inputs != splits[1].inputs)


def logistic_data(rows: int = 500) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(rows, 3))
    labels = (rng.random(rows) < 1 / (1 + np.exp(-inputs @ [1.0, -2.0, 0.5]))).astype(np.int32)
    return inputs, labels, rng.exponential(size=rows), rng.exponential(size=rows)


def test_padding_changes_neither_loss_nor_model():
    inputs, labels, fn, fp = logistic_data()
    table = models.padded(inputs, labels, fn, fp)
    assert table.inputs.shape == (512, 16)
    table = table._replace(fn=table.fn[None], fp=table.fp[None])
    kind = models.KINDS["logistic model"]
    weights = models.trained(kind, table, jnp.array([1e-3]), jax.random.key(0))
    scores = models.logits(kind, weights, table.inputs)
    expected = rwwce.binary(scores[0, :500], labels, fn, fp)
    np.testing.assert_allclose(models.losses(scores, table)[0], expected, rtol=1e-6)


def test_logistic_model_is_that_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    inputs, labels, fn, fp = logistic_data()
    table = models.padded(inputs, labels, fn, fp)
    table = table._replace(fn=table.fn[None], fp=table.fp[None])
    kind = models.KINDS["logistic model"]
    weights = models.trained(kind, table, jnp.array([1e-2]), jax.random.key(0))
    found = np.asarray(models.logits(kind, weights, table.inputs))[0, :500]
    # Costs are weights of examples. scikit-learn's C multiplies their sum, not their mean.
    other = LogisticRegression(C=1 / (500 * 1e-2), tol=1e-8, max_iter=1000)
    other.fit(inputs, labels, sample_weight=np.where(labels, fn, fp))
    np.testing.assert_allclose(found, other.decision_function(inputs), atol=0.02)


def test_gap_is_corrected_for_overlapping_training_sets():
    one, other = np.array([0.3, 0.4, 0.5, 0.4]), np.array([0.1, 0.3, 0.3, 0.3])
    found = report.gap(one, other, folds=2)
    # Differences .2, .1, .2, .1: their deviation is .0577, times sqrt(1 / 4 + 1), times t of 3.
    assert found.mean == pytest.approx(0.15)
    assert found.high - found.mean == pytest.approx(0.057735 * 1.25**0.5 * 3.182446, rel=1e-4)
    assert not found.is_clear


# The command line.


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as stopped:
        credit.main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for option in ("--data", "--folds", "--repeats", "--customers", "--seed", "--output DIR"):
        assert option in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--folds", "1"], "argument --folds: must be a whole number of at least 2, got '1'"),
        (["--repeats", "x"], "argument --repeats: must be a whole number of at least 1, got 'x'"),
        (["--customers", "5"], "argument --customers: must be a whole number of at least 200, got"),
        (["--seed", "-1"], "argument --seed: must be from 0 to 2**32 - 1, got -1"),
        (["--data", "cheques"], "argument --data: invalid choice: 'cheques'"),
        (["--output", "/dev/null/x"], "argument --output: cannot write to /dev/null/x: Not a dir"),
    ],
)
def test_bad_options_get_one_sentence(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        credit.main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_missing_empulse_is_one_sentence_that_says_how_to_get_it(monkeypatch, tmp_path, capsys):
    real = builtins.__import__

    def without(name: str, *arguments, **keywords):
        if name.split(".")[0] == "empulse":
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    assert credit.main(["--output", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        "The data sets come with empulse, which is not installed:"
        " python -m pip install empulse pandas.\n"
    )


def test_interrupt_while_training_ends_cleanly(tmp_path, empulse):
    command = [sys.executable, "-m", "examples.credit", "--output", str(tmp_path)]
    with subprocess.Popen(
        [*command, "--data", "telemarketing", "--customers", "600", "--repeats", "1000"],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stderr=subprocess.PIPE,
    ) as running:
        said = b""
        while b"1/20000" not in said:  # the progress bar moves: it is training
            block = os.read(running.stderr.fileno(), 4096)
            assert block, said.decode()
            said += block
        running.send_signal(signal.SIGINT)
        try:
            _, rest = running.communicate(timeout=60)
        finally:
            running.kill()
    assert running.returncode == 130
    assert rest.decode().splitlines()[-1] == "Interrupted, nothing written."
    assert b"Traceback" not in said + rest
    assert not any(tmp_path.iterdir())
