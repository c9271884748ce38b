"""Table I: rare digits, where a miss costs 2000 and a false alarm 100."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.special
from jax import lax

import rwwce_jax as rwwce
from experiments.paper import data, networks
from experiments.paper.networks import Loss
from experiments.training import padded

FN, FP = 2000.0, 100.0
WIDTHS = (10, 1)

CONTROL_1 = "Cross-entropy, p > 0.5 (control 1)"
CONTROL_2 = "Cross-entropy, best F1 on the test split (control 2)"
RWWCE = "RWWCE, p > 0.5"
ORACLE = "Cross-entropy, least cost on the test split (a bound)"
BAYES = "Cross-entropy, Bayes threshold fp / (fn + fp)"
F1_VALIDATION = "Cross-entropy, best F1 on the validation split"
COST_VALIDATION = "Cross-entropy, least cost on the validation split"
COST_TRAIN = "Cross-entropy, least cost on the training split"
WEIGHTED_F1 = "Weighted maximum likelihood for F1 (Dimitroff et al.), p > 0.5"
# Decisions by the costs, on networks that were trained without them.
POST_HOC = (BAYES, COST_VALIDATION, COST_TRAIN)
# These look at the examples they are judged by.
PEEKING = (CONTROL_2, ORACLE)


class Task(NamedTuple):
    digit: Any  # the positive class
    counts: Any  # (2,): negatives and positives in the training split


class Scored(NamedTuple):
    scores: np.ndarray  # as all: (data sets, examples)
    labels: np.ndarray
    where: np.ndarray


def _truth(batch):
    return (batch.classes == batch.task.digit).astype(jnp.float32)


def _cross_entropy(batch):
    losses = optax.sigmoid_binary_cross_entropy(batch.logits[:, 0], _truth(batch))
    return networks.mean(losses, batch.where)


def _focal(batch):
    losses = optax.sigmoid_focal_loss(batch.logits[:, 0], _truth(batch), alpha=0.25, gamma=2.0)
    return networks.mean(losses, batch.where)


def _weighted(costs):
    def loss(batch):
        scores, truth = batch.logits[:, 0], _truth(batch)
        return rwwce.binary(scores, truth, *costs(batch.task), where=batch.where)

    return loss


def _class_balanced(beta):
    """Cross-entropy weighted by one over the effective number of examples (Cui et al., eq. 2)."""

    def costs(task):
        weights = (1 - beta) / (1 - beta**task.counts)
        negative, positive = 2 * weights / jnp.sum(weights)
        return positive, negative

    return _weighted(costs)


def _f1_bound(bound):
    """Eban et al. (2017), "Scalable learning of non-decomposable objectives".

    Let L+ and L- be the sums of ``bound(score)`` over the P positives and of ``bound(-score)`` over
    the negatives. A bound is at least 1 for a mistake, so that F1 = 2 tp / (P + tp + fp) is at
    least F if F (2 P - L+ + L-) <= 2 (P - L+). In the Lagrangian of that constraint the networks
    minimise (2 - F) L+ + F L-. At the saddle point F is the bound of F1 itself: it is kept there,
    from L+ / P and L- / P over the last hundred batches, for a batch has about one positive.
    """

    def loss(batch):
        scores, truth = batch.logits[:, 0], _truth(batch)
        positives = batch.task.counts[1] / jnp.sum(batch.task.counts)
        missed = networks.mean(truth * bound(scores), batch.where) / positives
        alarms = networks.mean((1 - truth) * bound(-scores), batch.where) / positives
        now = lax.stop_gradient(jnp.stack([missed, alarms]))
        hits = jax.nn.relu(1 - batch.running[0])
        f1 = lax.stop_gradient(2 * hits / (1 + hits + batch.running[1]))
        return (2 - f1) * missed + f1 * alarms + jnp.sum((batch.running - now) ** 2) / 2

    return loss


# Of positives, for F1: the validation split chooses. Dimitroff et al. (2013), "Weighted maximum
# likelihood as a convenient shortcut to optimize the F-measure of maximum entropy classifiers".
WEIGHTS = (1.0, 2.0, 4.0, 8.0, 16.0)


# Decisions: the test split of a loss's networks, and the thresholds that apply to it.
def _at(threshold, loss=0):
    return lambda scored: (scored("test")[loss], threshold)


def _best(choose, part):
    return lambda scored: (scored("test")[0], choose(scored(part)[0]))


def _best_weight(scored):
    """Of each data set the network whose weight has the highest F1 on the validation split."""
    f1 = [judge(one, 0.0)["f1"] for one in scored("validation")[: len(WEIGHTS)]]
    best = np.argmax(f1, axis=0)
    tests = scored("test")
    scores = np.array([one.scores for one in tests])[best, np.arange(len(best))]
    return tests[0]._replace(scores=scores), 0.0


@jax.jit
@jax.vmap
def _least_cost(split):
    return rwwce.best_threshold(split.scores, split.labels, FN, FP, where=split.where)


def best_f1(split):
    """Of each data set the threshold whose decisions ``scores > threshold`` have the highest F1."""
    return np.array([_best_f1_of_one(s[w], y[w]) for s, y, w in zip(*split, strict=True)])


def _best_f1_of_one(scores, labels):
    order = np.argsort(-scores, kind="stable")
    descending = scores[order]
    below = np.append(descending[1:], descending[-1] - 1)
    hits = np.cumsum(labels[order])
    f1 = 2 * hits / (np.arange(1, len(scores) + 1) + hits[-1])
    best = np.argmax(np.where(below < descending, f1, -1))  # a cut between equal scores is none
    middle = (descending[best] + below[best]) / 2
    # Between neighbouring floats there is nothing, and the middle may round to the upper one.
    return middle if middle < descending[best] else below[best]


class Arm(NamedTuple):
    losses: list[Loss]
    methods: dict[str, Callable]
    resampling: Callable = data.as_they_are
    members: int = 1  # networks for each data set and loss, whose probabilities are averaged


BAYES_LOGIT = float(np.log(FP / FN))  # of `rwwce.bayes_threshold(FN, FP)`
OF_COSTS = _weighted(lambda task: (FN, FP))
PAPERS = "the paper's"
ARMS = {
    PAPERS: Arm(
        [_cross_entropy, OF_COSTS],
        {
            CONTROL_1: _at(0),
            RWWCE: _at(0, loss=1),
            BAYES: _at(BAYES_LOGIT),
            CONTROL_2: _best(best_f1, "test"),
            F1_VALIDATION: _best(best_f1, "validation"),
            COST_VALIDATION: _best(_least_cost, "validation"),
            COST_TRAIN: _best(_least_cost, "train"),
            ORACLE: _best(_least_cost, "test"),
        },
    ),
    "weighted losses": Arm(
        [_class_balanced(0.999), _class_balanced(0.9999), _focal],
        {
            "Class-balanced weights, β = 0.999": _at(0),
            "Class-balanced weights, β = 0.9999": _at(0, loss=1),
            "Focal loss, α = 0.25, γ = 2": _at(0, loss=2),
        },
    ),
    "oversampling": Arm(
        [_cross_entropy], {"Random oversampling to 1 : 1": _at(0)}, data.oversampled
    ),
    "undersampling": Arm(
        [_cross_entropy], {"Random undersampling to 1 : 1": _at(0)}, data.undersampled
    ),
    "SMOTE": Arm([_cross_entropy], {"SMOTE to 1 : 1": _at(0)}, data.smote),
    "F1": Arm(
        [
            *(_weighted(lambda task, weight=weight: (weight, 1.0)) for weight in WEIGHTS),
            _f1_bound(lambda scores: jax.nn.relu(1 - scores)),
            _f1_bound(lambda scores: jax.nn.softplus(-scores) / np.log(2)),
        ],
        {
            WEIGHTED_F1: _best_weight,
            "Lower bound of F1, hinge loss (Eban et al.), score > 0": _at(0, loss=-2),
            "Lower bound of F1, logistic loss (Eban et al.), score > 0": _at(0, loss=-1),
        },
    ),
    "averaging": Arm(
        [_cross_entropy, OF_COSTS],
        {
            "Five of cross-entropy averaged, p > 0.5": _at(0),
            "Five of cross-entropy averaged, Bayes threshold": _at(BAYES_LOGIT),
            "Five of RWWCE averaged, p > 0.5": _at(0, loss=1),
        },
        members=5,
    ),
}


def run(arm, source, plan, seed):
    images = data.images(source, plan)
    losses, methods, resampling, members = ARMS[arm]
    digits, splits = data.binary_sets(images.classes, plan, seed)
    examples, counts = [], []
    for number, (digit, split) in enumerate(zip(digits, splits, strict=True)):
        positive = images.classes[split.train] == digit
        drawn = int(data.stream(seed, 3, number).integers(2**32))
        examples.append(resampling(images.pixels, split.train, positive, drawn))
        counts.append(np.bincount(positive, minlength=2))
    # Further members are further data sets, so that they start and are shuffled differently.
    task = Task(np.tile(digits, members), np.tile(np.float32(counts), (members, 1)))
    arguments = images, examples * members, task, losses, WIDTHS, plan.epochs
    weights = networks.train(*arguments, seed, table=1)

    @cache
    def scored(part):
        rows, where = padded([getattr(split, part) for split in splits])
        found = networks.logits(weights, images, np.tile(rows, (members, 1)))
        scores = np.asarray(found).reshape(members, len(rows), len(losses), -1)
        if members > 1:  # not log-odds but probabilities are averaged
            mean = scipy.special.expit(scores.astype(np.float64)).mean(0, keepdims=True)
            scores = scipy.special.logit(mean)
        labels = images.classes[rows] == digits[:, None]
        return [Scored(scores[0, :, loss], labels, where) for loss in range(len(losses))]

    updates = [plan.epochs * -(-len(each.rows) // networks.BATCH) for each in examples]
    given = {"updates": np.array(updates)}
    return {method: judge(*decide(scored)) | given for method, decide in methods.items()}


def judge(test, thresholds):
    decided = test.scores > np.asarray(thresholds).reshape(-1, 1)
    cost = partial(rwwce.binary_real_world_cost, fn=FN, fp=FP)
    fn = (test.labels & ~decided & test.where).sum(1)
    fp = (~test.labels & decided & test.where).sum(1)
    hits = (test.labels & decided & test.where).sum(1)
    negatives = (~test.labels & test.where).sum(1)
    # Table I divides the error by the negatives only; here are both.
    return {
        "fn": fn,
        "fp": fp,
        "error": (fn + fp) / test.where.sum(1),
        "error_of_negatives": (fn + fp) / negatives,
        "f1": 2 * hits / np.maximum(1, 2 * hits + fn + fp),
        "cost": np.asarray(jax.vmap(cost)(decided, test.labels, where=test.where)),
        "negatives": negatives,
    }
