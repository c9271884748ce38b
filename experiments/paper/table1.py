"""Table I: rare digits, where a miss costs 2000 and a false alarm 100."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.special
from jax import lax

import rwwce_jax as rwwce
from experiments.paper import data, training
from experiments.paper.data import Images, Plan, Split
from experiments.paper.training import Batch, Loss

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
WEIGHTED_F1 = "Weighted maximum likelihood for F1 (Dimitroff et al.), p > 0.5"
F1_HINGE = "F1 by Lagrangian, hinge bounds (Eban et al.), score > 0"
F1_LOGISTIC = "F1 by Lagrangian, logistic bounds (Eban et al.), score > 0"
AVERAGED = "Five of cross-entropy averaged, p > 0.5"
AVERAGED_BAYES = "Five of cross-entropy averaged, Bayes threshold"
# These aim at F1, which the averaged networks are compared by as well.
FOR_F1 = (WEIGHTED_F1, F1_HINGE, F1_LOGISTIC, F1_VALIDATION, AVERAGED)
# Decisions by the costs, on networks that were trained without them.
POST_HOC = (BAYES, COST_VALIDATION, COST_TRAIN)
# These look at the examples they are judged by.
PEEKING = (CONTROL_2, ORACLE)


class Task(NamedTuple):
    """What the losses know of a data set."""

    digit: Any  # the positive class
    counts: Any  # (2,): negatives and positives in the training split


class Scored(NamedTuple):
    """A split of every data set, with one loss's logits: all ``(data sets, examples)``."""

    scores: np.ndarray
    labels: np.ndarray
    where: np.ndarray


# --- Losses ---------------------------------------------------------------------------------------


def _truth(batch: Batch) -> jax.Array:
    return (batch.classes == batch.task.digit).astype(jnp.float32)


def _cross_entropy(batch: Batch) -> jax.Array:
    losses = optax.sigmoid_binary_cross_entropy(batch.logits[:, 0], _truth(batch))
    return training.mean(losses, batch.where)


def _rwwce(batch: Batch) -> jax.Array:
    return rwwce.binary(batch.logits[:, 0], _truth(batch), FN, FP, where=batch.where)


def _class_balanced(beta: float) -> Loss:
    """Cross-entropy weighted by one over the effective number of examples (Cui et al., eq. 2)."""

    def loss(batch: Batch) -> jax.Array:
        weights = (1 - beta) / (1 - beta**batch.task.counts)
        negative, positive = 2 * weights / jnp.sum(weights)
        scores = batch.logits[:, 0]
        return rwwce.binary(scores, _truth(batch), positive, negative, where=batch.where)

    return loss


def _focal(batch: Batch) -> jax.Array:
    """With the parameters its paper found best."""
    scores = batch.logits[:, 0]
    losses = optax.sigmoid_focal_loss(scores, _truth(batch), alpha=0.25, gamma=2.0)
    return training.mean(losses, batch.where)


WEIGHTS = (1.0, 2.0, 4.0, 8.0, 16.0)  # of positives, among which the validation split chooses


def _weighted(weight: float) -> Loss:
    """Class-wise weighted likelihood.

    Some weight makes its maximum that of the expected F1, which one it does not say: Dimitroff,
    Tolosi, Popov and Georgiev (2013), "Weighted maximum likelihood as a convenient shortcut to
    optimize the F-measure of maximum entropy classifiers".
    """

    def loss(batch: Batch) -> jax.Array:
        return rwwce.binary(batch.logits[:, 0], _truth(batch), weight, 1.0, where=batch.where)

    return loss


def _f1_lagrangian(bound: Callable[[jax.Array], jax.Array]) -> Loss:
    """The highest F such that F1 is at least F, with bounds that can be differentiated.

    After Eban, Schain, Mackey, Gordon, Rifkin and Elidan (2017), "Scalable learning of
    non-decomposable objectives". Let L+ and L- be the sums of ``bound(score)`` over positives and of
    ``bound(-score)`` over negatives. The bound lies above the mistake, so that true positives are at
    least P - L+, false positives at most L-, and F1 = 2 tp / (P + tp + fp) is at least F if
    F (2 P - L+ + L-) <= 2 (P - L+). Networks and F descend, the constraint's multiplier ascends, all
    by the same optimizer on the same batches: the Lagrangian is a mean over examples, as F1 is not.
    """

    def loss(batch: Batch) -> jax.Array:
        scores, truth = batch.logits[:, 0], _truth(batch)
        positives = batch.task.counts[1] / jnp.sum(batch.task.counts)
        missed = training.mean(truth * bound(scores), batch.where) / positives
        alarms = training.mean((1 - truth) * bound(-scores), batch.where) / positives
        f1 = jax.nn.sigmoid(batch.multipliers[0])
        # The value is untouched, the gradient reversed: ascent.
        multiplier = jnp.exp(2 * lax.stop_gradient(batch.multipliers[1]) - batch.multipliers[1])
        return multiplier * (f1 * (2 - missed + alarms) - 2 * (1 - missed)) - f1

    return loss


