"""``python -m examples.mnist``: what it prints and draws."""

import re

import numpy as np
import pytest
from stoppable import stop

import rwwce_jax as rwwce
from examples import mnist

pytestmark = [
    pytest.mark.slow,
    pytest.mark.repository,
    pytest.mark.usefixtures("standard_promotion"),
]

WAYS = [
    ["cross-entropy", "highest probability"],
    ["cross-entropy", "least expected cost"],
    ["RWWCE", "highest probability"],
    ["RWWCE", "posterior, least cost"],
    ["cross-entropy, 2 averaged", "least expected cost"],
    ["cross-entropy, 4 averaged", "least expected cost"],
]


def test_table_shows_every_way_and_its_numbers_agree(tmp_path, capsys):
    mnist.main(["--data=digits", "--epochs=9", "--runs=4", f"--output={tmp_path}"])
    text = capsys.readouterr().out
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line] for line in lines[2:]]
    assert [row[:2] for row in rows[:-1]] == WAYS
    for row in rows[:-1]:
        accuracy, costly, cost = (float(cell.split()[0]) for cell in row[2:])
        assert accuracy > 80
        assert cost == pytest.approx(1 - accuracy / 100 + 19 * costly / 450, abs=3e-3)

    first, _, weighted, *_ = (float(row[4].split()[0]) for row in rows)
    interval = r"both by highest probability: (\S+), 95 % interval (\S+) to (\S+) \(4 pairs"
    less, low, high = map(float, re.search(interval, text).groups())
    assert less == pytest.approx(weighted - first, abs=2e-4)
    assert less == pytest.approx((low + high) / 2, abs=1e-3)
    assert {path.name for path in tmp_path.iterdir()} == {"cheques.png", "mnist.md", "mnist.png"}


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


def test_ctrl_c_is_pythons_own_and_nothing_is_written(tmp_path):
    command = ["-m", "examples.mnist", "--data=digits", "--epochs=1000000", f"--output={tmp_path}"]
    assert stop(command, once=b"batch/s").splitlines()[-1] == "KeyboardInterrupt"
    assert not any(tmp_path.iterdir())
