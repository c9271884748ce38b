"""Compiles the losses for a TPU v5e and an H100, without such a machine: ``make aot``.

For each loss, beside Optax's, it prints what the compiled program does: how many kernels it
launches, how often it reads and writes an array of the logits' size, and its temporary memory. The
gathered rows of dense costs are such arrays too. A copy that runs beside other kernels, or several
that bring an array piece by piece into a TPU's fast memory, are one read and one write.

The TPU's compiler also estimates the cycles of each kernel. Their sum is printed, and in units of
Optax's loss. It weighs gathers and layouts, which the counts do not. It leaves out the start of
kernels, what a gather reads and the trips of loops.
"""

import argparse
import json
import re
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

import rwwce_jax as rwwce
from benchmarks.contestants import some_pairs

SHAPES = [(8192, 10), (65536, 21), (16384, 128), (8192, 256), (4096, 1000), (256, 32768)]
H100 = Path(__file__).with_name("h100_sxm.txtpb")


class Program(NamedTuple):
    kernels: int
    reads: int
    writes: int
    temporary_bytes: int
    cycles: int  # 0 where the compiler estimates none


class Target(NamedTuple):
    """A machine to compile for."""

    compiler: str  # the package that holds it
    device: Callable[[], jax.Device]


def h100() -> jax.Device:
    return topologies.get_topology_desc(
        "h100", platform="cuda", target_config=H100.read_text(), topology="1x1x1"
    ).devices[0]


def tpu() -> jax.Device:
    return topologies.get_topology_desc("v5e:2x2", platform="tpu").devices[0]


TARGETS = {"H100": Target("jax-cuda12-plugin", h100), "TPU v5e": Target("libtpu", tpu)}


def losses(rows: int, classes: int) -> dict[str, tuple[Callable[..., jax.Array], tuple]]:
    """Each loss, with the shapes and dtypes of its arguments."""
    logits, labels = ((rows, classes), jnp.float32), ((rows,), jnp.int32)
    flat, binary_labels = ((rows * classes,), jnp.float32), ((rows * classes,), jnp.float32)
    scalar, matrix = ((), jnp.float32), ((classes, classes), jnp.float32)

    def optax_categorical(z, y):
        return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()

    def optax_binary(z, y):
        return optax.sigmoid_binary_cross_entropy(z, y).mean()

    pairs = rwwce.pair_costs(some_pairs(classes, np.random.default_rng(0)), classes)
    return {
        "optax softmax cross-entropy": (optax_categorical, (logits, labels)),
        "categorical, fp = 0": (lambda z, y: rwwce.categorical(z, y, 1.0, 0), (logits, labels)),
        "categorical, scalar fp": (
            lambda z, y, fp: rwwce.categorical(z, y, 1.0, fp),
            (logits, labels, scalar),
        ),
        "categorical, pair costs": (
            lambda z, y: rwwce.categorical(z, y, 1.0, pairs),
            (logits, labels),
        ),
        "categorical, dense fp": (
            lambda z, y, fp: rwwce.categorical(z, y, 1.0, fp),
            (logits, labels, matrix),
        ),
        "categorical, 4 candidates": (
            lambda z, y, c: rwwce.categorical(z, y, 1.0, rwwce.ExampleCosts(1.0, classes=c)),
            (logits, labels, ((rows, 4), jnp.int32)),
        ),
        "optax sigmoid cross-entropy": (optax_binary, (flat, binary_labels)),
        "binary": (lambda z, y: rwwce.binary(z, y, 2000.0, 100.0), (flat, binary_labels)),
    }


def elements(shape: str) -> Iterable[int]:
    """The sizes of the arrays in an HLO shape, which may be a tuple."""
    for dimensions in re.findall(r"\b[a-z]+\d*\[([\d,]*)\]", shape):
        yield int(np.prod([int(n) for n in dimensions.split(",") if n], dtype=np.int64))


# Instructions that launch nothing: they name, group, reinterpret or await results of others.
FREE = {"parameter", "constant", "get-tuple-element", "tuple", "bitcast", "copy-done", "slice-done"}
BITCAST = 'custom_call_target="ConcatBitcast"'  # of adjacent slices
INSTRUCTION = re.compile(r"\s*(?:ROOT )?%?([\w.-]+) = (.+?) ([a-z][\w-]*)\((.*)")


def only_gathers(computation: str, index: int) -> bool:
    """Whether a fused computation uses only a few elements of its parameter."""
    name = re.search(rf"%?([\w.-]+) = [^\n]* parameter\({index}\)", computation)
    if not name:
        return False
    uses = re.findall(rf"= [^\n]*? ([a-z][\w-]*)\([^\n]*%?{re.escape(name[1])}[,)]", computation)
    return bool(uses) and set(uses) <= {"gather", "dynamic-slice"}


