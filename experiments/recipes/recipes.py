"""The recipes: from the logits of trained networks to decisions, and what those cost."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import joblib
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

import rwwce_jax as rwwce
from experiments.recipes.tasks import Splits, Table
from experiments.recipes.training import Trained

BASE, AVERAGED = "CE, decide", "5 CE averaged, decide"
RWWCE_ARGMAX, RWWCE_POSTERIOR = "RWWCE, argmax", "RWWCE, posterior, decide"
TREES, CONSTANT = "gradient boosting, decide", "the constant decision"
# In the order of the tables, with the number of networks that each trains.
RECIPES = {
    "CE, argmax": 1,
    BASE: 1,
    "CE, temperature, decide": 1,
    "CE, tuned offsets": 1,
    RWWCE_ARGMAX: 1,
    RWWCE_POSTERIOR: 1,
    "fn = 0 split, argmax": 1,
    "2 CE averaged, decide": 2,
    "2 RWWCE averaged, argmax": 2,
    "2 RWWCE averaged, posterior, decide": 2,
    "1 CE and 1 RWWCE averaged, decide": 2,
    AVERAGED: 5,
    "5 RWWCE averaged, argmax": 5,
    "5 RWWCE averaged, posterior, decide": 5,
    TREES: 0,
    CONSTANT: 0,
}
LEAVES = (6, 31)  # of each boosted tree, to choose from
SWEEPS = 2  # over the classes, to tune their offsets


class Binary:
    """Two classes from one logit, with the costs of each example."""

    @staticmethod
    def probabilities(logits: jax.Array) -> jax.Array:
        share = jax.nn.sigmoid(logits[..., 0])
        return jnp.stack([1 - share, share], -1)

    @staticmethod
    def posterior(logits: jax.Array, fn: jax.Array, fp: jax.Array) -> jax.Array:
        share = rwwce.binary_posterior(logits[..., 0], fn, fp)
        return jnp.stack([1 - share, share], -1)

    @staticmethod
    def decide(probs: jax.Array, fn: jax.Array, fp: jax.Array) -> jax.Array:
        return jnp.int32(probs[..., 1] > rwwce.bayes_threshold(fn, fp))

    @staticmethod
    def expected_cost(probs: jax.Array, fn: jax.Array, fp: jax.Array) -> jax.Array:
        return jnp.stack([fn * probs[..., 1], fp * probs[..., 0]], -1)

    @staticmethod
    def temperature(logits: jax.Array, labels: jax.Array) -> jax.Array:
        return rwwce.fit_temperature(logits[..., 0], labels)

    @staticmethod
    def cost(decided: jax.Array, labels: jax.Array, fn: jax.Array, fp: jax.Array) -> jax.Array:
        return rwwce.binary_real_world_cost(decided, labels, fn, fp)

    @staticmethod
    def of_each(decided: jax.Array, labels: jax.Array, fn: jax.Array, fp: jax.Array) -> jax.Array:
        return fn * ((labels == 1) & (decided == 0)) + fp * ((labels == 0) & (decided == 1))


class Categorical:
    """K classes, with costs by class."""

    probabilities = staticmethod(partial(jax.nn.softmax, axis=-1))
    posterior = staticmethod(rwwce.categorical_posterior)
    decide = staticmethod(rwwce.decide)
    expected_cost = staticmethod(rwwce.expected_cost)
    temperature = staticmethod(rwwce.fit_temperature)
    cost = staticmethod(rwwce.categorical_real_world_cost)

    @staticmethod
    def of_each(decided: jax.Array, labels: jax.Array, fn: jax.Array, fp: jax.Array) -> jax.Array:
        return jnp.where(decided == labels, 0, fn[labels] + fp[labels, decided])


def networks(splits: Splits, trained: Trained) -> dict[str, list[float]]:
    """The test cost of every recipe that trains networks, split by split.

    What is made of fewer than all members is the mean over all ways to choose them in a circle.
    """
    found: dict[str, list[float]] = {}
    for split in range(len(trained.test)):
        held_out, test = (
            Table(*(leaf[split] for leaf in table)) for table in (splits.held_out, splits.test)
        )
        costs = _networks(trained.held_out[split], trained.test[split], held_out, test)
        for recipe, cost in costs.items():
            found.setdefault(recipe, []).append(cost.item())
    return found


@jax.jit
def _networks(
    held_out_logits: jax.Array, logits: jax.Array, held_out: Table, test: Table
) -> dict[str, jax.Array]:
    kind = Binary if test.fp.ndim == 1 else Categorical
    costs = (test.fn, test.fp)

    def cost(decided: jax.Array) -> jax.Array:
        return jax.vmap(lambda one: kind.cost(one, test.labels, *costs))(decided).mean()

    def decided(probs: jax.Array) -> jax.Array:
        return cost(kind.decide(probs, *costs))

    def argmax(probs: jax.Array) -> jax.Array:
        return cost(probs.argmax(-1))

    plain, own = (kind.probabilities(logits[arm]) for arm in (0, 1))  # (members, n, K)
    posterior = kind.posterior(logits[1], *costs)
    temperature = jax.vmap(lambda z: kind.temperature(z, held_out.labels))(held_out_logits[0])
    offsets = jax.vmap(lambda z: _offsets(kind, z, held_out))(held_out_logits[0])
    expected = kind.expected_cost(plain, *costs) + offsets[:, None]

    def twos(probs: jax.Array, others: jax.Array | None = None) -> jax.Array:
        return (probs + jnp.roll(probs if others is None else others, 1, axis=0)) / 2

    def all_of(probs: jax.Array) -> jax.Array:
        return probs.mean(0, keepdims=True)

    found = {
        "CE, argmax": argmax(plain),
        BASE: decided(plain),
        "CE, temperature, decide": decided(
            kind.probabilities(logits[0] / temperature[:, None, None])
        ),
        "CE, tuned offsets": cost(expected.argmin(-1)),
        RWWCE_ARGMAX: argmax(own),
        RWWCE_POSTERIOR: decided(posterior),
        "2 CE averaged, decide": decided(twos(plain)),
        "2 RWWCE averaged, argmax": argmax(twos(own)),
        "2 RWWCE averaged, posterior, decide": decided(twos(posterior)),
        # Of two seeds, as the two of one kind are.
        "1 CE and 1 RWWCE averaged, decide": decided(twos(plain, posterior)),
        AVERAGED: decided(all_of(plain)),
        "5 RWWCE averaged, argmax": argmax(all_of(own)),
        "5 RWWCE averaged, posterior, decide": decided(all_of(posterior)),
    }
    if len(logits) > 2:
        found["fn = 0 split, argmax"] = argmax(kind.probabilities(logits[2]))
    return found


def _offsets(kind: Any, logits: jax.Array, held_out: Table) -> jax.Array:
    """What is added to the expected cost of each class so that held-out decisions cost least.

    One class after the other: whether it is decided for depends on how much less than the best
    other class it seems to cost, and that threshold is a problem of two classes.
    """
    costs = (held_out.fn, held_out.fp)
    expected = kind.expected_cost(kind.probabilities(logits), *costs)
    classes = expected.shape[-1]

    def of_each(decided: jax.Array) -> jax.Array:
        return kind.of_each(decided, held_out.labels, *costs)

    def tune(offsets: jax.Array, chosen: jax.Array) -> tuple[jax.Array, None]:
        others = jnp.where(jnp.arange(classes) == chosen, jnp.inf, expected + offsets)
        seems = others.min(-1) - expected[:, chosen]
        alternative = others.argmin(-1)
        gain = of_each(alternative) - of_each(jnp.full_like(alternative, chosen))
        threshold = rwwce.best_threshold(
            seems, gain > 0, jnp.maximum(gain, 0), jnp.maximum(-gain, 0)
        )
        # Always or never: a number that does not turn others into NaN.
        largest = 2 * jnp.abs(expected).max()
        return offsets.at[chosen].set(jnp.clip(threshold, -largest, largest)), None

    order = jnp.tile(jnp.arange(classes), SWEEPS)
    return jax.lax.scan(tune, jnp.zeros(classes), order)[0]


def without_networks(
    splits: Splits, seed: int, is_table: bool, moved: Callable[[float], None]
) -> dict[str, list[float]]:
    """The test cost of the constant decision and, on tables, of gradient boosting."""

    def of_split(split: int) -> dict[str, float]:
        train, held_out, test = (
            Table(*(leaf[split] for leaf in table))
            for table in (splits.train, splits.held_out, splits.test)
        )
        kind = Binary if test.fp.ndim == 1 else Categorical
        always = [
            kind.cost(np.full(len(train.labels), one), *train[1:]) for one in range(splits.classes)
        ]
        constant = np.full(len(test.labels), int(np.argmin(always)))
        found = {CONSTANT: kind.cost(constant, *test[1:]).item()}
        if is_table:
            probs = _boosted(train, held_out, test, splits.fitted, seed)
            decided = kind.decide(jnp.asarray(probs), *test[2:])
            found[TREES] = kind.cost(decided, *test[1:]).item()
        return found

    count = len(splits.test.labels)
    found: dict[str, list[float]] = {}
    # A thread for each fit: several for one wait for each other on a machine with other work.
    with threadpool_limits(1, user_api="openmp"), ThreadPoolExecutor(joblib.cpu_count()) as pool:
        for costs in pool.map(of_split, range(count)):
            for recipe, cost in costs.items():
                found.setdefault(recipe, []).append(cost)
            moved(1 / count)
    return found


def _boosted(train: Table, held_out: Table, test: Table, fitted: int, seed: int) -> np.ndarray:
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
