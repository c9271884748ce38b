"""The names of classes: those that are given, and those of the rows and columns of a table."""

from collections.abc import Sequence
from typing import Any


def class_names(names: Sequence[str], number: int) -> tuple[str, ...]:
    """As many different strings. An id is a position: integers must be the ids themselves."""
    found = tuple(names)
    for name in found:
        if not isinstance(name, str):
            raise TypeError(f"class_names must be strings, got {name!r:.80}.")
    if len(found) != number or len(set(found)) != number:
        twice = next((f", {name!r} twice" for name in found if found.count(name) > 1), "")
        raise ValueError(f"class_names must be {number} different names, got {len(found)}{twice}.")
    if _are_other_integers(found):
        raise ValueError(
            f"class_names must be words, or the ids 0 to {number - 1} in their order, got "
            f"{found!r:.80}; the id of a class is its place among the names."
        )
    return found


def axes_of_table(value: Any) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The names of the rows and the columns of a pandas DataFrame; None for all else."""
    if not (hasattr(value, "index") and hasattr(value, "columns")):
        return None
    return tuple(map(str, value.index)), tuple(map(str, value.columns))


def refuse_other_order(name: str, value: Any) -> None:
    """Refuses a square table whose rows and columns are not the same classes, each at its id."""
    rows, columns = axes_of_table(value) or ((), ())
    if len(rows) != len(columns):
        return
    if rows != columns:
        raise ValueError(
            f"{name} must have the same classes in the same order as rows, the truth, and columns, "
            f"the decision, got {rows!r:.80} and {columns!r:.80}; give {name}.loc[names, names]."
        )
    refuse_other_integers(name, rows)


def refuse_other_integers(name: str, rows: tuple[str, ...]) -> None:
    """Refuses rows that are named by integers, but not by the ids 0 to K - 1 in their order."""
    if _are_other_integers(rows):
        raise ValueError(
            f"{name} must have words as the names of its classes, or the ids 0 to {len(rows) - 1} "
            f"in their order, got {rows!r:.80}; sort its rows and columns by number, or name them."
        )


def _are_other_integers(names: tuple[str, ...]) -> bool:
    """Whether all are integers, also as 1.0, but not 0, 1, 2, ..."""
    try:
        numbers = [float(name) for name in names]
    except ValueError:
        return False
    return all(x.is_integer() for x in numbers) and numbers != list(range(len(names)))
