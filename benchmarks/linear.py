"""Times the loss that is fused with the last layer, and reads its memory: ``make bench-linear``.

Measures the value and both gradients, of hidden states and kernel, in float32, beside Optax's
cross-entropy and ``categorical`` on stored logits, in one interleaved run. Temporaries are the
memory of the compiled program without its arguments and results. The largest size is only compiled:
its logits and their gradient would not fit into a small machine.
"""

import argparse
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contestants import linear_contestants
from benchmarks.losses import machine, measure

TIMED, COMPILED = (1024, 512, 32768), (8192, 256, 128256)  # rows, hidden states, classes
CHUNK_SIZES = (None, 256)  # None: by default


def programs(shape: tuple[int, int, int]) -> dict[str, jax.stages.Compiled]:
    """The compiled programs by their names."""
    rows, features, classes = shape
    shapes = (
        jax.ShapeDtypeStruct((rows, features), jnp.float32),
        jax.ShapeDtypeStruct((features, classes), jnp.float32),
        jax.ShapeDtypeStruct((rows,), jnp.int32),
    )
    return {
        name: jax.jit(jax.value_and_grad(loss, (0, 1))).lower(*shapes).compile()
        for name, loss in linear_contestants(classes, CHUNK_SIZES).items()
    }


def timed(
    compiled: dict[str, jax.stages.Compiled], shape: tuple[int, int, int], rounds: int
) -> dict[str, np.ndarray]:
    """Seconds of each program in each round."""
    rows, features, classes = shape
    rng = np.random.default_rng(0)
    hidden = jnp.asarray(rng.normal(size=(rows, features)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(features, classes)) / features**0.5, jnp.float32)
    labels = jnp.asarray(rng.integers(0, classes, rows), jnp.int32)
    calls = {
        name: lambda program=program: program(hidden, kernel, labels)
        for name, program in compiled.items()
    }
    return measure(calls, rounds)


def report(shape: tuple[int, int, int], rounds: int) -> str:
    """Markdown of one size."""
    compiled = programs(shape)
    memory = {name: x.memory_analysis().temp_size_in_bytes for name, x in compiled.items()}
    seconds = timed(compiled, shape, rounds) if shape == TIMED else {}
    reference, *_ = compiled
    header = ["", "temporaries (MB)", "/ Optax"]
    header += ["ms", "quartiles", "/ Optax"] if seconds else []
    size = " x ".join(str(n) for n in shape)
    lines = [f"\n**{size}**\n", f"| {' | '.join(header)} |"]
    lines.append("| --- |" + " ---: |" * (len(header) - 1))
    for name, temporary in memory.items():
        ratio = temporary / memory[reference]
        cells = [name, f"{temporary / 1e6:,.1f}", f"{ratio:.2f}"]
        if seconds:
            times = seconds[name]
            low, median, high = np.quantile(times, (0.25, 0.5, 0.75)) * 1e3
            ratio = float(np.median(times / seconds[reference]))
            cells += [f"{median:,.0f}", f"{low:,.0f} to {high:,.0f}", f"{ratio:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make bench-linear", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="turns of each (default: 10)")
    parser.add_argument("--output", type=Path, default=Path("output"), metavar="DIR")
    options = parser.parse_args()
    facts = machine() | {"rounds": str(options.rounds)}
    text = ["\n".join(f"- {name}: {fact}" for name, fact in facts.items())]
    print(text[0])
    for shape in (TIMED, COMPILED):
        text.append(report(shape, options.rounds))
        print(text[-1], flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "linear.md").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped")
