"""Dataclasses as pytrees that JAX can tell apart."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, dataclass_transform

import jax
from jax.tree_util import GetAttrKey

_Class = TypeVar("_Class")


@dataclass_transform(frozen_default=True, eq_default=False)
def pytree_dataclass(*static: str) -> Callable[[type[_Class]], type[_Class]]:
    """Makes a frozen dataclass and a pytree of a class; the static fields are no arrays.

    Not by ``jax.tree_util.register_dataclass``. In jaxlib 0.10 the structures of two dataclasses
    with the same number of fields compare equal, though their hashes differ. Now and then
    ``jax.jit`` calls what it compiled for one kind of costs with another kind, and returns a wrong
    number.
    """

    def register(plain: type[_Class]) -> type[_Class]:
        kind: Any = dataclasses.dataclass(frozen=True, eq=False)(plain)
        arrays = [x.name for x in dataclasses.fields(kind) if x.name not in static]

        def flatten(instance: _Class) -> tuple[list[Any], tuple[Any, ...]]:
            keys = [(GetAttrKey(name), getattr(instance, name)) for name in arrays]
            return keys, tuple(getattr(instance, name) for name in static)

        def unflatten(fixed: tuple[Any, ...], children: Iterable[Any]) -> _Class:
            return kind(**dict(zip((*arrays, *static), (*children, *fixed), strict=True)))

        jax.tree_util.register_pytree_with_keys(kind, flatten, unflatten)
        return kind

    return register
