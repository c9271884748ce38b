"""What all reports are made of: tables, intervals, pictures."""

import io

import scipy.stats
from matplotlib.figure import Figure

INK = "#333333"


def table(head, rows):
    """Markdown that reads well in a terminal too; empty cells where a row is short."""
    rows = [[*row, *[""] * (len(head) - len(row))] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells):
        first, *others = zip(cells, widths, strict=True)
        aligned = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(aligned)} |"

    rule = f"|{'-' * (widths[0] + 2)}|{'|'.join('-' * (width + 1) + ':' for width in widths[1:])}|"
    return "\n".join([line(head), rule, *map(line, rows)])


def interval(values):
    """The 95 % confidence interval of the mean, from Student's t."""
    reach = scipy.stats.t.ppf(0.975, len(values) - 1) * scipy.stats.sem(values)
    return values.mean() - reach, values.mean() + reach


def picture(names, width, title, label):
    """A figure, and its axis with a row for each name, the first on top."""
    size = width, 1.4 + 0.36 * len(names)
    figure = Figure(figsize=size, layout="constrained", dpi=130)
    axis = figure.subplots()
    axis.set_yticks(range(len(names)), labels=names)
    axis.invert_yaxis()
    axis.set_title(title, loc="left", fontsize=11)
    axis.set_xlabel(label)
    axis.spines[["top", "right", "left"]].set_visible(False)
    return figure, axis


def png(figure):
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    return drawn.getvalue()
