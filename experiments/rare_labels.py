"""Thousands of rare labels: costs per label against categorical cross-entropy on the positives.

Section VI of the paper leaves open how its binary loss compares with what Mahajan et al. (2018)
found better than binary cross-entropy where each of thousands of labels is rare: a softmax whose
target is 1/k on each of the k labels. Here the labels are the most frequent words of the Brown
corpus: which of them occur in the next sentence is predicted from the present one.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import stats
from tqdm import tqdm

import rwwce_jax as rwwce
from examples import commands, datasets

RATIOS = (1.0, 3.0, 10.0, 30.0, 100.0)  # of the costs, fn / fp; fp is 1
LONGEST = 40  # known words of a sentence that are read


class Arm(NamedTuple):
    """A loss: ``multilabel`` of a ratio, or without one the softmax of Mahajan et al."""

    ratio: float | None
    zero_biases: bool = False  # else those that are best for all sentences alike


SOFTMAX, PLAIN, MOST = "softmax on the positives", "cross-entropy per label", "multilabel, fn = 100"
FREQUENCY, SAME = "frequency in training", "multilabel of the same fn, logit > 0"
ZERO, DECIDED, FITTED = ", biases from 0", ", decided", ", fitted threshold"
ARMS = {SOFTMAX: Arm(None), PLAIN: Arm(1.0)}
ARMS |= {f"multilabel, fn = {ratio:.0f}": Arm(ratio) for ratio in RATIOS[1:]}
ARMS |= {f"{name}{ZERO}": Arm(ARMS[name].ratio, True) for name in (SOFTMAX, PLAIN, MOST)}
RANKINGS = ("P@5", "AP", "P@5, rare", "AP, rare", "AP by word")
COSTS = tuple(f"fn = {ratio:.0f}" for ratio in RATIOS)
COMPARED = (
    (RANKINGS[:4], PLAIN, SOFTMAX),
    (RANKINGS[:4], MOST, SOFTMAX),
    (RANKINGS[:4], MOST, PLAIN),
    (RANKINGS[:4], PLAIN + ZERO, SOFTMAX + ZERO),
    (RANKINGS[:4], MOST + ZERO, SOFTMAX + ZERO),
    (COSTS, FREQUENCY + DECIDED, PLAIN + DECIDED),
    (COSTS, SOFTMAX + FITTED, PLAIN + DECIDED),
    (COSTS, SOFTMAX + FITTED, PLAIN + FITTED),
    (COSTS, SAME, PLAIN + DECIDED),
)

Weights = dict[str, jax.Array]
Measures = dict[str, dict[str, np.ndarray]]  # of each way and column: by sentence, or by word
Moved = Callable[[int], None]  # called with a number of epochs; may raise, to end the training


class Size(NamedTuple):
    """What a run takes: all of it, or a small part for ``--quick``."""

    texts: int = 500
    words: int = 4000
    frequent: int = 100  # words that one of the rankings leaves out
    width: int = 64
    batch: int = 512
    epochs: int = 12
    rates: tuple[float, ...] = (2e-3, 5e-3, 1e-2)
    seeds: int = 3


QUICK = Size(texts=60, words=500, frequent=50, width=16, epochs=2, rates=(1e-2,), seeds=2)


class Pairs(NamedTuple):
    """Sentences and the labels of the next ones: word ids, filled up with the number of words."""

    inputs: np.ndarray  # (pairs, LONGEST)
    labels: np.ndarray  # (pairs, most labels)
    text: np.ndarray  # (pairs,), which text each is from


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


@jax.jit
def epoch(
    weights: Weights, moments: Any, batches: Pairs, rate: float, ratio: float | None
) -> tuple[Weights, Any]:
    """One pass of Adam over all batches."""

    def step(carry: tuple, batch: Pairs) -> tuple[tuple, None]:
        weights, moments = carry
        slope = jax.grad(mean_loss)(weights, batch, ratio)
        updates, moments = optax.scale_by_adam().update(slope, moments)
        return (jax.tree.map(lambda w, u: w - rate * u, weights, updates), moments), None

    return jax.lax.scan(step, (weights, moments), batches)[0]


@jax.jit
def mean_loss(weights: Weights, pairs: Pairs, ratio: float | None) -> jax.Array:
    """The arm's own loss."""
    labels = multi_hot(pairs.labels, weights["label bias"].size)
    return loss_of(logits_of(weights, pairs.inputs), labels, ratio)


