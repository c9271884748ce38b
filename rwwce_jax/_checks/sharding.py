"""Compiled functions of arrays that may be sharded, on a mesh of any kind.

On a mesh with automatic axes, XLA decides how to shard each intermediate result. With explicit
axes, the default of ``jax.make_mesh``, JAX wants to be told where it is ambiguous, such as in
``fp[labels]``. Here explicit axes are made automatic inside, so that the numerics need not know of
meshes.
"""

import inspect
import math
import operator
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, ParamSpec

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

Arguments = ParamSpec("Arguments")


def compiled(function: Callable[Arguments, jax.Array]) -> Callable[Arguments, jax.Array]:
    """``jax.jit`` for a function of arrays on any mesh; arguments by keyword are static."""
    static = inspect.getfullargspec(function).kwonlyargs

    @partial(jax.jit, static_argnames=static)
    @wraps(function)
    def program(*arrays: Any, **fixed: Any) -> jax.Array:
        # Runs once per trace: the types of the arrays tell which axes are explicit.
        return _on_explicit_mesh(partial(function, **fixed), arrays)

    @wraps(function)
    def call(*arrays: Any, **fixed: Any) -> jax.Array:
        try:
            return program(*arrays, **fixed)
        except ValueError:
            # JAX refuses costs that live on one device, beside examples on a mesh.
            if (freed := _others_on_host(arrays)) is None:
                raise
        return program(*freed, **fixed)

    return call


def _on_explicit_mesh(function: Callable[..., jax.Array], arrays: tuple[Any, ...]) -> jax.Array:
    """Calls the function, with the explicit axes of the arrays' mesh, if any, made automatic.

    A result with the leading axes of a sharded array, such as one loss per example, is sharded
    like the first such array; so is one that differs from it in its last axis alone, such as the
    costs of classes and actions, but for that axis. Any other is replicated.
    """
    types = [jax.typeof(x) for x in jax.tree.leaves(arrays)]
    # Even where no axis looks sharded: the one that `jax.vmap` hides may be.
    mesh = next((x.sharding.mesh for x in types if x.sharding.mesh.explicit_axes), None)
    if mesh is None:
        return function(*arrays)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), arrays)
    shape = jax.eval_shape(function, *shapes).shape
    specs = (_leading_spec(x, shape) for x in types)
    sharding = NamedSharding(mesh, P(*next(filter(any, specs), ())))
    automatic = jax.sharding.auto_axes(function, axes=mesh.explicit_axes, out_sharding=sharding)
    return automatic(*arrays)


def _leading_spec(array: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """How the axes are sharded that an array shares with a result of this shape."""
    spec = tuple(array.sharding.spec)[: len(shape)]
    if array.shape[: len(shape)] == shape:
        return spec
    rows = len(shape) - 1
    return spec[:rows] if array.ndim == len(shape) and array.shape[:rows] == shape[:rows] else ()


def are_known(*arrays: Any) -> bool:
    """Whether this process knows all values: no array is traced, or in part on other processes."""
    return not any(
        isinstance(x, jax.core.Tracer) or not getattr(x, "is_fully_addressable", True)
        for x in jax.tree.leaves(arrays)
    )


def _on_host(array: Any) -> Any:
    """The array, as a NumPy array if it is committed to one device: JAX then may refuse it."""
    is_jax = isinstance(array, jax.Array) and are_known(array)
    committed = is_jax and array.committed and len(array.devices()) == 1
    return np.asarray(array) if committed else array


def to_host_if_committed(array: jax.Array) -> jax.Array | np.ndarray:
    """The array, as a NumPy array if it is inside ``jax.set_mesh`` and held by one device.

    There JAX refuses to do anything with it: "Received incompatible devices for jitted
    computation. Got argument x ... and jit's context mesh with device ids".
    """
    return array if jax.sharding.get_abstract_mesh().empty else _on_host(array)


def _others_on_host(arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """The arguments, those but the first in NumPy if one device holds them; None if none is so."""
    (first, *others), structure = jax.tree.flatten(arguments)
    moved = [_on_host(x) for x in others]
    unchanged = all(map(operator.is_, moved, others))
    return None if unchanged else jax.tree.unflatten(structure, [first, *moved])


def most_row_shards(*arrays: jax.Array) -> int:
    """The most shards that the rows of the first array (all axes but its last) may be cut into.

    The type of an array tells how explicit axes cut it, a concrete array how all axes do. In
    compiled code, nothing tells how automatic axes do: each of them may cut the rows.
    """
    types = [jax.typeof(x).sharding for x in arrays]
    mesh = next((x.mesh for x in types if not x.mesh.empty), types[0].mesh)
    first = arrays[0]
    sharding = None if isinstance(first, jax.core.Tracer) else first.sharding
    spec, names = types[0].spec, list(mesh.auto_axes)
    if isinstance(sharding, NamedSharding):
        spec, names = sharding.spec, []
    names += jax.tree.leaves(tuple(spec)[: first.ndim - 1])  # an entry is None, a name or several
    return math.prod(size for name, size in mesh.shape.items() if name in names)