def count(compiled: jax.stages.Compiled, size: int) -> Program:
    """Reads the entry computation of a compiled program: each instruction there is a kernel."""
    text = compiled.as_text()
    computations = dict(
        re.findall(r"^%?([\w.-]+) [^\n]*\{\n(.*?)^\}", text, re.DOTALL | re.MULTILINE)
    )
    entry = re.search(r"^ENTRY [^\n]*\{\n(.*?)^\}", text, re.DOTALL | re.MULTILINE)
    assert entry, "a compiled program has an entry computation"
    results: dict[str, list[int]] = {}
    kernels = 0
    reads = writes = 0.0
    for line in entry[1].splitlines():
        parsed = INSTRUCTION.match(line)
        if not parsed:
            continue
        name, shape, operation, rest = parsed.groups()
        results[name] = list(elements(shape))
        if operation in FREE or BITCAST in rest:
            continue
        kernels += 1
        if operation in {"copy-start", "slice-start"}:
            # The result holds both ends of the copy, and one may be a slice of the other.
            smaller, larger = sorted(results[name][:2])
            reads += smaller / size * (larger == size)
            writes += smaller / size * (larger == size)
            continue
        called = re.search(r"calls=%?([\w.-]+)", rest)
        body = computations.get(called[1], "") if called else ""
        operands = re.findall(r"%([\w.-]+)", rest.split("), ")[0])
        for index, operand in enumerate(operands):
            if not only_gathers(body, index):
                reads += sum(n == size for n in results.get(operand, ()))
        writes += sum(n == size for n in results[name])
    cycles = sum(int(n) for n in re.findall(r'"estimated_cycles":"?(\d+)"?', entry[1]))
    temporary = compiled.memory_analysis().temp_size_in_bytes
    return Program(kernels, round(reads), round(writes), temporary, cycles)


def compile_for(device: jax.Device, function, arguments) -> jax.stages.Compiled:
    sharding = SingleDeviceSharding(device)
    shapes = [jax.ShapeDtypeStruct(shape, dtype, sharding=sharding) for shape, dtype in arguments]
    return jax.jit(function).lower(*shapes).compile()


def table(device: jax.Device, rows: int, classes: int, estimates: list[dict[str, Any]]) -> str:
    """Markdown: the compiled program of each loss. Adds the estimates of a TPU to the list."""
    is_tpu = device.platform == "tpu"
    columns = ["kernels", "reads", "writes", "temporary bytes"]
    columns += ["estimated cycles", "/ Optax"] * is_tpu
    header = ["", *columns, f"v+g: {columns[0]}", *columns[1:]]
    lines = [f"| {' | '.join(header)} |", "| --- |" + " ---: |" * (len(header) - 1)]
    of_optax = {}
    for loss, (function, arguments) in losses(rows, classes).items():
        cells = [loss]
        for kind, of in (("v", function), ("v+g", jax.value_and_grad(function))):
            *counts, cycles = count(compile_for(device, of, arguments), rows * classes)
            cells += [f"{number:,}" for number in counts]
            if is_tpu:
                if loss.startswith("optax"):
                    of_optax[kind] = cycles
                ratio = cycles / of_optax[kind]
                cells += [f"{cycles:,}", f"{ratio:.2f}"]
                estimates.append(
                    {"rows": rows, "classes": classes, "contestant": loss, "of": kind}
                    | {"ratio_to_optax": round(ratio, 3)}
                )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def shape(text: str) -> tuple[int, int]:
    """Reads 4096x1000."""
    rows, classes = text.split("x")
    return int(rows), int(classes)


def installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make aot", description=__doc__)
    parser.add_argument("--shape", type=shape, action="append", help="such as 4096x1000")
    parser.add_argument(
        "--target", action="append", choices=TARGETS, help="default: all whose compiler is there"
    )
    parser.add_argument("--output", type=Path, default=Path("output"), metavar="DIR")
    parser.add_argument("--name", default="aot", help="of the file that is written there")
    options = parser.parse_args()
    targets = {}
    for name in options.target or TARGETS:
        if installed(TARGETS[name].compiler):
            targets[name] = TARGETS[name]
        else:
            print(f"{name} is left out: {TARGETS[name].compiler} is not installed here.")
    if not targets:
        return
    packages = ("jax", *(target.compiler for target in targets.values()), "optax")
    text = [", ".join(f"{name} {version(name)}" for name in packages)]
    text[0] += "; logits in float32. v+g is the value and its gradient; reads and writes are of"
    text[0] += " arrays of the logits' size."
    print(text[0])
    estimates: list[dict[str, Any]] = []
    for name, target in targets.items():
        device = target.device()
        for rows, classes in options.shape or SHAPES:
            text.append(
                f"\n**{name}, {rows} x {classes}**\n\n{table(device, rows, classes, estimates)}"
            )
            print(text[-1], flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / f"{options.name}.md").write_text("\n".join(text) + "\n")
    (options.output / f"{options.name}.json").write_text(json.dumps(estimates, indent=1) + "\n")


if __name__ == "__main__":
    main()