def _hinge(scores: jax.Array) -> jax.Array:
    return jax.nn.relu(1 - scores)


def _logistic(scores: jax.Array) -> jax.Array:
    return jax.nn.softplus(-scores) / np.log(2)  # in bits: 1 at a score of 0


# --- Arms: networks that are trained on the same batches ------------------------------------------


class Arm(NamedTuple):
    """Losses, and the ways to decide with their networks."""

    losses: list[Loss]
    # Of each method the scores that it decides by and its thresholds, from the splits that are
    # named: called with "test", "validation" or "train", it is given one `Scored` for each loss.
    methods: Callable[[Callable[[str], list[Scored]]], dict[str, tuple[Scored, Any]]]
    resampling: data.Resampling = data.as_they_are
    members: int = 1  # networks for each data set and loss, whose probabilities are averaged


def _as_usual(losses: dict[str, Loss], resampling: data.Resampling = data.as_they_are) -> Arm:
    """Decided by p > 0.5."""
    return Arm(
        list(losses.values()),
        lambda scored: {
            name: (test, 0.0) for name, test in zip(losses, scored("test"), strict=True)
        },
        resampling,
    )


def _papers(scored: Callable[[str], list[Scored]]) -> dict[str, tuple[Scored, Any]]:
    test, rwwce_test = scored("test")
    validation, train = scored("validation")[0], scored("train")[0]
    return {
        CONTROL_1: (test, 0.0),
        RWWCE: (rwwce_test, 0.0),
        BAYES: (test, _bayes()),
        CONTROL_2: (test, best_f1_thresholds(test)),
        F1_VALIDATION: (test, best_f1_thresholds(validation)),
        COST_VALIDATION: (test, training.each(_least_cost, *validation)),
        COST_TRAIN: (test, training.each(_least_cost, *train)),
        ORACLE: (test, training.each(_least_cost, *test)),
    }


def _for_f1(scored: Callable[[str], list[Scored]]) -> dict[str, tuple[Scored, Any]]:
    *weighted, hinge, logistic = scored("test")
    validation = scored("validation")[: len(WEIGHTS)]
    best = np.argmax([judge(each, 0.0)["f1"] for each in validation], axis=0)
    chosen = np.array([each.scores for each in weighted])[best, np.arange(len(best))]
    return {
        WEIGHTED_F1: (hinge._replace(scores=chosen), 0.0),
        F1_HINGE: (hinge, 0.0),
        F1_LOGISTIC: (logistic, 0.0),
    }


def _averaged(scored: Callable[[str], list[Scored]]) -> dict[str, tuple[Scored, Any]]:
    control, rwwce_ = scored("test")
    return {
        AVERAGED: (control, 0.0),
        AVERAGED_BAYES: (control, _bayes()),
        "Five of RWWCE averaged, p > 0.5": (rwwce_, 0.0),
    }


def _bayes() -> float:
    return float(jax.scipy.special.logit(rwwce.bayes_threshold(FN, FP)))


PAPERS = "the paper's"
ARMS = {
    PAPERS: Arm([_cross_entropy, _rwwce], _papers),
    "weighted losses": _as_usual(
        {
            "Class-balanced weights, β = 0.999": _class_balanced(0.999),
            "Class-balanced weights, β = 0.9999": _class_balanced(0.9999),
            "Focal loss, α = 0.25, γ = 2": _focal,
        }
    ),
    "oversampling": _as_usual({"Random oversampling to 1 : 1": _cross_entropy}, data.oversampled),
    "undersampling": _as_usual(
        {"Random undersampling to 1 : 1": _cross_entropy}, data.undersampled
    ),
    "SMOTE": _as_usual({"SMOTE to 1 : 1": _cross_entropy}, data.smote),
    "F1": Arm(
        [*map(_weighted, WEIGHTS), _f1_lagrangian(_hinge), _f1_lagrangian(_logistic)], _for_f1
    ),
    "averaging": Arm([_cross_entropy, _rwwce], _averaged, members=5),
}


