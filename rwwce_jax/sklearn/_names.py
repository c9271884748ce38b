"""The names of decisions: the classes, and the actions that are no class."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np


def listed(names: Sequence[Hashable] | np.ndarray | None) -> tuple[Any, ...] | None:
    """The names as Python values."""
    return None if names is None else tuple(names.tolist() if hasattr(names, "tolist") else names)


def refuse_few(classes: tuple[Any, ...]) -> None:
    """Refuses labels that are not two or more different classes."""
    if len(set(classes)) != len(classes) or len(classes) < 2:
        number = f"{len(classes)} class{'es' if len(classes) > 1 else ''}"
        raise ValueError(
            f"labels must be 2 or more different classes, got {number}, {classes!r:.80}."
        )


def names_of_actions(
    action_names: Sequence[Hashable] | np.ndarray | None, classes: tuple[Any, ...], number: int
) -> tuple[Any, ...]:
    """What is predicted for this many actions: by default K, K + 1, ... beside 0 to K - 1."""
    names, ids = listed(action_names), tuple(range(len(classes) + number))
    if names is None:
        if number and classes != ids[: len(classes)]:
            raise ValueError("action_names must be given where the classes are not 0 to K - 1.")
        names = ids[len(classes) :]
    if not len(set(names) - set(classes)) == len(names) == number:
        raise ValueError(
            f"action_names must be {number} names that are no class, got {names!r:.80}."
        )
    # NumPy would make strings of numbers beside strings.
    kinds = {np.asarray(x).dtype.kind.replace("u", "i") for x in (*classes, *names)}
    if number and len(kinds) > 1:
        raise ValueError(
            f"action_names must be of the kind of the classes, {classes!r:.80}, got {names!r:.80}."
        )
    return names
