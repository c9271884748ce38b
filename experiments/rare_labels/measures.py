"""What trained arms are worth on the test sentences: rankings and decisions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import rwwce_jax as rwwce
from experiments.rare_labels import networks
from experiments.rare_labels.networks import ARMS, RATIOS, Arm

FREQUENCY = "frequency in training"
DECIDED, SIGN, FITTED = ", decided", ", logit > 0", ", fitted threshold"
BY_WORD = "AP by word"
RANKINGS = ("P@5", "AP", "P@5, rare", "AP, rare", BY_WORD)


def average_precision(scores, truth):
    """Of each row; NaN where nothing is true. Scikit-learn's makes the run three times as long."""
    result = np.full(len(scores), np.nan)
    for row in np.flatnonzero(truth.any(1)):
        ranked, hits = np.sort(scores[row]), np.sort(scores[row][truth[row]])
        # Ties count as ranked behind each other's last.
        above = ranked.size - np.searchsorted(ranked, hits)
        result[row] = np.mean((hits.size - np.searchsorted(hits, hits)) / above)
    return result


def precision_at_5(scores, truth):
    top = np.argpartition(scores, -5)[:, -5:]
    shares = np.take_along_axis(truth, top, axis=1).mean(1)
    return np.where(truth.any(1), shares, np.nan)


@jax.jit
def costs_of(decided, truth, ratio):
    cost = partial(rwwce.multilabel_real_world_cost, fn=ratio, fp=1.0)
    return jax.vmap(cost)(decided, truth)


def evaluate(name, arm, logits, truths, frequent):
    """What validation and test logits are worth, by way and column: by sentence, or by word."""
    test, truth = logits[1], truths[1]
    rare, rare_truth = test[:, frequent:], truth[:, frequent:]
    rankings = {
        "P@5": precision_at_5(test, truth),
        "AP": average_precision(test, truth),
        "P@5, rare": precision_at_5(rare, rare_truth),
        "AP, rare": average_precision(rare, rare_truth),
        BY_WORD: average_precision(test.T, truth.T),
    }
    result = {name: rankings}

    def decide(way, ratio, chosen):
        costs = costs_of(chosen, truth, ratio)
        result.setdefault(way, {})[f"fn = {ratio:.0f}"] = np.asarray(costs)

    if arm.ratio:
        probs = rwwce.binary_posterior(test, arm.ratio, 1.0)
        for ratio in RATIOS:
            decide(name + DECIDED, ratio, rwwce.multilabel_decide(probs, fn=ratio, fp=1.0))
        if arm.ratio > 1:
            decide(name + SIGN, arm.ratio, test > 0)
    else:  # no probabilities of single labels: one threshold for all
        shares = [np.asarray(jax.nn.log_softmax(array)) for array in logits]
        scores, labels = shares[0][::4].ravel(), truths[0][::4].ravel()  # of 1 sentence in 4
        fitted = jax.vmap(lambda fn: rwwce.best_threshold(scores, labels, fn=fn, fp=1.0))
        for ratio, threshold in zip(RATIOS, fitted(jnp.array(RATIOS)), strict=True):
            decide(name + FITTED, ratio, shares[1] > threshold)
    return result


def run(name, size, seed, corpus):
    """What an arm is worth with each seed, and its validation losses by learning rate."""
    named, parts = networks.corpus(size)
    assert named == corpus  # by which the result is kept
    truths = [np.asarray(networks.multi_hot(part.labels, size.words)) > 0 for part in parts[1:]]
    if name == FREQUENCY:
        prior = np.asarray(networks.prior_of(parts[0].labels, size.words, 1.0))
        logits = [[np.broadcast_to(prior, truth.shape) for truth in truths]]
        losses, arm = np.array([]), Arm(1.0, 1.0)
    else:
        arm = ARMS[name]
        losses, first = networks.train(parts, arm, size.rates, [seed] * len(size.rates), size)
        best = int(np.argmin(losses))
        seeds = range(seed + 1, seed + size.seeds)
        _, others = networks.train(parts, arm, [size.rates[best]] * len(seeds), seeds, size)
        of = jax.jit(networks.logits_of)
        logits = [
            [np.asarray(of(weights, part.inputs)) for part in parts[1:]]
            for weights in (first[best], *others)
        ]
    found = [evaluate(name, arm, of_seed, truths, size.frequent) for of_seed in logits]
    return {
        way: {column: np.stack([one[way][column] for one in found]) for column in columns}
        for way, columns in found[0].items()
    }, losses.tolist()
