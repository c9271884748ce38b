"""The recipes: from the logits of trained networks to decisions, and what those cost."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice

import jax
import jax.numpy as jnp
import joblib
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

import rwwce_jax as rwwce
from experiments.recipes import networks, tasks
from experiments.recipes.networks import ADAPTERS, averaged

BASE, AVERAGED = "CE, decide", "5 CE averaged, decide"
RWWCE_ARGMAX, RWWCE_POSTERIOR = "RWWCE, argmax", "RWWCE, posterior, decide"
TWO, EACH = "2 CE averaged, decide", "1 CE and 1 RWWCE averaged, decide"
BEST_TWO, COOLED = "the grid's 2 best averaged, decide", "5 CE averaged, temperature, decide"
TABM = f"TabM, {ADAPTERS} adapters, decide"
TREES, CONSTANT = "gradient boosting, decide", "the constant decision"
# In the order of the tables.
RECIPES = (
    "CE, argmax",
    BASE,
    "CE, temperature, decide",
    RWWCE_ARGMAX,
    RWWCE_POSTERIOR,
    TWO,
    BEST_TWO,
    EACH,
    TABM,
    AVERAGED,
    COOLED,
    "5 RWWCE averaged, posterior, decide",
    TREES,
    CONSTANT,
)
LEAVES = (6, 31)  # of each boosted tree, to choose from
NO_MODEL = "none"  # the part of a task in which no network is trained


class Binary:
    """Two classes from one logit, with the costs of each example."""

    @staticmethod
    def probabilities(logits):
        share = jax.nn.sigmoid(logits[..., 0])
        return jnp.stack([1 - share, share], -1)

    @staticmethod
    def posterior(logits, fn, fp):
        share = rwwce.binary_posterior(logits[..., 0], fn, fp)
        return jnp.stack([1 - share, share], -1)

    @staticmethod
    def decide(probs, fn, fp):
        return jnp.int32(probs[..., 1] > rwwce.bayes_threshold(fn, fp))

    @staticmethod
    def temperature(logits, labels):
        return rwwce.fit_temperature(logits[..., 0], labels)

    cost = staticmethod(rwwce.binary_real_world_cost)


class Categorical:
    """K classes, with costs by class."""

    probabilities = staticmethod(partial(jax.nn.softmax, axis=-1))
    posterior = staticmethod(rwwce.categorical_posterior)
    decide = staticmethod(rwwce.decide)
    temperature = staticmethod(rwwce.fit_temperature)
    cost = staticmethod(rwwce.categorical_real_world_cost)


def with_networks(splits, hidden, seed):
    """The test cost of every recipe that trains networks, split by split.

    What is made of fewer than all members is the mean over all ways to choose them in a circle.
    """
    losses = [networks.cross_entropy(splits), networks.real_world(splits)]
    members = networks.MEMBERS
    both, best = networks.trained(splits, hidden, losses, seed, networks.plain, members)
    tabm, costs = None, []
    if hidden:
        of_tabm = (networks.adapted, networks.ADAPTED)
        tabm = networks.trained(splits, hidden, losses[:1], seed, *of_tabm)[0].test[:, 0]
    for split in range(len(both.test)):
        members = None if tabm is None else tabm[split]
        tables = splits.held_out.of(split), splits.test.of(split)
        logits = (part[split] for part in both)
        costs.append(_costs(*logits, best.test[split, 0], members, *tables))
    return {recipe: [one[recipe].item() for one in costs] for recipe in costs[0]}


@jax.jit
def _costs(held_out_logits, logits, best, tabm, held_out, test):
    kind = Binary if test.fp.ndim == 1 else Categorical
    costs = (test.fn, test.fp)

    def cost(decided):
        return jax.vmap(lambda one: kind.cost(one, test.labels, *costs))(decided).mean()

    def decided(probs):
        return cost(kind.decide(probs, *costs))

    def cooled(on, logits):
        found = jax.vmap(lambda z: kind.temperature(z, held_out.labels))(on)
        return decided(kind.probabilities(logits / found[:, None, None]))

    def twos(probs, others):
        return decided((probs + jnp.roll(others, 1, axis=0)) / 2)

    def argmax(logits):
        return cost(kind.probabilities(logits).argmax(-1))

    plain, posterior = kind.probabilities(logits[0]), kind.posterior(logits[1], *costs)
    found = {
        "CE, argmax": argmax(logits[0]),
        BASE: decided(plain),
        "CE, temperature, decide": cooled(held_out_logits[0], logits[0]),
        RWWCE_ARGMAX: argmax(logits[1]),
        RWWCE_POSTERIOR: decided(posterior),
        TWO: twos(plain, plain),
        BEST_TWO: decided(kind.probabilities(best).mean(0, keepdims=True)),
        EACH: twos(plain, posterior),  # of two seeds, as the two of one kind are
        AVERAGED: decided(plain.mean(0, keepdims=True)),
        COOLED: cooled(averaged(held_out_logits[0])[None], averaged(logits[0])[None]),
        "5 RWWCE averaged, posterior, decide": decided(posterior.mean(0, keepdims=True)),
    }
    return found if tabm is None else found | {TABM: decided(kind.probabilities(tabm))}


def without_networks(splits, seed, is_table):
    """The test cost of the constant decision and, on tables, of gradient boosting."""

    def of_split(split):
        train, held_out, test = (
            table.of(split) for table in (splits.train, splits.held_out, splits.test)
        )
        kind = Binary if test.fp.ndim == 1 else Categorical

        def always(one, table):
            return kind.cost(np.full(len(table.labels), one), *table[1:]).item()

        best = min(range(splits.classes), key=lambda one: always(one, train))
        found = {CONSTANT: always(best, test)}
        if is_table:
            probs = _boosted(train, held_out, test, splits.fitted, seed)
            decided = kind.decide(jnp.asarray(probs), *test[2:])
            found[TREES] = kind.cost(decided, *test[1:]).item()
        return found

    # A thread for each fit: several for one wait for each other on a machine with other work.
    with threadpool_limits(1, user_api="openmp"), ThreadPoolExecutor(joblib.cpu_count()) as pool:
        costs = list(pool.map(of_split, range(len(splits.test.labels))))
    return {recipe: [one[recipe] for one in costs] for recipe in costs[0]}


def _boosted(train, held_out, test, fitted, seed):
    """Probabilities of scikit-learn's trees: size and number are those of least held-out loss."""
    found = []
    for leaves in LEAVES:
        model = HistGradientBoostingClassifier(
            max_leaf_nodes=leaves, early_stopping=False, random_state=seed
        )
        model.fit(train.inputs[:fitted], train.labels[:fitted])
        stages = model.staged_predict_proba(held_out.inputs)
        losses = [log_loss(held_out.labels, probs) for probs in stages]
        best = int(np.argmin(losses))
        found.append((losses[best], leaves, best, model))
    _, _, best, model = min(found, key=lambda one: one[:2])
    stages = model.staged_predict_proba(test.inputs)
    return next(islice(stages, best, None)).astype(np.float32)


def part(name, size, model, folds, seed):
    """What is measured of one task, size and model."""
    task = tasks.TASKS[name]()
    splits = tasks.splits(task, size, folds=folds, seed=seed)
    if model == NO_MODEL:
        costs = without_networks(splits, seed, hasattr(task.features, "iloc"))
    else:
        costs = with_networks(splits, networks.MODELS[model], seed)
    of = {"task": task.title, "size": size, "model": model, "folds": folds}
    return {**of, "costs": costs}


def times(name, folds, seed):
    """Processor seconds to train what is compared."""
    task = tasks.TASKS[name]()
    splits = tasks.splits(task, 2000, folds=folds, seed=seed)
    return [{"task": task.title, **one} for one in networks.times(splits, seed)]
