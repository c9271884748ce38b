"""The report: its layout and its sentences, as Markdown that reads well in a terminal too."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from experiments.paper import table1, table2, tables
from experiments.paper.section7 import Section7
from experiments.paper.statistics import (
    PAPER_1,
    PAPER_2,
    PAPER_P_1,
    PAPER_P_2,
    Methods,
    averaged,
    bands,
    compare,
    learned_nothing,
    ranking,
)

CHANCE = 0.05  # from this p-value on it is a likely explanation


class Results(NamedTuple):
    """What was measured."""

    by_seed: dict[int, Methods]  # Table I with the run's seed, and parts of it with others
    second: Methods  # Table II
    section: Section7
    full: bool  # whether it is the paper's experiment, which alone the bands are for


REPORT = """\
{headline}

## Table I: rare digits

{table_1}

{significance_1}

*Error / negatives* is the paper's: its Table I divides the mistakes by the number of negatives. \
*Top-1 error* divides them by that of all examples. Control 2 tunes its threshold on the split it \
is judged by. The data sets share most of their negatives, and those of Table II are all splits of \
the same images. So they are not independent, and intervals and p-values are smaller than they \
should be: the paper's, too.

{untrained}

## Table II: one costly mistake

{table_2}

{significance_2}

{two_controls}

## What must come out

{bands}

## Table I with other seeds

The networks of the paper once more: other splits, initial weights and orders of the examples.

{seeds}

## All methods of Table I, cheapest first

![The Real World Cost of every method of Table I, with its interval](table1.png)

{ranked_1}

*On the test split* means tuned on the examples it is judged by: the paper's way with F1, a bound \
with cost, no method to use. *Updates* are how often the weights change: all train for as many \
epochs, but undersampling leaves few examples, and oversampling and SMOTE double them.

## Judged by F1

{by_f1}

## All methods of Table II, cheapest first

![The Real World Cost of every method of Table II, with its interval](table2.png)

{ranked_2}

{strays}

## Section VII

![Figure 1: the loss at every p, least at 0.9](figure1.png)

- The model of one parameter is trained to p = {section.probability:.5f}; the paper proves 0.9.

- Costs of 100 and 5 against samples repeated 100 and 5 times: likelihoods differ by \
{section.likelihood:.0e}, gradients by {section.gradient:.0e} (relative, in double precision).

## How this was made

