"""Dataclasses as pytrees that JAX can tell apart."""

import dataclasses
from collections.abc import Iterable
from typing import Any, TypeVar, cast

import jax
from jax.tree_util import GetAttrKey

_Class = TypeVar("_Class")


def register_dataclass(kind: type[_Class]) -> type[_Class]:
    """As ``jax.tree_util.register_dataclass``, which must not be used here.

    In jaxlib 0.10 the structures of two dataclasses with the same number of fields compare equal,
    though their hashes differ. Now and then ``jax.jit`` calls what it compiled for one kind of
    costs with another kind, and returns a wrong number.
    """
    fields = dataclasses.fields(cast(Any, kind))
    arrays = [field.name for field in fields if not field.metadata.get("static", False)]
    static = [field.name for field in fields if field.metadata.get("static", False)]

    def flatten(instance: _Class) -> tuple[list[Any], tuple[Any, ...]]:
        keys = [(GetAttrKey(name), getattr(instance, name)) for name in arrays]
        return keys, tuple(getattr(instance, name) for name in static)

    def unflatten(fixed: tuple[Any, ...], children: Iterable[Any]) -> _Class:
        values = [*zip(arrays, children, strict=True), *zip(static, fixed, strict=True)]
        return kind(**dict(values))

    jax.tree_util.register_pytree_with_keys(kind, flatten, unflatten)
    return kind
