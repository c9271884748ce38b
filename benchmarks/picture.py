"""Draws the recorded times and the TPU's estimates for the documentation.

``python -m benchmarks.picture`` reads ``benchmarks/results`` and writes ``docs/_static``.
"""

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

RESULTS = Path(__file__).with_name("results")
PICTURE = Path(__file__).parents[1] / "docs" / "_static" / "benchmarks.png"
SHOWN = {
    "categorical, fp = 0": ("fp = 0", "o", "C0"),
    "categorical, scalar fp": ("a number", "s", "C1"),
    "categorical, pair costs": ("pairs", "^", "C2"),
    "categorical, 4 candidates": ("candidates", "v", "C4"),
    "categorical, dense fp": ("a matrix", "D", "C3"),
    "naive formula, dense fp": ("a matrix, naive formula", "x", "black"),
}


def draw(losses: list[dict[str, Any]], estimates: list[dict[str, Any]]) -> Figure:
    """Ratios to Optax's cross-entropy by shape: two panels of a CPU, one of a TPU."""
    figure, panels = plt.subplots(1, 3, figsize=(11, 4), sharey=True, layout="constrained")
    single = [result for result in losses if result["dtype"] == "float32"]
    _panel(panels[0], single, "value+grad", "CPU, value and gradient")
    _panel(panels[1], single, "forward", "CPU, value alone")
    _panel(panels[2], estimates, "v+g", "TPU v5e, value and gradient, estimated")
    panels[0].set_ylabel("times Optax's cross-entropy")
    panels[2].legend(fontsize="small", frameon=False, loc="upper right")
    return figure


def _panel(axes: Axes, results: list[dict[str, Any]], of: str, title: str) -> None:
    shapes = list(dict.fromkeys((result["rows"], result["classes"]) for result in results))
    for name, (label, marker, colour) in SHOWN.items():
        ratios = {
            shapes.index((result["rows"], result["classes"])): result["ratio_to_optax"]
            for result in results
            if result["contestant"] == name and result["of"] == of
        }
        axes.plot(list(ratios), list(ratios.values()), marker, color=colour, label=label)
    axes.axhline(1, color="grey", linewidth=0.8)
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xticks(range(len(shapes)), [f"{rows} x {k}" for rows, k in shapes], rotation=60)
    axes.set_title(title, fontsize="medium")


def main() -> None:
    losses = json.loads((RESULTS / "losses.json").read_text())["results"]
    estimates = json.loads((RESULTS / "aot_colab.json").read_text())
    draw(losses, estimates).savefig(PICTURE, dpi=120)


if __name__ == "__main__":
    main()