{how}
"""
REDUCED = "**A reduced run: it shows that the code works, not what the paper says.**\n\n"


def write(results: Results, how: str) -> str:
    """Returns the whole report; ``how`` says what was run, with which versions, how long."""
    by_seed, second, section, full = results
    first = next(iter(by_seed.values()))
    checked = [
        f"- {what}: {measured:.4g}, {'held' if held else 'MISSED'} (from {low:.4g} to {high:.4g})"
        for what, measured, low, high, held in bands(first) + bands(second)
    ]
    return REPORT.format(
        headline=("" if full else REDUCED) + _headline(by_seed, second),
        table_1=tables.means(first, PAPER_1, tables.COLUMNS_1),
        significance_1=tables.significance(first, PAPER_P_1, table1.RWWCE, tables.COLUMNS_1),
        untrained=_untrained(first),
        table_2=tables.means(second, PAPER_2, tables.COLUMNS_2),
        significance_2=tables.significance(second, PAPER_P_2, table2.RWWCE, tables.COLUMNS_2),
        two_controls=_two_controls(second),
        bands="\n".join(checked) if full else "- not checked in a reduced run",
        seeds=tables.of_seeds(by_seed, full),
        ranked_1=tables.ranked(first, tables.COLUMNS_1 | tables.MORE_1, table1.RWWCE),
        by_f1=_by_f1(first),
        ranked_2=tables.ranked(second, tables.COLUMNS_2, table2.RWWCE),
        strays=_strays(second),
        section=section,
        how=how,
    )


def _headline(by_seed: dict[int, Methods], second: Methods) -> str:
    """Whether deciding afterwards beats the trained loss, and what is cheapest of all."""
    first, everything = next(iter(by_seed.values())), averaged(by_seed.values())
    title = f"Table I, mean of {len(by_seed)} seeds"
    sentences = [
        _winner(title, everything, table1.POST_HOC, table1.RWWCE),
        _cheapest(first, {*table1.POST_HOC, table1.RWWCE}, table1.RWWCE),
        _winner("Table II", second, table2.POST_HOC, table2.RWWCE),
        _cheapest(second, {*table2.POST_HOC, table2.RWWCE}, table2.RWWCE),
    ]
    return " ".join(filter(None, sentences))


def _winner(table: str, methods: Methods, post_hoc: Sequence[str], rwwce: str) -> str:
    best = next(method for method in ranking(methods) if method in post_hoc)
    versus = compare(best, rwwce, methods, best_of=len(post_hoc))
    if versus.p >= CHANCE:
        verdict = "no clear difference between deciding with the costs and training with them"
    elif versus.difference < 0:
        verdict = "deciding with the costs after training beats training with them"
    else:
        verdict = "training with the costs beats deciding with them after training"
    return (
        f"**{table}: {verdict}.** The best such decision, *{best}*, costs {versus.value:.3g} per"
        f" example, *{rwwce}* {versus.other:.3g} {versus}."
    )


def _cheapest(methods: Methods, named: Collection[str], rwwce: str) -> str:
    honest = [method for method in ranking(methods) if method not in table1.PEEKING]
    if honest[0] in named:
        return ""
    versus = compare(honest[0], rwwce, methods, best_of=len(honest) - 1)
    doubt = "" if versus.p < CHANCE else ", which may be chance"
    return (
        f"The cheapest method of all, *{honest[0]}*, costs {versus.value:.3g}, RWWCE on the same"
        f" data sets {versus.other:.3g} {versus}{doubt}."
    )


def _untrained(methods: Methods) -> str:
    failed = learned_nothing(methods)
    text = (
        f"On {failed.sum()} of the {len(failed)} data sets control 1 learned so little that the"
        " best F1 is to call most images positive."
    )
    if not failed.any() or failed.all():
        return text
    means = "; ".join(
        f"{method} {methods[method]['cost'][~failed].mean():.2f}"
        for method in (*PAPER_1, *table1.POST_HOC, table1.ORACLE)
    )
    return (
        f"{text} They count everywhere in this report. Without them the mean costs would be:"
        f" {means}."
    )


def _by_f1(methods: Methods) -> str:
    honest = [method for method in methods if method not in table1.PEEKING]
    best = max(honest, key=lambda method: methods[method]["f1"].mean())
    lines = [f"Of all methods that do not look at the test split, *{best}* has the highest F1.\n"]
    for method in table1.FOR_F1:
        f1 = compare(method, table1.CONTROL_1, methods, measure="f1")
        cost = compare(method, table1.RWWCE, methods)
        lines.append(
            f"- *{method}*: F1 {f1.value:.3f}, control 1 {f1.other:.3f} {f1}; Real World Cost"
            f" {cost.value:.3g}, RWWCE {cost.other:.3g} {cost}."
        )
    return "\n".join(lines)


def _strays(methods: Methods) -> str:
    lines = []
    for method, measures in methods.items():
        stray = measures["error"] > 2 * np.median(measures["error"])
        if stray.any():
            rest = f"mean cost without them {measures['cost'][~stray].mean():.4f}"
            lines.append(f"{method}, {stray.sum()} of {len(stray)} ({rest})")
    found = "; ".join(lines) or "none"
    return f"Networks with more than twice their method's median error: {found}."


def _two_controls(methods: Methods) -> str:
    versus = compare(table2.CONTROL, table2.CROSS_ENTROPY, methods)
    word = "differ" if versus.p < CHANCE else "do not differ clearly"
    return (
        "The paper calls its control categorical cross-entropy. The bands are for binary"
        f" cross-entropy on the softmax outputs. Here the two {word} in cost: {versus.value:.4f}"
        f" for binary, {versus.other:.4f} for categorical cross-entropy, paired p = {versus.p:.1g}."
    )
