"""Table II: ten digits, where to take one certain digit for one certain other costs 20."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

import rwwce_jax as rwwce
from experiments.paper import data, networks
from experiments.paper.data import CLASSES
from experiments.paper.networks import Loss
from experiments.training import padded

FN, FP_OF_PAIR = 1.0, 19.0
WIDTHS = (50, 20, CLASSES)

CONTROL = "Binary cross-entropy on the softmax, argmax (control)"
CROSS_ENTROPY = "Cross-entropy, argmax (control by the paper's words)"
RWWCE = "RWWCE, argmax"
CE_DECIDE = "Cross-entropy, decide"
# Decisions by the costs, on networks that were trained without them.
POST_HOC = (CE_DECIDE,)


class Task(NamedTuple):
    fp: Any  # (10, 10): 19 at the pair, else 0
    expected_costs: Any  # (10,): of a mistake, by the true class


class Arm(NamedTuple):
    loss: Loss
    decisions: dict[str, Callable[[jax.Array, Task], jax.Array]]


def _categorical(costs):
    def loss(batch):
        return rwwce.categorical(batch.logits, batch.classes, *costs(batch.task), where=batch.where)

    return loss


def _cross_entropy(batch):
    losses = optax.softmax_cross_entropy_with_integer_labels(batch.logits, batch.classes)
    return networks.mean(losses, batch.where)


def _argmax(logits, task):
    return lax.argmax(logits, 1, jnp.int32)


def _least_cost(logits, task):
    return rwwce.decide(jax.nn.softmax(logits), FN, task.fp)


def _least_cost_of_posterior(logits, task):
    return rwwce.decide(rwwce.categorical_posterior(logits, FN, task.fp), FN, task.fp)


ARMS = {
    # Of ten times Keras's mean over the outputs: a factor makes no difference to Adam.
    "binary cross-entropy": Arm(_categorical(lambda task: (1.0, 1.0)), {CONTROL: _argmax}),
    "RWWCE": Arm(
        _categorical(lambda task: (FN, task.fp)),
        {RWWCE: _argmax, "RWWCE, categorical_posterior, decide": _least_cost_of_posterior},
    ),
    "cross-entropy": Arm(_cross_entropy, {CROSS_ENTROPY: _argmax, CE_DECIDE: _least_cost}),
    # The same costs, all of them in fp: then the argmax is the decision of least cost.
    "RWWCE with fn = 0": Arm(
        _categorical(lambda task: (0.0, FN + task.fp)),
        {"RWWCE with fn = 0 (consistent), argmax": _argmax},
    ),
    # Cross-entropy weighted by what a mistake costs on average, by true class.
    "expected-cost weights": Arm(
        _categorical(lambda task: (task.expected_costs, 0.0)),
        {"Expected-cost weights (Kukar & Kononenko), argmax": _argmax},
    ),
}


def run(arm, source, plan, seed):
    images = data.images(source, plan)
    pairs = data.pairs(plan)
    splits = data.categorical_sets(len(images.classes), plan, seed)
    fp = np.zeros((len(pairs), CLASSES, CLASSES), np.float32)
    fp[np.arange(len(pairs)), pairs[:, 0], pairs[:, 1]] = FP_OF_PAIR
    expected = [
        expected_costs(images.classes[split.train], matrix)
        for split, matrix in zip(splits, fp, strict=True)
    ]
    task = Task(fp, np.float32(expected))
    examples = [data.Examples(split.train) for split in splits]
    arguments = images, examples, task, [ARMS[arm].loss], WIDTHS, plan.epochs
    weights = networks.train(*arguments, seed, table=2)
    rows, _ = padded([split.test for split in splits])
    logits = networks.logits(weights, images, rows)[:, 0]
    found = {}
    for method, decision in ARMS[arm].decisions.items():
        decided = lax.map(lambda pair, decision=decision: decision(*pair), (logits, task))
        found[method] = judge(np.asarray(decided), images.classes[rows], pairs, fp)
    return found


def expected_costs(classes, fp):
    """Kukar and Kononenko (1998), section 2: the sum over j of P(j) cost[k, j] / (1 - P(k))."""
    prior = np.bincount(classes, minlength=CLASSES) / len(classes)
    wrong = (FN + fp) * (1 - np.eye(CLASSES))
    return wrong @ prior / (1 - prior)


def judge(decided, truth, pairs, fp):
    costly = (truth == pairs[:, :1]) & (decided == pairs[:, 1:])
    cost = partial(rwwce.categorical_real_world_cost, fn=FN)
    return {
        "high_cost": costly.sum(1),
        "error": (truth != decided).mean(1),
        "cost": np.asarray(jax.vmap(cost)(decided, truth, fp=fp)),
    }
