"""The paper's networks: what they see and start from, and a run of the command in small."""

from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from paper_in_small import PLAN, digits

from experiments.paper import __main__ as command
from experiments.paper import data, networks, table1, table2
from experiments.paper.data import Examples

pytestmark = [
    pytest.mark.repository,
    pytest.mark.experiments,
    pytest.mark.usefixtures("standard_promotion"),
]


@pytest.mark.slow  # `.ci/run` runs `make paper-quick`
def test_run_in_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of arms that differ in the loss or the resampling alone, one: each takes a second to compile.
    for arm in ("weighted losses", "oversampling", "undersampling"):
        monkeypatch.delitem(table1.ARMS, arm)
    for arm in ("RWWCE with fn = 0", "expected-cost weights"):
        monkeypatch.delitem(table2.ARMS, arm)
    monkeypatch.setattr(data, "QUICK", PLAN)
    digits_only = partial(command.datasets.mnist, "digits")
    monkeypatch.setattr(command.datasets, "mnist", lambda source: digits_only())
    assert command.main(["--quick", "--output", str(tmp_path)]) == 0
    text = (tmp_path / "report.md").read_text()
    assert text.startswith("**A reduced run")
    for name in ("figure1", "table1", "table2"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    for each in [*table1.ARMS.values(), *table2.ARMS.values()]:
        for method in each[1]:
            assert f"| {method} " in text


def _logistic(batch: networks.Batch) -> jax.Array:
    truth = (batch.classes == batch.task).astype(jnp.float32)
    losses = optax.sigmoid_binary_cross_entropy(batch.logits[:, 0], truth)
    return networks.mean(losses, batch.where)


def _squared(batch: networks.Batch) -> jax.Array:
    kept = jnp.sum((batch.running - 1) ** 2) / 2  # from 0, one per cent of the way at each batch
    apart = (batch.logits[:, 0] - (batch.classes == batch.task)) ** 2
    return networks.mean(apart, batch.where) * (1 + jax.lax.stop_gradient(batch.running[0])) + kept


def _logits(weights: Any, pixels: Any) -> Any:
    (w1, b1), (w2, b2) = weights
    return jnp.maximum(0, pixels @ w1.T + b1) @ w2.T + b2


def test_networks_see_points_between_images_and_keep_what_they_are_told_to() -> None:
    rng = np.random.default_rng(0)
    rows = [rng.permutation(1797)[:size].astype(np.int32) for size in (130, 230)]
    steps = [rng.random(len(each), dtype=np.float32) for each in rows]
    examples = [Examples(a, rng.permutation(a), b) for a, b in zip(rows, steps, strict=True)]
    tasks = np.array([3, 8], np.int32)
    losses = [_logistic, _squared]
    train = partial(networks.train, digits(), examples, tasks, losses, (5, 1), seed=4, table=1)
    start, trained = train(0), train(2)
    adam = optax.adam(1e-3, eps=1e-7)
    for (number, each), (index, loss) in product(enumerate(examples), enumerate(losses)):
        weights = jax.tree.map(lambda x, i=(number, index): x[i], start)
        state, running = adam.init(weights), np.zeros(2, np.float32)

        def of(weights: Any, *given: Any, task: Any = tasks[number], loss: Any = loss) -> Any:
            pixels, classes, running = given
            where = jnp.ones(len(pixels), bool)
            return loss(networks.Batch(_logits(weights, pixels), classes, where, task, running))

        slope = jax.jit(jax.grad(of))
        for epoch in range(2):
            order = data.stream(4, 1, number, epoch).permutation(len(each.rows))
            for first in range(0, len(order), 100):
                batch = order[first : first + 100]
                base, partner = (digits().pixels[x[batch]] / np.float32(255) for x in each[:2])
                pixels = base + each.steps[batch, None] * (partner - base)
                gradient = slope(weights, pixels, digits().classes[each.rows[batch]], running)
                updates, state = adam.update(gradient, state)
                weights = optax.apply_updates(weights, updates)
                running = running + networks.FORGETTING * (1 - running)
        ours = jax.tree.map(lambda x, i=(number, index): x[i], trained)
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(weights), strict=True):
            np.testing.assert_allclose(a, b, atol=2e-5)
    (first, biases), _ = start
    np.testing.assert_array_equal(first[:, 0], first[:, 1])  # the losses start alike,
    assert np.all(first[0] != first[1])  # the data sets do not
    assert np.all(np.abs(first) <= np.sqrt(6 / (64 + 5)))
    assert not biases.any()


def test_logits_are_each_networks_own() -> None:
    """Two data sets, two losses, and more rows than are evaluated at once, with some left over."""
    rng = np.random.default_rng(0)
    rows = rng.integers(1797, size=(2, networks.BLOCK + 37))
    weights = [
        (rng.normal(size=(2, 2, *size)).astype("f"), rng.normal(size=(2, 2, size[0])).astype("f"))
        for size in [(6, 64), (3, 6)]
    ]
    actual = networks.logits(weights, digits(), rows)
    assert actual.shape == (2, 2, rows.shape[1], 3)
    for index in np.ndindex(2, 2):
        own = jax.tree.map(lambda x, index=index: x[index], weights)
        expected = _logits(own, digits().pixels[rows[index[0]]] / np.float32(255))
        np.testing.assert_allclose(actual[index], expected, rtol=1e-4, atol=1e-4)
