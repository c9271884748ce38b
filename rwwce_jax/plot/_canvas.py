"""Shared by all pictures: axes, colours and short numbers."""

import io

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

# Okabe and Ito's colours, which colour-blind readers can tell apart; line styles differ as well.
BLUE, ORANGE, GREEN, INK, GREY = "#0072b2", "#d55e00", "#009e73", "#333333", "#e4e6e8"


class _Picture(Axes):
    """Axes that a notebook shows as a picture, even if pyplot has not been imported."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        root_figure(self).savefig(buffer, format="png")
        return buffer.getvalue()


def axes(ax: Axes | None, height: float) -> Axes:
    """These axes, or those of a new figure, 6 inches wide and ``height`` inches high."""
    if ax is not None:
        return ax
    figure = Figure(figsize=(6, height), dpi=100, layout="compressed")
    return figure.add_subplot(axes_class=_Picture)


def root_figure(ax: Axes) -> Figure:
    """The whole figure, even if the axes are in a subfigure."""
    return ax.figure.canvas.figure


def short(number: float, digits: int = 3) -> str:
    """A number in about five characters."""
    if number >= 9999.5:
        return EngFormatter(sep="")(float(f"{number:.3g}"))
    return f"{number:,.0f}" if number >= 99.5 else f"{number:.{digits}g}"
