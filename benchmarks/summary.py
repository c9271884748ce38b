"""Summaries of measured times: ratios, tables, and which goals were reached."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from benchmarks.contestants import THEN, Contestant

END_OF_DOCS = "<!-- goals -->"  # docs/benchmarks.md shows what comes before it


class Case(NamedTuple):
    """One program that is timed."""

    rows: int
    classes: int
    dtype: str
    contestant: str
    of: str  # "forward" or "value+grad"


def results_of(
    seconds: dict[Case, np.ndarray], losses: dict[str, Contestant]
) -> list[dict[str, Any]]:
    """Medians, quartiles and ratios; a contestant of another revision has no entry of its own.

    A ratio is the median of the ratios of single rounds. On two busy cores it varied half as much
    between runs as the ratio of medians: load slows both contestants of a round.
    """
    results = []
    for case, times in seconds.items():
        if case.contestant.endswith(THEN):
            continue
        others = {
            "optax": losses[case.contestant].reference,
            "naive": "naive formula, dense fp",
            "then": case.contestant + THEN,
        }
        # Every loss must read the logits and write their gradient.
        traffic = case.rows * case.classes * jnp.dtype(case.dtype).itemsize
        traffic *= 1 if case.of == "forward" else 2
        median = float(np.median(times))
        results.append(
            case._asdict()
            | {
                "microseconds": median * 1e6,
                "quartiles": [float(q) * 1e6 for q in np.quantile(times, (0.25, 0.75))],
                "bytes_per_second": traffic / median,
            }
        )
        for against, name in others.items():
            other = seconds.get(case._replace(contestant=name))
            results[-1][f"ratio_to_{against}"] = (
                None if other is None else float(np.median(times / other))
            )
    return results


def table(results: list[dict[str, Any]], copied: float | None) -> str:
    """Markdown of the results of one size and dtype."""
    first = results[0]
    header = ["", "forward (us)", "quartiles", "/ Optax"]
    header += ["value+grad (us)", "quartiles", "/ Optax", "/ naive"]
    header += ["of a copy's GB/s"] if copied else []
    lines = [
        f"\n**{first['rows']} x {first['classes']}, {first['dtype']}**\n",
        f"| {' | '.join(header)} |",
        "| --- |" + " ---: |" * (len(header) - 1),
    ]

    half = len(results) // 2
    for forward, both in zip(results[:half], results[half:], strict=True):
        cells = [forward["contestant"]]
        for result in (forward, both):
            low, high = result["quartiles"]
            cells += [f"{result['microseconds']:,.1f}", f"{low:,.1f} to {high:,.1f}"]
            cells.append(_written(result["ratio_to_optax"]))
        comparable = "dense" in cells[0] or "scalar" in cells[0]
        cells.append(_written(both["ratio_to_naive"]) if comparable else "")
        if copied:
            cells.append(f"{both['bytes_per_second'] / copied:.0%}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _written(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def ranges(results: list[dict[str, Any]]) -> str:
    """Markdown of the least and the largest ratio of the dtypes, for each size and contestant."""
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for result in results:
        if result["ratio_to_optax"] is not None and "optax" not in result["contestant"]:
            row = found.setdefault((f"{result['rows']} x {result['classes']}", result["of"]), {})
            row.setdefault(result["contestant"], []).append(result["ratio_to_optax"])
    names = list(dict.fromkeys(name for row in found.values() for name in row))
    lines = [
        "\n**Times Optax's time, the least and the largest of the dtypes**\n",
        f"| | | {' | '.join(names)} |",
        "| --- | --- |" + " ---: |" * len(names),
    ]
    for (size, of), row in found.items():
        cells = [
            f"{min(row[name]):.2f} to {max(row[name]):.2f}" if name in row else "" for name in names
        ]
        lines.append(f"| {size} | {of} | {' | '.join(cells)} |")
    return "\n".join(lines)


def against(results: list[dict[str, Any]], then: str) -> str:
    """Markdown of the ratios to the times of another revision, and the largest of them."""
    ours = [result for result in results if result["ratio_to_then"]]
    pairs: dict[str, list[float]] = {}
    for result in ours:
        name = f"{result['contestant']}, {result['rows']} x {result['classes']}, {result['dtype']}"
        pairs.setdefault(name, []).append(result["ratio_to_then"])
    lines = [f"\n| times the time of {then} | forward | value+grad |", "| --- | ---: | ---: |"]
    for name, ratios in pairs.items():
        lines.append(f"| {name} | {' | '.join(map(_written, ratios))} |")
    lost = max(ours, key=lambda result: result["ratio_to_then"])
    lines.append(
        f"\nAt worst {lost['ratio_to_then']:.2f} times {then}: {lost['contestant']}, "
        f"{lost['rows']} x {lost['classes']}, {lost['dtype']}, {lost['of']}."
    )
    return "\n".join(lines)


# Goals on two CPU cores, value+grad in float32: size, contestant, ratio to, at most. The naive
# formula always has dense costs.
GOALS = (
    ((1024, 1000), "categorical, dense fp", "naive", 1.1),
    ((1024, 1000), "categorical, fp = 0", "optax", 1.1),
    ((1024, 1000), "categorical, pair costs", "optax", 1.4),
    ((64, 32768), "categorical, pair costs", "optax", 1.15),
    ((100, 10), "categorical, dense fp", "optax", 1.3),
    ((4096, 1000), "categorical, dense fp", "optax", 5.5),
    ((4096, 1000), "categorical, dense fp", "naive", 0.6),
    ((4096, 1000), "categorical, scalar fp", "optax", 5.5),
    ((4096, 1000), "categorical, scalar fp", "naive", 0.6),
)


def verdicts(results: list[dict[str, Any]]) -> list[str]:
    """Says for each measured goal whether it was reached."""
    lines = []
    for (rows, classes), contestant, against, most in GOALS:
        for result in results:
            case = Case(*(result[field] for field in Case._fields))
            if case == Case(rows, classes, "float32", contestant, "value+grad"):
                ratio = result[f"ratio_to_{against}"]
                word = "held" if ratio <= most else "MISSED"
                lines.append(
                    f"{word}: {contestant}, {rows} x {classes}, value+grad: {ratio:.2f} times "
                    f"{against}, at most {most} wanted"
                )
    return lines


def conclusion(results: list[dict[str, Any]], on_cpu: bool, then: str | None) -> str:
    """Markdown of the ranges, and of the goals, which the documentation leaves out."""
    parts = [ranges(results), f"\n{END_OF_DOCS}"]
    if on_cpu and (lines := verdicts(results)):
        parts.append("\n" + "\n".join(f"- {line}" for line in lines))
    if then:
        parts.append(against(results, then))
    return "\n".join(parts)
