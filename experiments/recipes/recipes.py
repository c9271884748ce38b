"""The recipes: from the logits of trained networks to decisions, and what those cost."""

from itertools import islice, product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

import rwwce_jax as rwwce
from experiments.recipes import networks
from experiments.recipes.networks import ADAPTERS, averaged
from experiments.recipes.tasks import splits_of
from experiments.training import taken

BASE, AVERAGED = "CE, decide", "5 CE averaged, decide"
RWWCE_ARGMAX, RWWCE_POSTERIOR = "RWWCE, argmax", "RWWCE, posterior, decide"
TWO, EACH = "2 CE averaged, decide", "1 CE and 1 RWWCE averaged, decide"
BEST_TWO, COOLED = "the grid's 2 best averaged, decide", "5 CE averaged, temperature, decide"
TABM = f"TabM, {ADAPTERS} adapters, decide"
TREES, CONSTANT = "gradient boosting, decide", "the constant decision"
# In the order of the tables.
NETWORKS = (
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
)
RECIPES = (*NETWORKS, TREES, CONSTANT)
LEAVES = (6, 31)  # of each boosted tree, to choose from


def probabilities(logits):
    if logits.shape[-1] > 1:
        return jax.nn.softmax(logits)
    return _of_two(jax.nn.sigmoid(logits[..., 0]))


def _posterior(logits, fn, fp):
    if fp.ndim > 1:  # else there are two classes, with costs by example, and one logit
        return rwwce.categorical_posterior(logits, fn, fp)
    return _of_two(rwwce.binary_posterior(logits[..., 0], fn, fp))


def _of_two(share):
    return jnp.stack([1 - share, share], -1)


def _decide(probs, fn, fp):
    if fp.ndim > 1:
        return rwwce.decide(probs, fn, fp)
    return jnp.int32(probs[..., 1] > rwwce.bayes_threshold(fn, fp))


def _cost(decided, test):
    binary, categorical = rwwce.binary_real_world_cost, rwwce.categorical_real_world_cost
    return (binary if test.fp.ndim == 1 else categorical)(decided, *test[1:])


def with_networks(splits, hidden, seed):
    """The test costs of every recipe that trains networks, ``(S,)``.

    What is made of fewer than all members is the mean over all ways to choose them in a circle.
    """
    losses = [networks.cross_entropy, networks.real_world]
    given = splits, hidden, losses, seed, networks.plain, networks.MEMBERS
    both, best = networks.trained(*given)
    of_tabm = splits, hidden, losses[:1], seed, networks.adapted, networks.ADAPTED
    tabm, _ = networks.trained(*of_tabm)
    logits = *both, best.test[:, 0], tabm.test[:, 0]
    return _costs(*logits, splits.held_out, splits.test)


@jax.jit
@jax.vmap
def _costs(held_out_logits, logits, best, tabm, held_out, test):
    costs = (test.fn, test.fp)

    def cost(decided):
        return jax.vmap(lambda one: _cost(one, test))(decided).mean()

    def decided(probs):
        return cost(_decide(probs, *costs))

    def cooled(on, logits):
        of_one = on[..., 0] if test.fp.ndim == 1 else on
        found = jax.vmap(lambda z: rwwce.fit_temperature(z, held_out.labels))(of_one)
        return decided(probabilities(logits / found[:, None, None]))

    def twos(probs, others):
        return decided((probs + jnp.roll(others, 1, axis=0)) / 2)

    def argmax(logits):
        return cost(probabilities(logits).argmax(-1))

    plain, posterior = probabilities(logits[0]), _posterior(logits[1], *costs)
    return {
        "CE, argmax": argmax(logits[0]),
        BASE: decided(plain),
        "CE, temperature, decide": cooled(held_out_logits[0], logits[0]),
        RWWCE_ARGMAX: argmax(logits[1]),
        RWWCE_POSTERIOR: decided(posterior),
        TWO: twos(plain, plain),
        BEST_TWO: decided(probabilities(best).mean(0, keepdims=True)),
        EACH: twos(plain, posterior),  # of two seeds, as the two of one kind are
        AVERAGED: decided(plain.mean(0, keepdims=True)),
        COOLED: cooled(averaged(held_out_logits[0])[None], averaged(logits[0])[None]),
        "5 RWWCE averaged, posterior, decide": decided(posterior.mean(0, keepdims=True)),
        TABM: decided(probabilities(tabm)),
    }


def without_networks(splits, seed, is_table):
    """The test costs of the constant decision and, on tables, of gradient boosting, ``(S,)``."""

    def of_split(split):
        train, held_out, test = taken(splits, split)

        def always(one, part):
            return _cost(np.full(len(part.labels), one), part).item()

        def on_all(one):
            return sum(always(one, part) * len(part.labels) for part in (train, held_out))

        found = {CONSTANT: always(min(np.unique(train.labels), key=on_all), test)}
        if is_table:
            probs = _boosted(train, held_out, test, seed)
            found[TREES] = _cost(_decide(jnp.asarray(probs), *test[2:]), test).item()
        return found

    with threadpool_limits(1, user_api="openmp"):  # several wait for other work of the machine
        costs = [of_split(split) for split in range(len(splits.test.labels))]
    return {recipe: [one[recipe] for one in costs] for recipe in costs[0]}


def _boosted(train, held_out, test, seed):
    found = []
    for leaves in LEAVES:
        model = HistGradientBoostingClassifier(
            max_leaf_nodes=leaves, early_stopping=False, random_state=seed
        )
        model.fit(train.inputs, train.labels)
        stages = model.staged_predict_proba(held_out.inputs)
        losses = [log_loss(held_out.labels, probs) for probs in stages]
        best = int(np.argmin(losses))
        found.append((losses[best], leaves, best, model))
    _, _, best, model = min(found, key=lambda one: one[:2])
    stages = model.staged_predict_proba(test.inputs)
    return next(islice(stages, best, None)).astype(np.float32)


class Pair(NamedTuple):
    task: str
    model: str
    size: int
    costs: dict[str, np.ndarray]  # (S,), of every split

    @property
    def name(self):
        return f"{self.model}, {self.size}"


def pair(task, size, model, folds, seed):
    task = task()
    splits = splits_of(task, size, folds, seed)
    found = with_networks(splits, networks.MODELS[model], seed)
    found |= without_networks(splits, seed, task.is_table)
    costs = {recipe: np.asarray(found[recipe]) for recipe in RECIPES if recipe in found}
    return Pair(task.title, model, size, costs)


def times(task, folds, seed):
    """Processor seconds of training by cross-entropy: of each model, and what may replace it."""
    task = task()
    splits = splits_of(task, 2000, folds, seed)
    settings = np.broadcast_to(networks.GRID[0], (folds, 1, 2))
    ways = {"one": (networks.plain, 1), f"{networks.MEMBERS}": (networks.plain, networks.MEMBERS)}
    ways[f"TabM, {ADAPTERS} adapters"] = networks.adapted, 1
    found = []
    for model, hidden in networks.MODELS.items():
        taken = {}
        for name, (start, count) in ways.items():
            members = np.array(list(product(range(folds), range(count))))
            given = splits, hidden, [networks.cross_entropy], settings, members, seed, start
            # The lesser of two is what the machine's other work held up least.
            taken[name] = min(networks.fit(*given).seconds for _ in range(2))
        _, fitted, columns = splits.train.inputs.shape
        facts = task.title, model, f"{fitted:,}", f"{columns}"
        found.append((facts, taken))
    return found
