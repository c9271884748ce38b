"""What estimators predict for decisions that are no class."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np


def names_of_actions(given: Any, classes: Sequence[Hashable], number: int) -> tuple[Hashable, ...]:
    """As many names as there are actions, by default the integers after the classes 0 to K - 1."""
    size = len(classes)
    if given is None and number and list(classes) != list(range(size)):
        raise ValueError("action_names must be given where the classes are not 0 to K - 1.")
    names = range(size, size + number) if given is None else given
    names = tuple(names.tolist() if isinstance(names, np.ndarray) else names)
    if len(names) != number or len({*classes, *names}) != size + number:
        raise ValueError(
            f"action_names must be {number} names that are no class, got {names!r:.80}."
        )
    return names
