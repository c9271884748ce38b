"""The tables of the report, as Markdown that reads well in a terminal too."""

from collections.abc import Sequence

import numpy as np

from experiments.paper.statistics import (
    Methods,
    averaged,
    bands,
    interval,
    learned_nothing,
    p_value,
    ranking,
)

# Of each measure the title of its column, and how it is written.
Columns = dict[str, tuple[str, str]]
COLUMNS_1: Columns = {
    "fn": ("FN", "{:.1f}"),
    "fp": ("FP", "{:.1f}"),
    "error_of_negatives": ("error / negatives", "{:.2%}"),
    "error": ("top-1 error", "{:.2%}"),
    "cost": ("Real World Cost", "{:.2f}"),
}
MORE_1: Columns = {"f1": ("F1", "{:.3f}"), "updates": ("updates", "{:,.0f}")}
COLUMNS_2: Columns = {
    "high_cost": ("high-cost mistakes", "{:.2f}"),
    "error": ("top-1 error", "{:.2%}"),
    "cost": ("Real World Cost", "{:.4f}"),
}


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        aligned = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(aligned)} |"

    rule = f"|{'-' * (widths[0] + 2)}|{'|'.join('-' * (width + 1) + ':' for width in widths[1:])}|"
    return "\n".join([line(head), rule, *map(line, rows)])


def _with_interval(values: np.ndarray, written: str) -> str:
    low, high = map(written.format, interval(values))
    return f"{written.format(values.mean())} ({low} to {high})"


def _beside(figures: dict[str, float], columns: Columns, written: str = "") -> list[str]:
    """What the paper reports, where it does."""
    return [
        (written or each).format(figures[name]) if name in figures else "–"
        for name, (_, each) in columns.items()
    ]


def means(methods: Methods, paper: dict[str, dict[str, float]], columns: Columns) -> str:
    rows = []
    for method, figures in paper.items():
        ours = [
            _with_interval(methods[method][name], written) for name, (_, written) in columns.items()
        ]
        rows.append([f"{method}: paper", *_beside(figures, columns)])
        rows.append(["here (95 % interval)", *ours])
    return _table(["mean", *(title for title, _ in columns.values())], rows)


def significance(
    methods: Methods, paper: dict[str, dict[str, float]], rwwce: str, columns: Columns
) -> str:
    rows = []
    for control, figures in paper.items():
        ours = [f"{p_value(methods[control][name], methods[rwwce][name]):.1e}" for name in columns]
        rows.append([f"{control} and RWWCE: paper", *_beside(figures, columns, "{:.1e}")])
        rows.append(["here", *ours])
    return _table(["paired p-value", *(title for title, _ in columns.values())], rows)


def of_seeds(by_seed: dict[int, Methods], full: bool) -> str:
    everything = averaged(by_seed.values())
    columns = [*by_seed.values(), everything]
    rows = [
        [method, *(f"{each[method]['cost'].mean():.2f}" for each in columns)]
        for method in ranking(everything)
    ]
    failed = [f"{learned_nothing(methods).sum()}" for methods in by_seed.values()]
    rows.append(["data sets on which control 1 learned nothing", *failed, "–"])
    if full:  # the bands are for the means of one seed
        held = [[band.held for band in bands(methods)] for methods in by_seed.values()]
        rows.append(["bands held", *(f"{sum(each)} of {len(each)}" for each in held), "–"])
    return _table(["mean Real World Cost", *(f"seed {seed}" for seed in by_seed), "mean"], rows)


def ranked(methods: Methods, columns: Columns, rwwce: str) -> str:
    title, written = columns["cost"]
    others = [each for each in columns.items() if each[0] not in ("cost", "error_of_negatives")]
    rows = []
    for method in ranking(methods):
        measures = methods[method]
        difference = measures["cost"] - methods[rwwce]["cost"]
        sign = "+" if difference.mean() > 0 else ""
        cells = [each.format(measures[name].mean()) for name, (_, each) in others]
        cells += [_with_interval(measures["cost"], written)]
        cells += [written.format(np.median(measures["cost"]))]
        cells += ["–" if method == rwwce else sign + _with_interval(difference, written)]
        rows.append([method, *cells])
    titles = [each for _, (each, _) in others]
    return _table(["method", *titles, title, "its median", "less RWWCE's, paired"], rows)
