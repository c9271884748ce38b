"""Thousands of rare labels: costs per label against categorical cross-entropy on the positives.

Section VI of the paper leaves open how its binary loss compares with the softmax of Mahajan et al.
(2018), whose target is 1/k on each of the k labels. Here the labels are the most frequent words of
the Brown corpus: which of them occur in the next sentence is predicted from the present one.
"""

import numpy as np
from scipy import stats

from experiments.rare_labels import measures, networks
from experiments.rare_labels.measures import BY_WORD, DECIDED, FITTED, FREQUENCY, RANKINGS, SIGN
from experiments.rare_labels.networks import MANY, MOST, PLAIN, RATIOS, SOFTMAX, ZERO
from experiments.report import table

COSTS = tuple(f"fn = {ratio:.0f}" for ratio in RATIOS)
COMPARED = {
    RANKINGS: (
        (PLAIN, SOFTMAX),
        (PLAIN + ZERO, SOFTMAX + ZERO),
        (PLAIN + ZERO, PLAIN),
        (MANY, PLAIN),
        (MANY + ZERO, PLAIN + ZERO),
        (MOST, PLAIN),
        (MOST + ZERO, PLAIN + ZERO),
    ),
    COSTS: (
        (FREQUENCY + DECIDED, PLAIN + DECIDED),
        (SOFTMAX + FITTED, PLAIN + DECIDED),
        (SOFTMAX + ZERO + FITTED, PLAIN + ZERO + DECIDED),
        (PLAIN + ZERO + DECIDED, PLAIN + DECIDED),
        (MANY + SIGN, PLAIN + DECIDED),
        (MANY + ZERO + SIGN, PLAIN + ZERO + DECIDED),
        (MOST + SIGN, PLAIN + DECIDED),
        (MOST + ZERO + SIGN, PLAIN + ZERO + DECIDED),
    ),
}
REPORT = """\
# Thousands of rare labels

{name}, {size.words} words, of which a sentence has {labels:.1f}; {pairs} pairs of sentences to \
train, validate and test; {size.seeds} seeds.

Each arm's own loss in validation by learning rate, first seed: the least is chosen. The labels' \
biases start from the best constant answer, or from 0.

{losses}

Rankings; rare: without the {size.frequent} most frequent words.

{rankings}

Real World Cost of a sentence's set of words, fp = 1.

{costs}
"""


def run(quick, seed, perform):
    size = networks.QUICK if quick else networks.Size()
    name, parts = networks.corpus(size)
    names = (FREQUENCY, *networks.ARMS)
    found, _ = perform({arm: (measures.run, arm, size, seed, name) for arm in names})
    measured = {way: columns for of, _ in found.values() for way, columns in of.items()}
    tried = [[arm, *(f"{loss:.4f}" for loss in of)] for arm, (_, of) in found.items() if of]
    text = REPORT.format(
        name=name,
        size=size,
        labels=(parts[0].labels < size.words).sum(1).mean(),
        pairs=", ".join(str(len(part.text)) for part in parts),
        losses=table(["", *(f"{rate:g}" for rate in size.rates)], tried),
        rankings=_table(measured, RANKINGS, parts[2].text),
        costs=_table(measured, COSTS, parts[2].text),
    )
    return {"rare_labels.md": text}


def difference(values, others, text):
    """The mean difference of sentences, and half its 95% interval, over the texts they are from."""
    values, text = (x[~np.isnan(values - others)] for x in (values - others, text))
    texts = np.unique(text).size
    residues = np.bincount(text, values - values.mean())
    error = np.sqrt(texts / (texts - 1) * np.sum(residues**2)) / values.size
    return values.mean(), stats.t.ppf(0.975, texts - 1) * error


def _table(measured, columns, text):
    digits = 2 if columns == COSTS else 4

    def cell(way, column):
        if column not in measured[way]:
            return ""
        seeds = np.nanmean(measured[way][column], axis=1)
        spread = f" ± {seeds.std(ddof=1):.{digits}f}" if seeds.size > 1 else ""
        return f"{seeds.mean():.{digits}f}{spread}"

    def apart(way, other, column):
        if column == BY_WORD or column not in measured[way]:
            return ""
        seeds = (measured[name][column].mean(0) for name in (way, other))
        mean, half = difference(*seeds, text)
        return f"{mean:+.{digits}f} ± {half:.{digits}f}"

    rows = [
        [way, *(cell(way, column) for column in columns)]
        for way, of in measured.items()
        if of.keys() & columns
    ]
    differences = [
        [f"{way}, less {other}", *(apart(way, other, column) for column in columns)]
        for way, other in COMPARED[columns]
    ]
    said = "Differences, with their 95% intervals over the texts:"
    return "\n\n".join([table(["", *columns], rows), said, table(["", *columns], differences)])
