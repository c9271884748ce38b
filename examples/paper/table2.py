"""Table II: ten digits, where to take one certain digit for one certain other costs 20."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

import rwwce_jax as rwwce
from examples.paper import data, training
from examples.paper.data import CLASSES, Images, Plan
from examples.paper.training import Loss

FN, FP_OF_PAIR = 1.0, 19.0
WIDTHS = (50, 20, CLASSES)

# What the methods are called, in tables and files.
CONTROL = "Binary cross-entropy on the softmax, argmax (control)"
CROSS_ENTROPY = "Cross-entropy, argmax (control by the paper's words)"
RWWCE = "RWWCE, argmax"
CE_DECIDE = "Cross-entropy, decide"
POSTERIOR_DECIDE = "RWWCE, categorical_posterior, decide"
# Decisions by the costs, on networks that were trained without them.
POST_HOC = (CE_DECIDE,)

Outcome = dict[str, list[float]]  # mistakes of each pair's network, and its Real World Cost


class Task(NamedTuple):
    """What the losses know of a pair."""

    fp: Any  # (10, 10): 19 at the pair, else 0
    expected_costs: Any  # (10,): of a mistake, by the true class


Decision = Callable[[jax.Array, Task], jax.Array]


class Arm(NamedTuple):
    """Networks of one loss, and the ways to decide with them."""

    loss: Loss
    decisions: dict[str, Decision]


# --- Losses ---------------------------------------------------------------------------------------


def _binary_cross_entropy(
    logits: jax.Array, classes: jax.Array, where: jax.Array, task: Task
) -> jax.Array:
    # Of ten times Keras's mean over the outputs: a factor makes no difference to Adam.
    return rwwce.categorical(logits, classes, 1.0, 1.0, where=where)


def _cross_entropy(
    logits: jax.Array, classes: jax.Array, where: jax.Array, task: Task
) -> jax.Array:
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, classes)
    return training.mean(losses, where)


def _rwwce(logits: jax.Array, classes: jax.Array, where: jax.Array, task: Task) -> jax.Array:
    return rwwce.categorical(logits, classes, FN, task.fp, where=where)


def _consistent(logits: jax.Array, classes: jax.Array, where: jax.Array, task: Task) -> jax.Array:
    """The same costs, all of them in fp: then the argmax is the decision of least cost."""
    return rwwce.categorical(logits, classes, 0.0, FN + task.fp, where=where)


def _expected_cost_weights(
    logits: jax.Array, classes: jax.Array, where: jax.Array, task: Task
) -> jax.Array:
    """Cross-entropy weighted by what a mistake costs on average, by true class (Kukar et al.)."""
    return rwwce.categorical(logits, classes, task.expected_costs, 0.0, where=where)


# --- Decisions ------------------------------------------------------------------------------------


def _argmax(logits: jax.Array, task: Task) -> jax.Array:
    return lax.argmax(logits, 1, jnp.int32)


def _least_cost(logits: jax.Array, task: Task) -> jax.Array:
    return rwwce.decide(jax.nn.softmax(logits), FN, task.fp)


def _least_cost_of_posterior(logits: jax.Array, task: Task) -> jax.Array:
    return rwwce.decide(rwwce.categorical_posterior(logits, FN, task.fp), FN, task.fp)


ARMS = {
    "binary cross-entropy": Arm(_binary_cross_entropy, {CONTROL: _argmax}),
    "RWWCE": Arm(_rwwce, {RWWCE: _argmax, POSTERIOR_DECIDE: _least_cost_of_posterior}),
    "cross-entropy": Arm(
        _cross_entropy,
        {CROSS_ENTROPY: _argmax, CE_DECIDE: _least_cost},
    ),
    "RWWCE with fn = 0": Arm(_consistent, {"RWWCE with fn = 0 (consistent), argmax": _argmax}),
    "expected-cost weights": Arm(
        _expected_cost_weights, {"Expected-cost weights (Kukar & Kononenko), argmax": _argmax}
    ),
}


def run(
    arm: Arm, images: Images, plan: Plan, seed: int, name: str, between: Callable[[], None]
) -> dict[str, Any]:
    """Trains an arm's networks and counts the mistakes of all ways to decide with them.

    Returns:
        The `outcomes` by method, and the `seconds` it took: in training, and in all.
    """
    started = time.monotonic()
    pairs = data.pairs(plan)
    splits = data.categorical_sets(len(images.classes), plan, seed)
    fp = np.zeros((len(pairs), CLASSES, CLASSES), np.float32)
    fp[np.arange(len(pairs)), pairs[:, 0], pairs[:, 1]] = FP_OF_PAIR
    expected = [
        expected_costs(images.classes[each.train], matrix)
        for each, matrix in zip(splits, fp, strict=True)
    ]
    task = Task(fp, np.array(expected, np.float32))
    before = time.monotonic()
    weights = training.train(
        images,
        [data.Examples(each.train) for each in splits],
        task,
        [arm.loss],
        widths=WIDTHS,
        epochs=plan.epochs,
        seed=seed,
        table=2,
        name=name,
        between=between,
    )
    trained = time.monotonic() - before
    chosen = data.stack([each.test for each in splits])
    truth = images.classes[chosen.rows]
    logits = training.logits(weights, images, chosen)[:, 0]
    outcomes = {
        method: _judged(training.each(decision, logits, task), truth, pairs, fp)
        for method, decision in arm.decisions.items()
    }
    return {
        "outcomes": outcomes,
        "seconds": {"training": trained, "all": time.monotonic() - started},
    }


def expected_costs(classes: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """What a mistake on each class costs, if others are predicted as often as they occur.

    Section 2 of Kukar and Kononenko (1998): the sum over j of P(j) cost[k, j], divided by 1 - P(k).
    """
    prior = np.bincount(classes, minlength=CLASSES) / len(classes)
    wrong = (FN + fp) * (1 - np.eye(CLASSES))
    return wrong @ prior / (1 - prior)


def _judged(*of_all: np.ndarray) -> Outcome:
    outcome = training.each(judge, *of_all)
    return {name: values.tolist() for name, values in outcome.items()}


def judge(
    decided: jax.Array, truth: jax.Array, pair: jax.Array, fp: jax.Array
) -> dict[str, jax.Array]:
    """What comes of one network's decisions, where the pair is the dear one of ``fp``."""
    return {
        "high_cost": jnp.sum((truth == pair[0]) & (decided == pair[1])),
        "errors": jnp.sum(truth != decided),
        "examples": jnp.array(truth.size),
        "cost": rwwce.categorical_real_world_cost(decided, truth, FN, fp),
    }
