"""Times the losses against Optax's and the naive formula in one interleaved run: ``make bench``.

Contestants take turns, round after round, so that other load on the machine affects all of them
equally. Medians, their spread (quartiles) and ratios to Optax's loss are printed as a table and
written as JSON and Markdown. The naive formula is the one that a user would write by hand; it
is timed only, for it is not finite on confident logits.

``make bench ARGS="--against REVISION"`` times the package of another git revision in the same run,
and adds the ratios of now to then.
"""

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from benchmarks.contestants import Contestant, contestants, package_of
from benchmarks.summary import Case, against, compilation, ratios, results_of, table

SIZES = ((100, 10), (8192, 10), (65536, 21), (262144, 4), (1024, 1000), (4096, 1000), (256, 32768))
COMPILED = (256, 100)  # the size whose compilation is timed
DTYPES = ("float32", "bfloat16")
# One measurement lasts about this long: short calls are repeated within it.
SECONDS = 2e-3


def programs(
    rows: int, classes: int, dtype: str, losses: dict[str, Contestant], rng: np.random.Generator
) -> dict[Case, Callable[[], Any]]:
    """Compiled calls. Each takes the next of several logits, so that none stays in a cache."""
    logits = [jnp.asarray(rng.normal(size=(rows, classes)) * 3, jnp.dtype(dtype)) for _ in range(4)]

    def call(program, turns, labels):
        return program(next(turns), labels)

    kinds = {"forward": lambda loss: loss, "value+grad": jax.value_and_grad}
    return {
        Case(rows, classes, dtype, name, of): partial(
            call, jax.jit(kind(contestant.loss)), itertools.cycle(logits), contestant.labels
        )
        for of, kind in kinds.items()
        for name, contestant in losses.items()
    }


def measure(cases: dict[Any, Callable[[], Any]], rounds: int) -> dict[Any, np.ndarray]:
    """Seconds per call of each case in each round.

    Cases run forwards, then backwards, each after a call that is not timed. In a fixed order and
    without that call, some cases took 1.3 to 2.2 times as long as the same code.
    """

    def timed(call: Callable[[], Any], repeats: int) -> float:
        jax.block_until_ready(call())
        started = time.perf_counter()
        for _ in range(repeats):
            result = call()
        jax.block_until_ready(result)
        return (time.perf_counter() - started) / repeats

    def repeats_of(call: Callable[[], Any]) -> int:
        if timed(call, 1) > 10 * SECONDS:  # and nine more would take long
            return 1
        return max(1, int(SECONDS / min(timed(call, 3) for _ in range(3))))

    repeats = {case: repeats_of(call) for case, call in cases.items()}
    seconds = {case: np.empty(rounds) for case in cases}
    for turn in range(rounds):
        for case in list(cases)[:: 1 if turn % 2 else -1]:
            seconds[case][turn] = timed(cases[case], repeats[case])
    return seconds


def compile_seconds(
    rows: int, classes: int, losses: dict[str, Contestant], rounds: int
) -> dict[str, list[float]]:
    """Seconds to trace, lower and compile value and gradient, in turn, with nothing kept."""
    logits = jax.ShapeDtypeStruct((rows, classes), jnp.float32)
    seconds: dict[str, list[float]] = {name: [] for name in losses}
    for _ in range(rounds):
        for name, contestant in losses.items():
            jax.clear_caches()
            started = time.perf_counter()
            jax.jit(jax.value_and_grad(contestant.loss)).lower(logits, contestant.labels).compile()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def copy_bandwidth() -> float:
    """Bytes per second, read and written, of a device-to-device copy of 1 GiB."""
    source = jnp.ones(2**28, jnp.float32)
    copy = jax.jit(jnp.negative)  # XLA would drop a plain copy
    jax.block_until_ready(copy(source))
    seconds = []
    for _ in range(20):
        started = time.perf_counter()
        jax.block_until_ready(copy(source))
        seconds.append(time.perf_counter() - started)
    return 2 * source.nbytes / float(np.median(seconds))


def machine() -> dict[str, str]:
    """The machine and versions of a measurement."""
    device = jax.devices()[0]
    revision = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    processor = platform.machine()
    if (cpuinfo := Path("/proc/cpuinfo")).exists():
        names = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        processor = names[0].split(":")[1].strip() if names else processor
    return {
        "device": f"{device.platform}: {device.device_kind}",
        "processor": f"{processor}, {os.cpu_count()} cores",
        "versions": f"Python {platform.python_version()}, jax {jax.__version__}, "
        f"optax {optax.__version__}",
        "revision": revision,
    }


def main() -> None:
    """The command line."""
    names = [f"{rows}x{classes}" for rows, classes in SIZES]
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="turns of each (default: 50)")
    parser.add_argument("--size", choices=names, action="append", help="may be repeated")
    parser.add_argument("--dtype", choices=DTYPES, action="append", help="may be repeated")
    parser.add_argument("--output", type=Path, default=Path("output"), metavar="DIR")
    parser.add_argument("--against", metavar="REVISION", help="a git revision to compare with")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        then = package_of(options.against, Path(folder)) if options.against else None
        compare(options, then)


def compare(options: argparse.Namespace, then: ModuleType | None) -> None:
    """Times, prints and writes."""
    rng = np.random.default_rng(0)
    copied = None if jax.default_backend() == "cpu" else copy_bandwidth()
    facts = machine() | {"rounds": str(options.rounds)}
    text = [f"- {name}: {fact}" for name, fact in facts.items()]
    if copied:
        text.append(f"- a copy on the device: {copied / 1e9:,.0f} GB/s read and written")
    print("\n".join(text))
    everything, dtypes = [], options.dtype or DTYPES
    for rows, classes in tqdm(SIZES, desc="sizes", disable=not sys.stderr.isatty()):
        if options.size and f"{rows}x{classes}" not in options.size:
            continue
        losses = contestants(rows, classes, rng, then)
        for dtype in dtypes:
            cases = programs(rows, classes, dtype, losses, rng)
            results = results_of(measure(cases, options.rounds), losses)
            text.append(table(results, copied))
            tqdm.write(text[-1])
            everything += results
    text += [ratios(everything, dtype) for dtype in dtypes]
    if then:
        text.append(against(everything, options.against))
    losses = contestants(*COMPILED, rng, then)
    text.append(compilation(compile_seconds(*COMPILED, losses, rounds=5), losses))
    print("\n".join(text[-1 - bool(then) - len(dtypes) :]))
    report = facts | {"against": options.against, "results": everything}
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "losses.json").write_text(json.dumps(report, indent=1) + "\n")
    (options.output / "losses.md").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped")
