"""What all experiments share: training, intervals, the docs."""

import re
from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import report, training

pytestmark = [
    pytest.mark.repository,
    pytest.mark.experiments,
    pytest.mark.usefixtures("standard_promotion"),
]

ROOT = Path(__file__).parents[2]


def _loss(weights, shared, own, rows, where):
    apart = (shared[rows] @ weights[..., None])[..., 0] - own[rows]
    return jnp.sum(jnp.mean(apart**2, axis=1, where=where))


def _held_out(weights, shared, own):
    return jnp.mean(((shared @ weights[..., None])[..., 0] - own[::-1]) ** 2, axis=1)


RNG = np.random.default_rng(0)
INPUTS, TRUTH = np.float32(RNG.normal(size=(30, 4))), np.float32(RNG.normal(size=(3, 30)))
START, RATES = np.float32(RNG.normal(size=(3, 2, 4))), RNG.uniform(0.05, 0.3, (3, 2))
COUNTS = [25, 30, 14]  # the last batch is incomplete, or missing where others have one


def _order(group, epoch):
    return np.random.default_rng([group, epoch]).permutation(COUNTS[group])


def _trained(held_out=None):
    optimizer = optax.chain(optax.scale_by_adam(), optax.scale(-1.0))
    given = training.Method(_loss, optimizer, held_out), INPUTS, TRUTH, START, RATES, _order
    return training.train(*given, epochs=6, batch=10, at_once=2)


def _one_by_one(group, network):
    """The weights after each epoch, batch by batch, without padding or masks."""
    weights, optimizer, after = START[group, network], optax.scale_by_adam(), []
    state = optimizer.init(weights)
    for epoch in range(6):
        order = _order(group, epoch)
        for rows in np.split(order, range(10, len(order), 10)):
            apart = INPUTS[rows] @ weights - TRUTH[group, rows]
            update, state = optimizer.update(2 * apart @ INPUTS[rows] / len(rows), state)
            weights = weights - RATES[group, network] * np.asarray(update)
        after.append(weights)
    return after


def test_networks_side_by_side_are_those_trained_one_by_one():
    plain, best = _trained(), _trained(_held_out)
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    for group, network in np.ndindex(3, 2):
        after = _one_by_one(group, network)
        close(plain.weights[group, network], after[-1])
        losses = [np.mean((INPUTS @ w - TRUTH[group, ::-1]) ** 2) for w in after]
        close(best.losses[group, network], min(losses))
        close(best.weights[group, network], after[int(np.argmin(losses))])
    assert np.isinf(plain.losses).all()


def test_interval_is_students():
    low, high = report.interval(np.array([1.0, 2.0, 3.0]))
    assert (low, high) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), rel=1e-4)


@pytest.mark.parametrize(
    ("page", "start", "end", "pattern", "recorded"),
    [
        ("decisions", "# ", "## Two classes", r"\d\.\d{3}(?: \[\S+ \d\.\d{3}\])?", "recipes*"),
        ("recipes_measured", "# ", "## The tasks", r"\d\.\d{3}(?: \[\S+ \d\.\d{3}\])?", "recipes*"),
        ("multilabel", "## Thousands of", "\n## ", r"\d+\.\d+ ± \d+\.\d+|\d+\.\d{2,}", "rare*"),
    ],
)
def test_numbers_of_the_docs_are_those_of_the_recorded_runs(page, start, end, pattern, recorded):
    section = (ROOT / "docs" / f"{page}.md").read_text().partition(start)[2]
    texts = [path.read_text() for path in (ROOT / "benchmarks/results").glob(f"{recorded}.md")]
    figures = re.findall(pattern, " ".join(section.partition(end)[0].split()))
    assert len(figures) >= 10
    assert [each for each in figures if each not in " ".join("".join(texts).split())] == []
