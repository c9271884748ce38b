"""Meshes, and what compiled programs do, read from their text."""

import math
import re

import jax
from jax.sharding import AxisType

KINDS = {"explicit": AxisType.Explicit, "automatic": AxisType.Auto}


def a_mesh(kind):
    return jax.make_mesh((4, 2), ("data", "model"), axis_types=(KINDS[kind],) * 2)


def collectives(text):
    """The number of elements of each result of a collective in compiled HLO."""
    sizes = []
    for line in text.splitlines():
        found = re.search(
            r"= (.*?) (all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)"
            r"(-start)?\(",
            line,
        )
        if found:
            shapes = re.findall(r"\w+\[([\d,]*)\]", found[1])
            sizes += [math.prod(int(n) for n in shape.split(",") if n) for shape in shapes]
    return sizes


def count_products(jaxpr, size):
    """The matrix products with an axis of this size in a jaxpr and all that it calls."""
    count = 0
    for equation in jaxpr.eqns:
        shapes = [x.aval.shape for x in (*equation.invars, *equation.outvars)]
        count += equation.primitive.name == "dot_general" and any(size in s for s in shapes)
        inner = jax.tree.leaves(list(equation.params.values()))  # jaxprs, or lists of them
        count += sum(count_products(x, size) for x in inner if hasattr(x, "eqns"))
    return count
