"""Table I: rare digits, where a miss costs 2000 and a false alarm 100."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

import rwwce_jax as rwwce
from examples.paper import data, training
from examples.paper.data import Images, Plan, Split, Stack
from examples.paper.training import Loss

FN, FP = 2000.0, 100.0
WIDTHS = (10, 1)

# What the methods are called, in tables and files.
CONTROL_1 = "Cross-entropy, p > 0.5 (control 1)"
CONTROL_2 = "Cross-entropy, best F1 on the test split (control 2)"
RWWCE = "RWWCE, p > 0.5"
ORACLE = "Cross-entropy, least cost on the test split (a bound)"
BAYES = "Cross-entropy, Bayes threshold fp / (fn + fp)"
F1_VALIDATION = "Cross-entropy, best F1 on the validation split"
COST_VALIDATION = "Cross-entropy, least cost on the validation split"
COST_TRAIN = "Cross-entropy, least cost on the training split"
# Decisions by the costs, on networks that were trained without them.
POST_HOC = (BAYES, COST_VALIDATION, COST_TRAIN)
# These look at the examples they are judged by.
PEEKING = (CONTROL_2, ORACLE)

Outcome = dict[str, list[float]]  # what is counted in each data set, and its Real World Cost


class Task(NamedTuple):
    """What the losses know of a data set."""

    digit: Any  # the positive class
    counts: Any  # (2,): negatives and positives in the training split


class Arm(NamedTuple):
    """Networks that are trained on the same batches."""

    methods: dict[str, Loss]
    resampling: data.Resampling = data.as_they_are
    controls: bool = False  # whether post-hoc decisions are tried on the first method


# --- Losses ---------------------------------------------------------------------------------------


def _truth(classes: jax.Array, task: Task) -> jax.Array:
    return (classes == task.digit).astype(jnp.float32)


def _cross_entropy(
    logits: jax.Array, classes: jax.Array, where: jax.Array, task: Task
) -> jax.Array:
    losses = optax.sigmoid_binary_cross_entropy(logits[:, 0], _truth(classes, task))
    return training.mean(losses, where)


def _rwwce(logits: jax.Array, classes: jax.Array, where: jax.Array, task: Task) -> jax.Array:
    return rwwce.binary(logits[:, 0], _truth(classes, task), FN, FP, where=where)


def _class_balanced(beta: float) -> Loss:
    """Cross-entropy weighted by one over the effective number of examples (Cui et al., eq. 2)."""

    def loss(logits: jax.Array, classes: jax.Array, where: jax.Array, task: Task) -> jax.Array:
        weights = (1 - beta) / (1 - beta**task.counts)
        negative, positive = 2 * weights / jnp.sum(weights)
        return rwwce.binary(logits[:, 0], _truth(classes, task), positive, negative, where=where)

    return loss


def _focal(logits: jax.Array, classes: jax.Array, where: jax.Array, task: Task) -> jax.Array:
    """With the parameters its paper found best."""
    truth = _truth(classes, task)
    losses = optax.sigmoid_focal_loss(logits[:, 0], truth, alpha=0.25, gamma=2.0)
    return training.mean(losses, where)


PAPERS = "the paper's"
ARMS = {
    PAPERS: Arm({CONTROL_1: _cross_entropy, RWWCE: _rwwce}, controls=True),
    "weighted losses": Arm(
        {
            "Class-balanced weights, β = 0.999": _class_balanced(0.999),
            "Class-balanced weights, β = 0.9999": _class_balanced(0.9999),
            "Focal loss, α = 0.25, γ = 2": _focal,
        }
    ),
    "oversampling": Arm({"Random oversampling to 1 : 1": _cross_entropy}, data.oversampled),
    "undersampling": Arm({"Random undersampling to 1 : 1": _cross_entropy}, data.undersampled),
    "SMOTE": Arm({"SMOTE to 1 : 1": _cross_entropy}, data.smote),
}


def run(
    arm: Arm, images: Images, plan: Plan, seed: int, name: str, between: Callable[[], None]
) -> dict[str, Any]:
    """Trains an arm's networks and counts the mistakes of all ways to decide with them.

    Returns:
        The `outcomes` by method, and the `seconds` it took: in training, and in all.
    """
    started = time.monotonic()
    digits, splits = data.binary_sets(images.classes, plan, seed)
    positives = [
        images.classes[each.train] == digit for digit, each in zip(digits, splits, strict=True)
    ]
    examples = []
    for number, (each, positive) in enumerate(zip(splits, positives, strict=True)):
        drawn = int(data.stream(seed, 3, number).integers(2**32))
        examples.append(arm.resampling(images.pixels, each.train, positive, drawn))
        between()
    counts = np.array([np.bincount(positive, minlength=2) for positive in positives], np.float32)
    before = time.monotonic()
    weights = training.train(
        images,
        examples,
        Task(digits.astype(np.int32), counts),
        list(arm.methods.values()),
        widths=WIDTHS,
        epochs=plan.epochs,
        seed=seed,
        table=1,
        name=name,
        between=between,
    )
    trained = time.monotonic() - before
    outcomes = _outcomes(arm, weights, images, digits, splits)
    for outcome in outcomes.values():
        outcome["updates"] = training.updates(examples, plan.epochs)
    return {
        "outcomes": outcomes,
        "seconds": {"training": trained, "all": time.monotonic() - started},
    }


# --- Decisions ------------------------------------------------------------------------------------


class _Scored(NamedTuple):
    """A split of every data set, with one arm's logits: all ``(data sets, examples)``."""

    scores: np.ndarray
    labels: np.ndarray
    where: np.ndarray


