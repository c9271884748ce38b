"""Summaries of measured times: ratios, tables and the picture of the documentation."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from benchmarks.contestants import DENSE, NAIVE, THEN, Contestant


class Case(NamedTuple):
    """One program that is timed."""

    rows: int
    classes: int
    dtype: str
    contestant: str
    of: str  # "forward", "value+grad" or "compile"


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
            "naive": NAIVE,
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


def ratios(results: list[dict[str, Any]], dtype: str) -> str:
    """Markdown of the ratios to Optax's time, and of dense costs to the naive formula's."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for result in results:
        name = result["contestant"]
        if result["dtype"] == dtype and not name.startswith("optax"):
            row = found.setdefault((f"{result['rows']} x {result['classes']}", result["of"]), {})
            row[name.removeprefix("categorical, ")] = _written(result["ratio_to_optax"])
            if name == DENSE:
                row["dense fp / naive"] = _written(result["ratio_to_naive"])
    names = list(dict.fromkeys(name for row in found.values() for name in row))
    lines = [
        f"\n**Times Optax's time, {dtype}**\n",
        f"| | | {' | '.join(names)} |",
        "| --- | --- |" + " ---: |" * len(names),
    ]
    for (size, of), row in found.items():
        lines.append(f"| {size} | {of} | {' | '.join(row.get(name, '') for name in names)} |")
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


def compilation(seconds: dict[str, list[float]], losses: dict[str, Contestant]) -> str:
    """Markdown of the seconds that value and gradient take to compile."""
    lines = [
        "\n**Compilation of value and gradient, 256 x 100, float32**\n",
        "| | seconds | / its reference |",
        "| --- | ---: | ---: |",
    ]
    for name, times in seconds.items():
        reference = seconds[losses[name].reference]
        ratio = float(np.median(np.array(times) / reference))
        lines.append(f"| {name} | {np.median(times):.2f} | {ratio:.2f} |")
    return "\n".join(lines)
