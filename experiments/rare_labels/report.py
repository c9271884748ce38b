"""What the trained arms are worth on the test sentences, and the tables of it."""

from collections.abc import Iterable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

import rwwce_jax as rwwce
from experiments.rare_labels.training import (
    ARMS,
    MANY,
    MOST,
    PLAIN,
    RATIOS,
    SOFTMAX,
    ZERO,
    Arm,
    Pairs,
    Size,
)

FREQUENCY = "frequency in training"
DECIDED, SIGN, FITTED = ", decided", ", logit > 0", ", fitted threshold"
RANKINGS = ("P@5", "AP", "P@5, rare", "AP, rare", "AP by word")
COSTS = tuple(f"fn = {ratio:.0f}" for ratio in RATIOS)
COMPARED = (
    (RANKINGS[:4], PLAIN, SOFTMAX),
    (RANKINGS[:4], PLAIN + ZERO, SOFTMAX + ZERO),
    (RANKINGS[:4], PLAIN + ZERO, PLAIN),
    (RANKINGS[:4], MANY, PLAIN),
    (RANKINGS[:4], MANY + ZERO, PLAIN + ZERO),
    (RANKINGS[:4], MOST, PLAIN),
    (RANKINGS[:4], MOST + ZERO, PLAIN + ZERO),
    (COSTS, FREQUENCY + DECIDED, PLAIN + DECIDED),
    (COSTS, SOFTMAX + FITTED, PLAIN + DECIDED),
    (COSTS, SOFTMAX + ZERO + FITTED, PLAIN + ZERO + DECIDED),
    (COSTS, PLAIN + ZERO + DECIDED, PLAIN + DECIDED),
    (COSTS[1:2], MANY + SIGN, PLAIN + DECIDED),
    (COSTS[1:2], MANY + ZERO + SIGN, PLAIN + ZERO + DECIDED),
    (COSTS[2:], MOST + SIGN, PLAIN + DECIDED),
    (COSTS[2:], MOST + ZERO + SIGN, PLAIN + ZERO + DECIDED),
)

Tried = dict[tuple[str, float], float]  # validation loss of an arm and a learning rate
Measures = dict[str, dict[str, np.ndarray]]  # of each way and column: by sentence, or by word


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


def difference(values: np.ndarray, others: np.ndarray, text: np.ndarray) -> tuple[float, float]:
    """The mean difference of sentences, and half its 95% interval, over the texts they are from."""
    values, text = (x[~np.isnan(values - others)] for x in (values - others, text))
    texts = np.unique(text).size
    residues = np.bincount(text, values - values.mean())
    error = np.sqrt(texts / (texts - 1) * np.sum(residues**2)) / values.size
    return values.mean(), stats.t.ppf(0.975, texts - 1) * error


def row(first: str, cells: Iterable[str]) -> str:
    """Of a Markdown table."""
    return f"| {' | '.join([first, *cells])} |"


def heading(columns: Iterable[str]) -> list[str]:
    """The first two lines of a Markdown table."""
    return [row("", columns), row("---", ["---:"] * len(list(columns)))]


def table(measured: Measures, columns: tuple[str, ...], text: np.ndarray) -> str:
    """Markdown: means ± standard deviations over the seeds, and paired differences."""
    digits = 2 if columns == COSTS else 4

    def cell(values: np.ndarray | None) -> str:
        if values is None:
            return ""
        seeds = np.nanmean(values, axis=1)
        spread = f" ± {seeds.std(ddof=1):.{digits}f}" if seeds.size > 1 else ""
        return f"{seeds.mean():.{digits}f}{spread}"

    lines = heading(columns)
    lines += [
        row(way, (cell(of.get(column)) for column in columns))
        for way, of in measured.items()
        if of.keys() & columns
    ]
    lines += ["", "Differences, with their 95% intervals over the texts:", "", *heading(columns)]
    for of, way, other in COMPARED:
        if of[0] in columns:
            cells = dict.fromkeys(columns, "")
            for column in of:
                seeds = (measured[name][column].mean(0) for name in (way, other))
                mean, half = difference(*seeds, text)
                cells[column] = f"{mean:+.{digits}f} ± {half:.{digits}f}"
            lines.append(row(f"{way}, less {other}", cells.values()))
    return "\n".join(lines)


def rates(tried: Tried) -> str:
    """Markdown: the validation loss of each arm at each learning rate."""
    columns = sorted({rate for _, rate in tried})
    lines = heading([f"{rate:g}" for rate in columns])
    lines += [row(arm, (f"{tried[arm, rate]:.4f}" for rate in columns)) for arm in ARMS]
    return "\n".join(lines)


def text(name: str, size: Size, parts: list[Pairs], tried: Tried, measured: Measures) -> str:
    """All that is printed of a corpus and what was measured on it."""
    labels = (parts[0].labels < size.words).sum(1).mean()
    pairs = ", ".join(str(len(part.text)) for part in parts)
    head = (
        f"{name}, {size.words} words, of which a sentence has {labels:.1f}; {pairs} pairs of "
        f"sentences to train, validate and test; {size.seeds} seeds."
    )
    chosen = (
        "Each arm's own loss in validation by learning rate, first seed: the least is chosen. The "
        "labels' biases start from the best constant answer, or from 0."
    )
    rare = f"Rankings; rare: without the {size.frequent} most frequent words."
    rankings, costs = (table(measured, columns, parts[2].text) for columns in (RANKINGS, COSTS))
    cost = "Real World Cost of a sentence's set of words, fp = 1."
    return "\n\n".join((head, chosen, rates(tried), rare, rankings, cost, costs))