def _outcomes(
    arm: Arm, weights: training.Layers, images: Images, digits: np.ndarray, splits: list[Split]
) -> dict[str, Outcome]:
    def scored(part: Callable[[Split], np.ndarray]) -> list[_Scored]:
        chosen: Stack = data.stack([part(each) for each in splits])
        labels = images.classes[chosen.rows] == digits[:, None]
        scores = training.logits(weights, images, chosen)[..., 0]
        return [_Scored(scores[:, a], labels, chosen.where) for a in range(len(arm.methods))]

    tests = scored(lambda each: each.test)
    outcomes = {method: _judged(test, 0) for method, test in zip(arm.methods, tests, strict=True)}
    if not arm.controls:
        return outcomes

    test = tests[0]
    validation = scored(lambda each: each.validation)[0]
    train = scored(lambda each: each.train)[0]
    outcomes[BAYES] = _judged(test, jax.scipy.special.logit(rwwce.bayes_threshold(FN, FP)))
    for method, choose, examples in (
        (CONTROL_2, best_f1_threshold, test),
        (F1_VALIDATION, best_f1_threshold, validation),
        (COST_VALIDATION, _least_cost, validation),
        (COST_TRAIN, _least_cost, train),
        (ORACLE, _least_cost, test),
    ):
        outcomes[method] = _judged(test, training.each(choose, *examples))
    return outcomes


def _judged(test: _Scored, thresholds: ArrayLike) -> Outcome:
    """What comes of deciding ``scores > threshold``, with one threshold for all or one for each."""
    outcome = training.each(judge, *test, np.broadcast_to(thresholds, len(test.scores)))
    return {name: values.tolist() for name, values in outcome.items()}


def judge(
    scores: jax.Array, labels: jax.Array, where: jax.Array, threshold: ArrayLike
) -> dict[str, jax.Array]:
    """What comes of deciding ``scores > threshold`` on one data set."""
    decided = scores > threshold
    return {
        "false_negatives": jnp.sum(labels & ~decided, where=where),
        "false_positives": jnp.sum(~labels & decided, where=where),
        "negatives": jnp.sum(~labels, where=where),
        "examples": jnp.sum(where),
        "cost": rwwce.binary_real_world_cost(decided, labels, FN, FP, where=where),
    }


def _least_cost(scores: jax.Array, labels: jax.Array, where: jax.Array) -> jax.Array:
    return rwwce.best_threshold(scores, labels, FN, FP, where=where)


def best_f1_threshold(scores: jax.Array, labels: jax.Array, where: jax.Array) -> jax.Array:
    """The threshold whose decisions ``scores > threshold`` have the highest F1.

    Args:
        scores: Of all examples, ``(N,)``.
        labels: True for the positives.
        where: Which examples count.

    Returns:
        A point between the lowest score that is decided positive and the next one below it.
    """
    scores = jnp.where(where, scores, -jnp.inf)
    order = jnp.argsort(scores, descending=True)
    descending = scores[order]
    hits = jnp.cumsum((labels & where)[order])
    accepted = jnp.arange(1, len(scores) + 1)
    f1 = 2 * hits / (accepted + hits[-1])
    below = jnp.append(descending[1:], -jnp.inf)
    # A cut between equal scores is none.
    best = jnp.argmax(jnp.where((below < descending) & (descending > -jnp.inf), f1, -1))
    floor = jnp.where(below[best] > -jnp.inf, below[best], descending[best] - 1)
    middle = (descending[best] + floor) / 2
    # Between neighbouring floats there is nothing, and the middle may round to the upper one.
    return jnp.where(middle < descending[best], middle, floor)