def train(
    parts: list[Pairs], arm: Arm, rate: float, seed: int, size: Size, moved: Moved
) -> tuple[float, Weights]:
    """Returns the least validation loss of the arm and the weights that had it.

    Ends after the first epoch that brings no lower one. Initial weights and the order of the
    batches follow from the seed alone.
    """
    biases = prior_of(parts[0].labels, size.words, arm.ratio) * (not arm.zero_biases)
    weights = start(jax.random.key(seed), biases, size.width)
    moments = optax.scale_by_adam().init(weights)
    best = np.inf, weights
    for number in range(size.epochs):
        order = np.random.default_rng([seed, number]).permutation(len(parts[0].text))
        order = order[: len(order) // size.batch * size.batch].reshape(-1, size.batch)
        batches = Pairs(*(array[order] for array in parts[0]))
        weights, moments = epoch(weights, moments, batches, rate, arm.ratio)
        loss = mean_loss(weights, parts[1], arm.ratio).item()
        moved(1)
        if loss >= best[0]:
            moved(size.epochs - number - 1)
            break
        best = loss, weights
    return best


def average_precision(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Of each row; NaN where nothing is true. Ties count as ranked behind each other's last."""
    result = np.full(len(scores), np.nan)
    for row, (ranked, of_row, true) in enumerate(zip(np.sort(scores), scores, truth, strict=True)):
        if true.any():
            hits = np.sort(of_row[true])
            above = ranked.size - np.searchsorted(ranked, hits)
            result[row] = np.mean((hits.size - np.searchsorted(hits, hits)) / above)
    return result


def precision_at_5(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Of each row with a true label: the share of the five highest that are true."""
    top = np.argpartition(scores, -5)[:, -5:]
    shares = np.take_along_axis(truth, top, axis=1).mean(1)
    return np.where(truth.any(1), shares, np.nan)


@jax.jit
def costs_of(decided: jax.Array, truth: jax.Array, ratio: float) -> jax.Array:
    """The Real World Cost of each sentence's set."""
    cost = partial(rwwce.multilabel_real_world_cost, fn=ratio, fp=1.0)
    return jax.vmap(cost)(decided, truth)


def evaluate(
    name: str, arm: Arm, logits: list[np.ndarray], truths: list[np.ndarray], frequent: int
) -> Measures:
    """What validation and test logits are worth on the test sentences."""
    test, truth = logits[1], truths[1]
    rare, rare_truth = test[:, frequent:], truth[:, frequent:]
    values = (
        precision_at_5(test, truth),
        average_precision(test, truth),
        precision_at_5(rare, rare_truth),
        average_precision(rare, rare_truth),
        average_precision(test.T, truth.T),
    )
    result = {name: dict(zip(RANKINGS, values, strict=True))}

    def decide(way: str, ratio: float, chosen: jax.Array | np.ndarray) -> None:
        costs = costs_of(chosen, truth, ratio)
        result.setdefault(way, {})[f"fn = {ratio:.0f}"] = np.asarray(costs)

    if arm.ratio and not arm.zero_biases:
        probs = rwwce.binary_posterior(test, arm.ratio, 1.0)
        for ratio in RATIOS:
            decide(name + DECIDED, ratio, rwwce.multilabel_decide(probs, fn=ratio, fp=1.0))
        if name != FREQUENCY:
            decide(SAME, arm.ratio, test > 0)
    if name in (SOFTMAX, PLAIN):
        shift = [jax.nn.logsumexp(x, -1, keepdims=True) if name == SOFTMAX else 0 for x in logits]
        scores, test = (np.asarray(x - of_row) for x, of_row in zip(logits, shift, strict=True))
        scores, labels = scores[::4].ravel(), truths[0][::4].ravel()  # of 1 sentence in 4
        fitted = jax.vmap(lambda fn: rwwce.best_threshold(scores, labels, fn=fn, fp=1.0))
        for ratio, threshold in zip(RATIOS, fitted(jnp.array(RATIOS)), strict=True):
            decide(name + FITTED, ratio, test > threshold)
    return result


def difference(values: np.ndarray, others: np.ndarray, text: np.ndarray) -> tuple[float, float]:
    """The mean difference of sentences, and half its 95% interval, over the texts they are from."""
    values, text = (x[~np.isnan(values - others)] for x in (values - others, text))
    texts = np.unique(text).size
    residues = np.bincount(text, values - values.mean())
    error = np.sqrt(texts / (texts - 1) * np.sum(residues**2)) / values.size
    return values.mean(), stats.t.ppf(0.975, texts - 1) * error


def table(measured: Measures, columns: tuple[str, ...], text: np.ndarray) -> str:
    """Markdown: means ± standard deviations over the seeds, and paired differences."""
    digits = 2 if columns == COSTS else 4

    def row(way: str, cells: Iterable[str]) -> str:
        return f"| {' | '.join([way, *cells])} |"

    def cell(values: np.ndarray | None) -> str:
        if values is None:
            return ""
        seeds = np.nanmean(values, axis=1)
        spread = f" ± {seeds.std(ddof=1):.{digits}f}" if seeds.size > 1 else ""
        return f"{seeds.mean():.{digits}f}{spread}"

    head = [row("", columns), "| --- |" + " ---: |" * len(columns)]
    lines = [
        row(way, (cell(of.get(column)) for column in columns))
        for way, of in measured.items()
        if of.keys() & columns
    ]
    lines = [*head, *lines, "", "Differences, with their 95% intervals over the texts:", ""]
    lines += [row("", columns), head[1]]
    for of, way, other in COMPARED:
        if of[0] in columns:
            paired = [
                difference(measured[way][column].mean(0), measured[other][column].mean(0), text)
                for column in of
            ]
            cells = [f"{mean:+.{digits}f} ± {half:.{digits}f}" for mean, half in paired]
            lines.append(row(f"{way}, less {other}", [*cells, *[""] * (len(columns) - len(of))]))
    return "\n".join(lines)


def run(size: Size, check: Callable[[], None]) -> tuple[str, dict]:
    """Trains and measures every arm; returns what to print, and its numbers."""
    name, parts = corpus(size)
    labels = parts[0].labels
    truths = [np.asarray(multi_hot(part.labels, size.words)) > 0 for part in parts[1:]]
    results: dict[str, dict[str, list]] = {}
    rates: dict[str, float] = {}

    def keep(arm: str, of: Arm, logits: list[np.ndarray]) -> None:
        for way, columns in evaluate(arm, of, logits, truths, size.frequent).items():
            for column, values in columns.items():
                results.setdefault(way, {}).setdefault(column, []).append(values)

    prior = prior_of(labels, size.words, 1.0)
    keep(FREQUENCY, Arm(1.0), [np.tile(prior, (len(truth), 1)) for truth in truths])
    runs = len(ARMS) * (len(size.rates) + size.seeds - 1)
    with tqdm(total=runs * size.epochs, unit="epoch") as bar:

        def moved(epochs: int) -> None:
            bar.update(epochs)
            check()

        for arm in ARMS:
            bar.set_description(arm)
            for seed in range(size.seeds):
                grid = size.rates if seed == 0 else (rates[arm],)  # chosen with the first seed
                trained = [train(parts, ARMS[arm], rate, seed, size, moved) for rate in grid]
                (_, weights), rates[arm] = min(
                    zip(trained, grid, strict=True), key=lambda one: one[0][0]
                )
                keep(arm, ARMS[arm], [np.asarray(logits_of(weights, x.inputs)) for x in parts[1:]])
                check()
    measured = {
        way: {column: np.stack(values) for column, values in of.items()}
        for way, of in results.items()
    }
    share = (labels < size.words).sum(1).mean()
    sizes = ", ".join(str(len(part.text)) for part in parts)
    head = (
        f"{name}, {size.words} words, of which a sentence has {share:.1f}; {sizes} pairs of "
        f"sentences to train, validate and test; {size.seeds} seeds."
    )
    rare = f"Rankings; rare: without the {size.frequent} most frequent words."
    cost = "Real World Cost of a sentence's set of words, fp = 1."
    text = parts[2].text
    parts_of_report = (
        head,
        rare,
        table(measured, RANKINGS, text),
        cost,
        table(measured, COSTS, text),
    )
    means = {
        way: {column: np.nanmean(values, axis=1).tolist() for column, values in of.items()}
        for way, of in measured.items()
    }
    numbers = {"size": size._asdict(), "learning rates": rates, "means by seed": means}
    return "\n\n".join(parts_of_report), numbers


def main(arguments: list[str] | None = None) -> int:
    """Prints the report, and writes it and its numbers."""
    parser = argparse.ArgumentParser(prog="python -m experiments.rare_labels", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="a few texts, in half a minute")
    parser.add_argument("--output", type=Path, help="folder for rare_labels.md and .json")
    options = parser.parse_args(arguments)
    try:
        with commands.held_interrupt() as check:
            printed, numbers = run(QUICK if options.quick else Size(), check)
    except KeyboardInterrupt:
        print("Interrupted: nothing was written.", file=sys.stderr)
        return 130
    print(printed)
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        title = "# Thousands of rare labels\n\n"
        commands.write(options.output / "rare_labels.md", f"{title}{printed}\n".encode())
        content = json.dumps(numbers, indent=1) + "\n"
        commands.write(options.output / "rare_labels.json", content.encode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
