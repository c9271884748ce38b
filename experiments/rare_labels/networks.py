"""The words and sentences, the arms, and a small network trained by each."""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

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
    """A loss, and where the biases of the labels start."""

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

Weights = dict[str, jax.Array]


class Size(NamedTuple):
    """What a run takes: all of it, or a small part for ``--quick``."""

    texts: int = 500
    words: int = 4000
    frequent: int = 100  # words that one of the rankings leaves out
    width: int = 64
    batch: int = 512
    epochs: int = 12
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)
    seeds: int = 3


QUICK = Size(texts=60, words=500, frequent=50, width=16, epochs=1, rates=(1e-2,), seeds=2)


class Pairs(NamedTuple):
    """Sentences and the labels of the next ones: word ids, filled up with the number of words."""

    inputs: np.ndarray  # (pairs, LONGEST)
    labels: np.ndarray  # (pairs, most labels)
    text: np.ndarray  # (pairs,), which text each is from


@cache
def corpus(size: Size) -> tuple[str, list[Pairs]]:
    """Returns its name and the pairs of training, validation and test texts: 8, 1 and 1 in 10."""
    name, texts = datasets.brown()
    texts = texts[:: max(1, len(texts) // size.texts)]
    lower = [
        [[word.lower() for word in sentence if any(map(str.isalpha, word))] for sentence in text]
        for text in texts
    ]
    parts: list[list] = [[], [], []]
    for index, text in enumerate(lower):
        parts[{4: 1, 9: 2}.get(index % 10, 0)].append(text)
    counts = Counter(word for text in parts[0] for sentence in text for word in sentence)
    ids = {word: index for index, (word, _) in enumerate(counts.most_common(size.words))}
    return name, [_pairs(part, ids) for part in parts]


def _pairs(texts: list[list[list[str]]], ids: dict[str, int]) -> Pairs:
    inputs, labels, text_of = [], [], []
    for number, text in enumerate(texts):
        known = [[ids[word] for word in sentence if word in ids] for sentence in text]
        for present, following in pairwise(known):
            if present and following:
                inputs.append(present[:LONGEST])
                labels.append(sorted(set(following)))
                text_of.append(number)

    def padded(rows: list[list[int]]) -> np.ndarray:
        array = np.full((len(rows), max(map(len, rows))), len(ids), np.int32)
        for row, values in zip(array, rows, strict=True):
            row[: len(values)] = values
        return array

    return Pairs(padded(inputs), padded(labels), np.array(text_of))


def multi_hot(ids: jax.Array, words: int) -> jax.Array:
    """Returns labels ``(rows, words)`` of 0 and 1."""
    rows = jnp.arange(ids.shape[0])[:, None]
    return jnp.zeros((ids.shape[0], words)).at[rows, ids].set(1.0, mode="drop")


def start(key: jax.Array, prior: jax.Array, width: int) -> Weights:
    """Initial weights, with the given biases of the labels."""
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


def logits_of(weights: Weights, inputs: jax.Array) -> jax.Array:
    """A logit for each label, from the mean of the words' embeddings by one hidden layer.

    To it comes a number for each label that the present sentence has already.
    """
    known = inputs < weights["words"].shape[0]
    embedded = jnp.where(known[..., None], weights["words"].at[inputs].get(mode="clip"), 0)
    mean = embedded.sum(1) / known.sum(1, keepdims=True)
    hidden = jax.nn.relu(mean @ weights["hidden"] + weights["hidden bias"])
    again = weights["again"] * multi_hot(inputs, weights["again"].size)
    return hidden @ weights["labels"] + weights["label bias"] + again


def loss_of(logits: jax.Array, labels: jax.Array, ratio: jax.Array | None) -> jax.Array:
    """The mean loss of an arm; without a ratio it is that of Mahajan et al."""
    if ratio is None:
        targets = labels / labels.sum(-1, keepdims=True)
        return optax.softmax_cross_entropy(logits, targets).mean()
    return rwwce.multilabel(logits, labels, fn=ratio, fp=1.0)


def prior_of(labels: np.ndarray, words: int, ratio: float | None) -> jax.Array:
    """The logits that are best for all sentences alike."""
    if ratio is None:
        weight = np.broadcast_to(1 / (labels < words).sum(1, keepdims=True), labels.shape)
        share = np.bincount(labels.ravel(), weight.ravel(), minlength=words + 1)[:words]
        return jnp.asarray(np.log(share / len(labels)), jnp.float32)
    share = np.bincount(labels.ravel(), minlength=words + 1)[:words] / len(labels)
    return jnp.asarray(np.log(share / (1 - share)) + np.log(ratio), jnp.float32)


def mean_loss(weights: Weights, pairs: Pairs, ratio: float | None) -> jax.Array:
    """The arm's own loss."""
    labels = multi_hot(pairs.labels, weights["label bias"].size)
    return loss_of(logits_of(weights, pairs.inputs), labels, ratio)


class _Objective(NamedTuple):
    ratio: float | None

    def __call__(
        self, weights: Weights, parts: list[Pairs], own: Any, rows: jax.Array, where: jax.Array
    ) -> jax.Array:
        batch = Pairs(*(array[rows] for array in parts[0]))
        return jax.vmap(lambda one: mean_loss(one, batch, self.ratio))(weights).sum()


class _HeldOut(NamedTuple):
    ratio: float | None

    def __call__(self, weights: Weights, parts: list[Pairs], own: Any) -> jax.Array:
        return jax.vmap(lambda one: mean_loss(one, parts[1], self.ratio))(weights)


OPTIMIZER = optax.chain(optax.scale_by_adam(), optax.scale(-1.0))


def train(
    parts: list[Pairs], arm: Arm, rates: Sequence[float], seeds: Sequence[int], size: Size
) -> tuple[np.ndarray, list[Weights]]:
    """The least validation losses of networks with these rates and seeds, and their weights then.

    A network ends after the first epoch that brings no lower one. Initial weights and the order of
    the batches follow from the seed alone.
    """
    biases = arm.scale * prior_of(parts[0].labels, size.words, arm.ratio)
    pairs = len(parts[0].text) // size.batch * size.batch

    def begin(some: np.ndarray) -> Weights:
        drawn = [start(jax.random.key(seeds[n]), biases, size.width) for n in some]
        return jax.tree.map(lambda *leaves: np.stack(leaves)[:, None], *drawn)

    def order(network: int, epoch: int) -> np.ndarray:
        rows = np.random.default_rng([seeds[network], epoch]).permutation(len(parts[0].text))
        return rows[:pairs]

    found = training.train(
        training.Method(_Objective(arm.ratio), OPTIMIZER, _HeldOut(arm.ratio), patient=False),
        parts[:2],
        lambda some: (),
        begin,
        np.array(rates)[:, None],
        order,
        [pairs] * len(seeds),
        epochs=size.epochs,
        batch=size.batch,
        at_once=1,
        name=f"{len(seeds)} networks",
    )
    one_by_one = [
        jax.tree.map(lambda leaf, n=n: leaf[n, 0], found.weights) for n in range(len(seeds))
    ]
    return found.losses[:, 0], one_by_one
