"""Reads the memory of the fused loss on accelerators, without having them: ``make aot-linear``.

Compiles the value and both gradients for bfloat16 operands as ``benchmarks.aot`` does. If stored
logits do not fit into the device, their temporaries are read from the error of the compiler.
"""

import argparse
import re
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

from benchmarks.aot import TARGETS, compile_for
from benchmarks.contestants import linear_contestants

SHAPE = (32768, 2560, 128256)  # rows, hidden states, classes
CHUNK_SIZES = (2048, 4096)  # the first is what an accelerator takes by default
GOAL = 0.25  # of the temporaries of stored logits, at most, by default


def temporaries(device: jax.Device, loss: Callable[..., jax.Array]) -> tuple[float, bool]:
    """Bytes, and whether the program fits into the device."""
    rows, features, classes = SHAPE
    arguments = (
        ((rows, features), jnp.bfloat16),
        ((features, classes), jnp.bfloat16),
        ((rows,), jnp.int32),
    )
    try:
        compiled = compile_for(device, jax.value_and_grad(loss, (0, 1)), arguments)
    except jax.errors.JaxRuntimeError as refusal:
        needed = re.search(r"HLO temporaries \(([\d.]+)G\)", str(refusal))
        if not needed:
            raise
        return float(needed[1]) * 2**30, False
    return compiled.memory_analysis().temp_size_in_bytes, True


def report(device: jax.Device) -> str:
    """Markdown: the table of one device, and whether it reached the goal."""
    header = ["", "temporaries (GB)", "/ Optax", "/ categorical"]
    lines = [f"| {' | '.join(header)} |", "| --- |" + " ---: |" * (len(header) - 1)]
    verdicts = []
    taken: dict[str, float] = {}
    for name, loss in linear_contestants(SHAPE[-1], CHUNK_SIZES).items():
        taken[name], fits = temporaries(device, loss)
        cells = [name if fits else f"{name}, does not fit", f"{taken[name] / 1e9:.2f}"]
        cells.append(f"{taken[name] / taken['optax softmax']:.2f}")
        if name.startswith("linear"):
            unfused, _, size = name.removeprefix("linear_").partition(", chunk_size=")
            ratio = taken[name] / taken[unfused]
            cells.append(f"{ratio:.2f}")
            if size == str(CHUNK_SIZES[0]):
                word = "held" if ratio <= GOAL else "MISSED"
                verdicts.append(
                    f"- {word}: {name}: {ratio:.2f} times {unfused}, at most {GOAL} wanted"
                )
        else:
            cells.append("")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *verdicts])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make aot-linear", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("output"), metavar="DIR")
    options = parser.parse_args()
    size = " x ".join(str(n) for n in SHAPE)
    text = [f"jax {jax.__version__}, operands in bfloat16, {size}, value and both gradients."]
    print(text[0])
    for name, target in TARGETS.items():
        text.append(f"\n**{name}**\n\n{report(target.device())}")
        print(text[-1], flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "aot_linear.md").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
