"""Times the losses against Optax's and the naive formula in one interleaved run: ``make bench``.

Each contestant runs in turn, round after round, so that what else the machine does hits all of them
alike. Medians, the spread (quartiles) and ratios of medians to Optax's loss are printed as a table
and written as JSON and Markdown. The naive formula is the one that a user would write by hand; it
is timed only, for it is not finite on confident logits.
"""

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

import rwwce_jax as rwwce

SIZES = ((100, 10), (1024, 1000), (4096, 1000), (256, 32768), (64, 32768))
PAIRS = 8  # of each class
DTYPES = ("float32", "bfloat16")
# One measurement lasts about this long: short calls are repeated within it.
SECONDS = 2e-3


class Case(NamedTuple):
    """One program that is timed."""

    rows: int
    classes: int
    dtype: str
    contestant: str
    of: str  # "forward" or "value+grad"


class Contestant(NamedTuple):
    """A loss of logits and labels, the labels, and whose time its own is compared with.

    The costs are constants of the program, as they are in a training step.
    """

    loss: Callable[[jax.Array, jax.Array], jax.Array]
    labels: jax.Array
    reference: str = "optax softmax"


def naive(logits, labels, fn, fp):
    """The formula of the paper as written, without regard to its numbers."""
    p = jax.nn.softmax(logits.astype(jnp.float32))
    p_label = jnp.take_along_axis(p, labels[:, None], axis=-1)[:, 0]
    return -jnp.mean(fn * jnp.log(p_label) + jnp.sum(fp[labels] * jnp.log(1 - p), axis=-1))


def contestants(rows: int, classes: int, rng: np.random.Generator) -> dict[str, Contestant]:
    """The losses that are compared at this size."""
    labels = jnp.asarray(rng.integers(0, classes, rows), jnp.int32)
    truths = jnp.asarray(rng.integers(0, 2, (rows, classes)), jnp.float32)

    def categorical(fp):
        return Contestant(lambda z, y: rwwce.categorical(z, y, 1.0, fp), labels)

    found = {
        "optax softmax": Contestant(
            lambda z, y: optax.softmax_cross_entropy_with_integer_labels(z, y).mean(), labels
        ),
        "categorical, fp = 0": categorical(0),
        "categorical, scalar fp": categorical(2.0),
    }
    if classes > PAIRS:
        others = {
            (int(k), int(k + shift) % classes): 5.0
            for k in range(classes)
            for shift in rng.integers(1, classes, PAIRS)
        }
        found["categorical, pair costs"] = categorical(rwwce.pair_costs(others, classes))
    if classes <= 4096:  # beyond, dense costs take gigabytes
        dense = jnp.asarray(rng.random((classes, classes)), jnp.float32)
        dense = jnp.where(jnp.eye(classes, dtype=bool), 0, dense)
        found["categorical, dense fp"] = categorical(dense)
        found["naive formula, dense fp"] = Contestant(lambda z, y: naive(z, y, 1.0, dense), labels)
    found["optax sigmoid"] = Contestant(
        lambda z, y: optax.sigmoid_binary_cross_entropy(z, y).mean(), truths, "optax sigmoid"
    )
    found["binary"] = Contestant(
        lambda z, y: rwwce.binary(z, y, 2000.0, 100.0), truths, "optax sigmoid"
    )
    return found


def programs(
    rows: int, classes: int, dtype: str, losses: dict[str, Contestant], rng: np.random.Generator
) -> dict[Case, Callable[[], Any]]:
    """Compiled calls; each takes the next of several logits, lest one set stays in a cache."""
    logits = [jnp.asarray(rng.normal(size=(rows, classes)) * 3, jnp.dtype(dtype)) for _ in range(4)]

    def call(program, turns, labels):
        return program(next(turns), labels)

    kinds = {"forward": lambda loss: loss, "value+grad": jax.value_and_grad}
    return {
        Case(rows, classes, dtype, name, of): partial(
            call, jax.jit(kind(contestant.loss)), itertools.cycle(logits), contestant.labels
        )
        for name, contestant in losses.items()
        for of, kind in kinds.items()
    }


def measure(cases: dict[Case, Callable[[], Any]], rounds: int) -> dict[Case, np.ndarray]:
    """Seconds per call of each case in each round; the cases take turns."""
    repeats = {}
    for case, call in cases.items():
        jax.block_until_ready(call())
        started = time.perf_counter()
        jax.block_until_ready([call() for _ in range(3)])
        repeats[case] = max(1, int(SECONDS * 3 / (time.perf_counter() - started)))
    seconds = {case: np.empty(rounds) for case in cases}
    for turn in range(rounds):
        for case, call in cases.items():
            started = time.perf_counter()
            for _ in range(repeats[case]):
                result = call()
            jax.block_until_ready(result)
            seconds[case][turn] = (time.perf_counter() - started) / repeats[case]
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
    """What the numbers were measured on."""
    device = jax.devices()[0]
    processor = platform.machine()
    if (cpuinfo := Path("/proc/cpuinfo")).exists():
        names = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        processor = names[0].split(":")[1].strip() if names else processor
    return {
        "device": f"{device.platform}: {device.device_kind}",
        "processor": f"{processor}, {os.cpu_count()} cores",
        "versions": f"Python {platform.python_version()}, jax {jax.__version__}, "
        f"optax {optax.__version__}",
    }


