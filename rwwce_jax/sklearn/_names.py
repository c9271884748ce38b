"""The names of decisions: the classes, and the actions that are no class."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from sklearn.utils import column_or_1d

from rwwce_jax._checks import arguments


def _listed(names: Sequence[Hashable] | np.ndarray) -> tuple[Any, ...]:
    """The names as Python values."""
    return tuple(names.tolist() if hasattr(names, "tolist") else names)


def classes_of(labels: Sequence[Hashable] | np.ndarray) -> tuple[Any, ...]:
    """The labels as Python values. They must be two or more different classes."""
    classes = _listed(labels)
    if len(set(classes)) != len(classes) or len(classes) < 2:
        number = f"{len(classes)} class{'es' if len(classes) > 1 else ''}"
        raise ValueError(
            f"labels must be 2 or more different classes, got {number}, {classes!r:.80}."
        )
    return classes


def ids_of(name: str, values: Any, classes: Sequence[Hashable], hint: str = "") -> np.ndarray:
    """The place of each value among the classes. The hint is for values that are none of them."""
    arguments.refuse_masked(name, values)
    array = np.asarray(values)
    if array.shape[1:] == (1,):
        array = column_or_1d(array, warn=True)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one label per example, got shape {array.shape}.")
    ids = {label: k for k, label in enumerate(classes)}
    if unknown := [label for label in array.tolist() if label not in ids]:
        raise ValueError(
            f"{name} must hold the labels {classes!r:.80} only, got {unknown[0]!r:.80}{hint}."
        )
    return np.array([ids[label] for label in array.tolist()], np.int32)


def names_of_actions(
    action_names: Sequence[Hashable] | np.ndarray | None, classes: tuple[Any, ...], number: int
) -> tuple[Any, ...]:
    """What is predicted for this many actions: by default K, K + 1, ... beside 0 to K - 1."""
    ids = tuple(range(len(classes) + number))
    if action_names is None and number and classes != ids[: len(classes)]:
        raise ValueError("action_names must be given where the classes are not 0 to K - 1.")
    names = _listed(ids[len(classes) :] if action_names is None else action_names)
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
