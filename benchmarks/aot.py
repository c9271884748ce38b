"""Compiles the losses for a TPU v5e and an H100 without having either: ``make aot``.

For each loss, beside Optax's, it prints what the compiled program does: how many kernels it
launches, how often it reads and writes an array of the logits' size, and its temporary memory. The
gathered rows of dense costs are such arrays too.
"""

import argparse
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

import rwwce_jax as rwwce

H100 = Path(__file__).with_name("h100_sxm.txtpb")


class Program(NamedTuple):
    kernels: int
    reads: int
    writes: int
    temporary_bytes: int


def devices() -> dict[str, jax.Device]:
    """The first device of each topology that there is a compiler for."""
    h100 = topologies.get_topology_desc(
        "h100", platform="cuda", target_config=H100.read_text(), topology="1x1x1"
    )
    tpu = topologies.get_topology_desc("v5e:2x2", platform="tpu")
    return {"H100": h100.devices[0], "TPU v5e": tpu.devices[0]}


def losses(rows: int, classes: int) -> dict[str, tuple[Callable[..., jax.Array], tuple]]:
    """Each loss, with the shapes and dtypes of its arguments."""
    logits, labels = ((rows, classes), jnp.float32), ((rows,), jnp.int32)
    flat, binary_labels = ((rows * classes,), jnp.float32), ((rows * classes,), jnp.float32)
    scalar, matrix = ((), jnp.float32), ((classes, classes), jnp.float32)

    def optax_categorical(z, y):
        return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()

    def optax_binary(z, y):
        return optax.sigmoid_binary_cross_entropy(z, y).mean()

    return {
        "optax softmax cross-entropy": (optax_categorical, (logits, labels)),
        "categorical, fp = 0": (lambda z, y: rwwce.categorical(z, y, 1.0, 0), (logits, labels)),
        "categorical, scalar fp": (
            lambda z, y, fp: rwwce.categorical(z, y, 1.0, fp),
            (logits, labels, scalar),
        ),
        "categorical, dense fp": (
            lambda z, y, fp: rwwce.categorical(z, y, 1.0, fp),
            (logits, labels, matrix),
        ),
        "optax sigmoid cross-entropy": (optax_binary, (flat, binary_labels)),
        "binary": (lambda z, y: rwwce.binary(z, y, 2000.0, 100.0), (flat, binary_labels)),
    }


def elements(shape: str) -> Iterable[int]:
    """The sizes of the arrays in an HLO shape, which may be a tuple."""
    for dimensions in re.findall(r"\b[a-z]+\d*\[([\d,]*)\]", shape):
        yield int(np.prod([int(n) for n in dimensions.split(",") if n], dtype=np.int64))


# They move no data, or stand for what another line does.
FREE = {"parameter", "constant", "get-tuple-element", "tuple", "bitcast", "copy-done", "async-done"}


def count(compiled: jax.stages.Compiled, size: int) -> Program:
    """Reads the entry computation of a compiled program: each instruction there is a kernel."""
    entry = re.search(r"^ENTRY .*?\{\n(.*?)^\}", compiled.as_text(), re.DOTALL | re.MULTILINE)
    assert entry, "a compiled program has an entry computation"
    results: dict[str, list[int]] = {}
    kernels = reads = writes = 0
    for line in entry[1].splitlines():
        parsed = re.match(r"\s*(?:ROOT )?%?([\w.-]+) = (.+?) ([a-z][\w-]*)\((.*)", line)
        if not parsed:
            continue
        name, shape, operation, rest = parsed.groups()
        results[name] = list(elements(shape))
        if operation in ("get-tuple-element", "bitcast") or operation in FREE:
            continue
        kernels += 1
        operands = rest.split("), ")[0]
        used = dict.fromkeys(re.findall(r"%?([A-Za-z_][\w.-]*)", operands))
        # An array that a kernel both gets and returns whole it may yet read and write once each.
        reads += sum(sum(n == size for n in results.get(operand, ())) for operand in used)
        writes += sum(n == size for n in results[name])
    return Program(kernels, reads, writes, compiled.memory_analysis().temp_size_in_bytes)


def compile_for(device: jax.Device, function, arguments) -> jax.stages.Compiled:
    sharding = SingleDeviceSharding(device)
    shapes = [jax.ShapeDtypeStruct(shape, dtype, sharding=sharding) for shape, dtype in arguments]
    return jax.jit(function).lower(*shapes).compile()


def main() -> None:
    parser = argparse.ArgumentParser(prog="make aot", description=__doc__)
    parser.add_argument(
        "--shape",
        type=lambda text: tuple(int(n) for n in text.split("x")),
        action="append",
        help="rows x classes, such as 4096x1000; may be repeated",
    )
    shapes = parser.parse_args().shape or [(4096, 1000), (256, 32768)]
    print(f"jax {jax.__version__}, optax {optax.__version__}; logits in float32")
    for name, device in devices().items():
        for rows, classes in shapes:
            print(f"\n{name}, {rows} x {classes}: kernels, reads and writes of (rows, classes)")
            print(f"{'':32}{'forward':>28}{'value and gradient':>32}")
            for loss, (function, arguments) in losses(rows, classes).items():
                columns = [f"{loss:32}"]
                for of in (function, jax.value_and_grad(function)):
                    program = count(compile_for(device, of, arguments), rows * classes)
                    columns.append(
                        f"{program.kernels:4} {program.reads:4} {program.writes:4}"
                        f" {program.temporary_bytes:13,} B"
                    )
                print(" ".join(columns))


if __name__ == "__main__":
    main()
