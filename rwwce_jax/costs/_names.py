"""The names of classes: those that are given, and those of the rows and columns of a table."""

from collections.abc import Sequence
from typing import Any


def checked_names(class_names: Sequence[Any], number: int) -> tuple[str, ...]:
    """As many different strings. An id is a position: integers must be the ids themselves."""
    names = tuple(class_names)
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise TypeError(f"class_names must be strings, got {wrong[0]!r:.80}.")
    if len(names) != number or len(set(names)) != number:
        raise ValueError(f"class_names must be {number} different names, got {names!r:.80}.")
    refuse_other_integers("class_names", names)
    return names


def integers(names: Sequence[str]) -> list[int] | None:
    """The numbers, if all are integers, also such as 1.0."""
    digits = [name.removesuffix(".0") for name in names]
    return [int(x) for x in digits] if all(x.lstrip("-").isdecimal() for x in digits) else None


def axes_of_table(value: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the rows and the columns of a pandas DataFrame; none of all else."""
    if not (hasattr(value, "index") and hasattr(value, "columns")):
        return (), ()
    return tuple(map(str, value.index)), tuple(map(str, value.columns))


def refuse_other_integers(name: str, names: tuple[str, ...]) -> None:
    """Refuses classes that are named by integers, but not by the ids 0 to K - 1 in their order."""
    if integers(names) not in (None, list(range(len(names)))):
        raise ValueError(
            f"{name} must name the classes by words, or by the ids 0 to {len(names) - 1} in their "
            f"order, got {names!r:.80}; sort them by number, or give words as class_names."
        )


def refuse_other_order(name: str, value: Any) -> None:
    """Refuses a table whose rows and columns are not the same classes, each at its id."""
    rows, columns = axes_of_table(value)
    if rows != columns:
        raise ValueError(
            f"{name} must have the same classes in the same order as rows and as columns, got "
            f"{rows!r:.80} and {columns!r:.80}; give {name}.loc[names, names]."
        )
    refuse_other_integers(name, rows)


def places_of_columns(rows: tuple[str, ...], columns: tuple[str, ...]) -> list[int]:
    """Where the column of each row is; then where the others are, which are those of actions."""
    places = {column: place for place, column in enumerate(columns)}
    if len(places) < len(columns) or len(places.keys() & set(rows)) < len(rows):
        raise ValueError(
            "matrix must have a column for each class of its rows, all of different names, got "
            f"rows {rows!r:.80} and columns {columns!r:.80}."
        )
    classes = [places.pop(row) for row in rows]
    return [*classes, *places.values()]