def run(arm: str, images: Images, plan: Plan, seed: int) -> dict[str, Any]:
    """Trains an arm's networks and counts the mistakes of all ways to decide with them.

    Returns:
        The `outcomes` by method: a list for each measure, over the data sets; and the `seconds`.
    """
    started = time.monotonic()
    losses, methods, resampling, members = ARMS[arm]
    digits, splits = data.binary_sets(images.classes, plan, seed)
    examples, counts = [], []
    for number, (digit, each) in enumerate(zip(digits, splits, strict=True)):
        positive = images.classes[each.train] == digit
        drawn = int(data.stream(seed, 3, number).integers(2**32))
        examples.append(resampling(images.pixels, each.train, positive, drawn))
        counts.append(np.bincount(positive, minlength=2))
    task = Task(digits.astype(np.int32), np.array(counts, np.float32))
    weights = training.train(
        images,
        # Further members are further data sets: numbers, and so initial weights and orders, of
        # their own.
        examples * members,
        jax.tree.map(lambda array: np.concatenate([array] * members), task),
        losses,
        widths=WIDTHS,
        epochs=plan.epochs,
        seed=seed,
        table=1,
        name=f"Table I, {arm}, seed {seed}",
    )

    def scored(part: str) -> list[Scored]:
        rows, where = data.stack([getattr(each, part) for each in splits])
        found = training.logits(weights, images, np.concatenate([rows] * members))
        scores = np.asarray(found).reshape(members, len(rows), len(losses), -1)
        if members > 1:
            # Not log-odds but probabilities are averaged.
            scores = scipy.special.expit(scores.astype(np.float64)).mean(0, keepdims=True)
            scores = scipy.special.logit(scores)
        labels = images.classes[rows] == digits[:, None]
        return [Scored(scores[0, :, loss], labels, where) for loss in range(len(losses))]

    outcomes = {name: judge(*judged) for name, judged in methods(scored).items()}
    for outcome in outcomes.values():
        outcome["updates"] = training.updates(examples, plan.epochs)
    return {"outcomes": outcomes, "seconds": time.monotonic() - started}


# --- Decisions ------------------------------------------------------------------------------------


def judge(test: Scored, thresholds: Any) -> dict[str, list[float]]:
    """What comes of deciding ``scores > threshold``, with one threshold for all or one for each."""
    decided = test.scores > np.reshape(thresholds, (-1, 1))
    fn = (test.labels & ~decided & test.where).sum(1)
    fp = (~test.labels & decided & test.where).sum(1)
    hits = (test.labels & decided & test.where).sum(1)
    negatives = (~test.labels & test.where).sum(1)
    # What Table I measures. It divides the error by the negatives only; here are both.
    measures = {
        "fn": fn,
        "fp": fp,
        "error": (fn + fp) / test.where.sum(1),
        "error_of_negatives": (fn + fp) / negatives,
        "f1": 2 * hits / (2 * hits + fn + fp),
        "cost": training.each(_cost, decided, test.labels, test.where),
        "negatives": negatives,
    }
    return {name: values.tolist() for name, values in measures.items()}


def _cost(decided: jax.Array, labels: jax.Array, where: jax.Array) -> jax.Array:
    return rwwce.binary_real_world_cost(decided, labels, FN, FP, where=where)


def _least_cost(scores: jax.Array, labels: jax.Array, where: jax.Array) -> jax.Array:
    return rwwce.best_threshold(scores, labels, FN, FP, where=where)


def best_f1_thresholds(split: Scored) -> np.ndarray:
    """Of each data set the threshold whose decisions ``scores > threshold`` have the highest F1."""
    return np.array([_best_f1(s[w], y[w]) for s, y, w in zip(*split, strict=True)])


def _best_f1(scores: np.ndarray, labels: np.ndarray) -> np.float32:
    """A point between the lowest score that is decided positive and the next one below it."""
    order = np.argsort(-scores, kind="stable")
    descending = scores[order]
    below = np.append(descending[1:], descending[-1] - 1)
    hits = np.cumsum(labels[order])
    f1 = 2 * hits / (np.arange(1, len(scores) + 1) + hits[-1])
    best = np.argmax(np.where(below < descending, f1, -1))  # a cut between equal scores is none
    middle = (descending[best] + below[best]) / 2
    # Between neighbouring floats there is nothing, and the middle may round to the upper one.
    return middle if middle < descending[best] else below[best]