def results_of(
    seconds: dict[Case, np.ndarray], losses: dict[str, Contestant]
) -> list[dict[str, Any]]:
    """Medians, quartiles and ratios of medians."""
    medians = {case: float(np.median(times)) for case, times in seconds.items()}
    results = []
    for case, times in seconds.items():
        optax_case = case._replace(contestant=losses[case.contestant].reference)
        naive_median = medians.get(case._replace(contestant="naive formula, dense fp"))
        # The logits are read, and their gradient is written: what no loss can do without.
        traffic = case.rows * case.classes * jnp.dtype(case.dtype).itemsize
        traffic *= 1 if case.of == "forward" else 2
        results.append(
            case._asdict()
            | {
                "microseconds": medians[case] * 1e6,
                "quartiles": [float(q) * 1e6 for q in np.quantile(times, (0.25, 0.75))],
                "ratio_to_optax": medians[case] / medians[optax_case],
                "ratio_to_naive": naive_median and medians[case] / naive_median,
                "bytes_per_second": traffic / medians[case],
            }
        )
    return results


def table(results: list[dict[str, Any]], copied: float | None) -> str:
    """Markdown of the results of one size and dtype."""
    first = results[0]
    head = ["", "forward (us)", "quartiles", "/ Optax"]
    head += ["value+grad (us)", "quartiles", "/ Optax", "/ naive"]
    head += ["of a copy's GB/s"] if copied else []
    lines = [
        f"\n**{first['rows']} x {first['classes']}, {first['dtype']}**\n",
        f"| {' | '.join(head)} |",
        "| --- |" + " ---: |" * (len(head) - 1),
    ]
    for forward, both in zip(results[::2], results[1::2], strict=True):
        cells = [forward["contestant"]]
        for result in (forward, both):
            low, high = result["quartiles"]
            cells += [f"{result['microseconds']:,.1f}", f"{low:,.1f} to {high:,.1f}"]
            cells.append(f"{result['ratio_to_optax']:.2f}")
        ratio = both["ratio_to_naive"]
        cells.append(f"{ratio:.2f}" if ratio and "dense" in cells[0] else "")
        if copied:
            cells.append(f"{both['bytes_per_second'] / copied:.0%}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


# What is asked of two CPU cores, value+grad in float32: size, contestant, ratio to, at most.
GOALS = (
    ((1024, 1000), "categorical, dense fp", "naive", 1.1),
    ((1024, 1000), "categorical, dense fp", "optax", 3.0),
    ((1024, 1000), "categorical, fp = 0", "optax", 1.1),
    ((100, 10), "categorical, dense fp", "optax", 1.2),
    ((1024, 1000), "categorical, pair costs", "optax", 1.25),
    ((64, 32768), "categorical, pair costs", "optax", 1.25),
)


def verdicts(results: list[dict[str, Any]]) -> list[str]:
    """Each goal that was measured, and whether it was reached."""
    lines = []
    for (rows, classes), contestant, against, most in GOALS:
        for result in results:
            case = Case(*(result[field] for field in Case._fields))
            if case == Case(rows, classes, "float32", contestant, "value+grad"):
                ratio = result[f"ratio_to_{against}"]
                word = "held" if ratio <= most else "MISSED"
                lines.append(
                    f"{word}: {contestant}, {rows} x {classes}, value+grad: {ratio:.2f} times "
                    f"{against}, at most {most} wanted"
                )
    return lines


def main() -> None:
    """The command line."""
    names = [f"{rows}x{classes}" for rows, classes in SIZES]
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="turns of each (default: 50)")
    parser.add_argument("--size", choices=names, action="append", help="may be repeated")
    parser.add_argument("--output", type=Path, default=Path("output"), metavar="DIR")
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    on_cpu = jax.default_backend() == "cpu"
    copied = None if on_cpu else copy_bandwidth()
    revision = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    facts = machine() | {"revision": revision, "rounds": str(options.rounds)}
    text = [f"- {name}: {fact}" for name, fact in facts.items()]
    if copied:
        text.append(f"- a copy on the device: {copied / 1e9:,.0f} GB/s read and written")
    print("\n".join(text))
    everything = []
    for rows, classes in tqdm(SIZES, desc="sizes", disable=not sys.stderr.isatty()):
        if options.size and f"{rows}x{classes}" not in options.size:
            continue
        losses = contestants(rows, classes, rng)
        for dtype in DTYPES:
            cases = programs(rows, classes, dtype, losses, rng)
            results = results_of(measure(cases, options.rounds), losses)
            text.append(table(results, copied))
            tqdm.write(text[-1])
            everything += results
    if on_cpu:
        text.append("\n" + "\n".join(f"- {line}" for line in verdicts(everything)))
        print(text[-1])
    report = facts | {"copy_bytes_per_second": copied, "results": everything}
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "losses.json").write_text(json.dumps(report, indent=1) + "\n")
    (options.output / "losses.md").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped")
