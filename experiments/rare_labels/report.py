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
    MOST,
    PLAIN,
    RATIOS,
    SOFTMAX,
    STARTS,
    Pairs,
    Size,
)

FREQUENCY, SAME = "frequency in training", "multilabel of the same fn, logit > 0"
DECIDED, FITTED = ", decided", ", fitted threshold"
RANKINGS = ("P@5", "AP", "P@5, rare", "AP, rare", "AP by word")
COSTS = tuple(f"fn = {ratio:.0f}" for ratio in RATIOS)
COMPARED = (
    (RANKINGS[:4], PLAIN, SOFTMAX),
    (RANKINGS[:4], MOST, SOFTMAX),
    (RANKINGS[:4], MOST, PLAIN),
    (COSTS, FREQUENCY + DECIDED, PLAIN + DECIDED),
    (COSTS, SOFTMAX + FITTED, PLAIN + DECIDED),
    (COSTS, SOFTMAX + FITTED, PLAIN + FITTED),
    (COSTS, SAME, PLAIN + DECIDED),
)

Tried = dict[tuple[str, str, float], float]  # validation loss of an arm, start and rate
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
    name: str, logits: list[np.ndarray], truths: list[np.ndarray], frequent: int
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

    trained = ARMS.get(name, 1.0)
    if trained:
        probs = rwwce.binary_posterior(test, trained, 1.0)
        for ratio in RATIOS:
            decide(name + DECIDED, ratio, rwwce.multilabel_decide(probs, fn=ratio, fp=1.0))
        if name != FREQUENCY:
            decide(SAME, trained, test > 0)
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
            paired = [
                difference(measured[way][column].mean(0), measured[other][column].mean(0), text)
                for column in of
            ]
            cells = [f"{mean:+.{digits}f} ± {half:.{digits}f}" for mean, half in paired]
            lines.append(row(f"{way}, less {other}", [*cells, *[""] * (len(columns) - len(of))]))
    return "\n".join(lines)


def starts(tried: Tried) -> str:
    """Markdown: the least validation loss of each arm and start, and the rate that had it."""
    lines = heading([f"{start} ({part})" for start in STARTS for part in ("loss", "rate")])
    for arm in ARMS:
        cells = []
        for start in STARTS:
            losses = {rate: loss for (*of, rate), loss in tried.items() if of == [arm, start]}
            rate = min(losses, key=losses.__getitem__)
            cells += [f"{losses[rate]:.4f}", f"{rate:g}"]
        lines.append(row(arm, cells))
    return "\n".join(lines)


def text(name: str, size: Size, parts: list[Pairs], tried: Tried, measured: Measures) -> str:
    """All that is printed of a corpus and what was measured on it."""
    labels = (parts[0].labels < size.words).sum(1).mean()
    pairs = ", ".join(str(len(part.text)) for part in parts)
    head = (
        f"{name}, {size.words} words, of which a sentence has {labels:.1f}; {pairs} pairs of "
        f"sentences to train, validate and test; {size.seeds} seeds."
    )
    chosen = "The first biases of the labels: each arm's least loss in validation, first seed."
    rare = f"Rankings; rare: without the {size.frequent} most frequent words."
    rankings, costs = (table(measured, columns, parts[2].text) for columns in (RANKINGS, COSTS))
    cost = "Real World Cost of a sentence's set of words, fp = 1."
    return "\n\n".join((head, chosen, starts(tried), rare, rankings, cost, costs))
