"""The words and sentences, the arms, and a small network trained by each."""

from collections import Counter
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import rwwce_jax as rwwce
from examples import datasets
from experiments import training

RATIOS = (1.0, 10.0, 100.0)  # of the costs, fn / fp; fp is 1
LONGEST = 40  # known words of a sentence that are read


class Arm(NamedTuple):
    ratio: float | None  # of ``multilabel``; without one it is the softmax of Mahajan et al.
    scale: float  # of the best constant answer, as first biases


SOFTMAX, PLAIN = "softmax on the positives", "cross-entropy per label"
MANY, MOST = "multilabel, fn = 10", "multilabel, fn = 100"
ZERO = ", from 0"  # else from the best constant answer
LOSSES = {SOFTMAX: None, PLAIN: 1.0, MANY: 10.0, MOST: 100.0}
ARMS = {
    f"{name}{start}": Arm(ratio, scale)
    for start, scale in (("", 1.0), (ZERO, 0.0))
    for name, ratio in LOSSES.items()
}


class Size(NamedTuple):
    texts: int = 500
    words: int = 4000
    frequent: int = 100  # words that one of the rankings leaves out
    width: int = 64
    batch: int = 512
    epochs: int = 12
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)
    seeds: int = 3


QUICK = Size(texts=60, words=500, frequent=50, width=16, epochs=1, rates=(1e-2,), seeds=2)


class Pairs(NamedTuple):  # word ids, filled up with the number of words
    inputs: np.ndarray  # (pairs, LONGEST)
    labels: np.ndarray  # (pairs, most labels)
    text: np.ndarray  # (pairs,), which text each is from


@cache
def corpus(size):
    """Its name and the pairs of training, validation and test texts: 8, 1 and 1 in 10."""
    name, texts = datasets.brown()
    texts = texts[:: max(1, len(texts) // size.texts)]
    parts = [[], [], []]
    for index, text in enumerate(texts):
        lower = [[word.lower() for word in s if any(map(str.isalpha, word))] for s in text]
        parts[{4: 1, 9: 2}.get(index % 10, 0)].append(lower)
    counts = Counter(word for text in parts[0] for sentence in text for word in sentence)
    ids = {word: index for index, (word, _) in enumerate(counts.most_common(size.words))}
    return name, [_pairs(part, ids) for part in parts]


def _pairs(texts, ids):
    inputs, labels, text_of = [], [], []
    for number, text in enumerate(texts):
        known = [[ids[word] for word in sentence if word in ids] for sentence in text]
        for present, following in pairwise(known):
            if present and following:
                inputs.append(present[:LONGEST])
                labels.append(sorted(set(following)))
                text_of.append(number)
    filled = (training.padded(rows, fill=len(ids))[0] for rows in (inputs, labels))
    return Pairs(*filled, np.array(text_of))


def multi_hot(ids, words):
    rows = jnp.arange(ids.shape[0])[:, None]
    return jnp.zeros((ids.shape[0], words)).at[rows, ids].set(1.0, mode="drop")


def start(key, prior, width):
    words = prior.size
    keys = jax.random.split(key, 3)
    return {
        # Small, so that words too rare to be learned stay out of the mean.
        "words": 0.1 * jax.random.normal(keys[0], (words, width)),
        "hidden": jax.random.normal(keys[1], (width, width)) * np.sqrt(2 / width),
        "hidden bias": jnp.zeros(width),
        "labels": jax.random.normal(keys[2], (width, words)) / np.sqrt(width) / 4,
        "label bias": prior,
        "again": jnp.zeros(words),
    }


def logits_of(weights, inputs):
    """By a hidden layer on the mean embedding; labels that the sentence has get a number more."""
    known = inputs < weights["words"].shape[0]
    embedded = jnp.where(known[..., None], weights["words"].at[inputs].get(mode="clip"), 0)
    mean = embedded.sum(1) / known.sum(1, keepdims=True)
    hidden = jax.nn.relu(mean @ weights["hidden"] + weights["hidden bias"])
    again = weights["again"] * multi_hot(inputs, weights["again"].size)
    return hidden @ weights["labels"] + weights["label bias"] + again


def prior_of(labels, words, ratio):
    """The logits that are best for all sentences alike."""
    if ratio is None:
        weight = np.broadcast_to(1 / (labels < words).sum(1, keepdims=True), labels.shape)
        share = np.bincount(labels.ravel(), weight.ravel(), minlength=words + 1)[:words]
        return jnp.asarray(np.log(share / len(labels)), jnp.float32)
    share = np.bincount(labels.ravel(), minlength=words + 1)[:words] / len(labels)
    return jnp.asarray(np.log(share / (1 - share)) + np.log(ratio), jnp.float32)


def reduced_loss(weights, pairs, ratio):
    logits = logits_of(weights, pairs.inputs)
    labels = multi_hot(pairs.labels, weights["label bias"].size)
    if ratio is None:
        targets = labels / labels.sum(-1, keepdims=True)
        return optax.softmax_cross_entropy(logits, targets).mean()
    return rwwce.multilabel(logits, labels, fn=ratio, fp=1.0)


OPTIMIZER = optax.chain(optax.scale_by_adam(), optax.scale(-1.0))


@cache  # one object for each ratio, for one program to serve all rates and seeds
def method(ratio):
    def losses(weights, pairs):
        return jax.vmap(lambda one: reduced_loss(one, pairs, ratio))(weights)

    def objective(weights, parts, _, rows, where):
        return losses(weights, Pairs(*(array[rows] for array in parts[0]))).sum()

    def held_out(weights, parts, _):
        return losses(weights, parts[1])

    return training.Method(objective, OPTIMIZER, held_out, patient=False)


def train(parts, arm, rates, seeds, size):
    """The least validation losses, and the weights then; a seed decides all that is random."""
    biases = arm.scale * prior_of(parts[0].labels, size.words, arm.ratio)
    first = [start(jax.random.key(seed), biases, size.width) for seed in seeds]

    def order(network, epoch):
        rows = np.random.default_rng([seeds[network], epoch]).permutation(len(parts[0].text))
        return rows[: len(rows) // size.batch * size.batch]

    found = training.train(
        method(arm.ratio),
        parts[:2],
        (),
        training.stacked([training.stacked(first)], axis=1),
        np.array(rates)[:, None],
        order,
        epochs=size.epochs,
        batch=size.batch,
        at_once=1,
    )
    return found.losses[:, 0], [training.taken(found.weights, (n, 0)) for n in range(len(seeds))]
