"""Times the losses against Optax's and the naive formula in one interleaved run: ``make bench``.

Each contestant runs in turn, round after round, so that what else the machine does hits all of them
alike. Medians, their spread (quartiles) and ratios to Optax's loss are printed as a table and
written as JSON and Markdown. The naive formula is the one that a user would write by hand; it
is timed only, for it is not finite on confident logits.

``make bench ARGS="--against REVISION"`` times the package of another git revision in the same run,
and adds the ratios of now to then.
"""

import argparse
import importlib
import io
import itertools
import json
import os
import platform
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
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
THEN = ", then"  # ends the name of a contestant from another revision
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


def package_of(revision: str, folder: Path) -> ModuleType:
    """The package of a git revision, imported under a name of its own."""
    archive = subprocess.run(
        ["git", "archive", revision, "rwwce_jax"],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        check=False,
    )
    if archive.returncode:
        sys.exit(f"--against {revision}: {archive.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    package = (folder / "rwwce_jax").rename(folder / "rwwce_jax_then")
    for path in package.rglob("*.py"):
        path.write_text(re.sub(r"\brwwce_jax\b", package.name, path.read_text()))
    sys.path.insert(0, str(folder))
    return importlib.import_module(package.name)


def contestants(
    rows: int, classes: int, rng: np.random.Generator, then: ModuleType | None
) -> dict[str, Contestant]:
    """The losses that are compared at this size, each of ours beside its former self."""
    labels = jnp.asarray(rng.integers(0, classes, rows), jnp.int32)
    truths = jnp.asarray(rng.integers(0, 2, (rows, classes)), jnp.float32)
    others = {
        (int(k), int(k + shift) % classes): 5.0
        for k in range(classes)
        for shift in rng.integers(1, classes, PAIRS)
    }
    dense = None
    if classes <= 4096:  # beyond, dense costs take gigabytes
        dense = jnp.asarray(rng.random((classes, classes)), jnp.float32)
        dense = jnp.where(jnp.eye(classes, dtype=bool), 0, dense)

    def ours(library: ModuleType) -> dict[str, Contestant]:
        costs = {"fp = 0": 0, "scalar fp": 2.0}
        costs["pair costs"] = library.pair_costs(others, classes)
        if dense is not None:
            costs["dense fp"] = dense
        found = {
            f"categorical, {name}": Contestant(
                lambda z, y, fp=fp: library.categorical(z, y, 1.0, fp), labels
            )
            for name, fp in costs.items()
        }
        found["binary"] = Contestant(
            lambda z, y: library.binary(z, y, 2000.0, 100.0), truths, "optax sigmoid"
        )
        return found

    found = {
        "optax softmax": Contestant(
            lambda z, y: optax.softmax_cross_entropy_with_integer_labels(z, y).mean(), labels
        ),
        "optax sigmoid": Contestant(
            lambda z, y: optax.sigmoid_binary_cross_entropy(z, y).mean(), truths, "optax sigmoid"
        ),
    }
    if dense is not None:
        found["naive formula, dense fp"] = Contestant(lambda z, y: naive(z, y, 1.0, dense), labels)
    formerly = ours(then) if then else {}
    for name, contestant in ours(rwwce).items():
        found[name] = contestant
        if then:
            found[name + THEN] = formerly[name]
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
        for of, kind in kinds.items()
        for name, contestant in losses.items()
    }


def measure(cases: dict[Case, Callable[[], Any]], rounds: int) -> dict[Case, np.ndarray]:
    """Seconds per call of each case in each round.

    The cases take turns, back and forth, and a call that is not timed goes before: in a fixed order
    and without that call, a package against itself came out at 1.3 to 2.2 in some cases.
    """

    def timed(call: Callable[[], Any], repeats: int) -> float:
        jax.block_until_ready(call())
        started = time.perf_counter()
        for _ in range(repeats):
            result = call()
        jax.block_until_ready(result)
        return (time.perf_counter() - started) / repeats

    repeats = {
        case: max(1, int(SECONDS / min(timed(call, 3) for _ in range(3))))
        for case, call in cases.items()
    }
    seconds = {case: np.empty(rounds) for case in cases}
    for turn in range(rounds):
        for case in list(cases)[:: 1 if turn % 2 else -1]:
            seconds[case][turn] = timed(cases[case], repeats[case])
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
    """Medians, quartiles and ratios; a contestant of another revision has no entry of its own.

    A ratio is the median of the ratios of single rounds. On two busy cores it varied half as much
    from run to run as the ratio of medians: what slows a round down slows down both.
    """
    results = []
    for case, times in seconds.items():
        if case.contestant.endswith(THEN):
            continue
        others = {
            "optax": losses[case.contestant].reference,
            "naive": "naive formula, dense fp",
            "then": case.contestant + THEN,
        }
        # The logits are read, and their gradient is written: what no loss can do without.
        traffic = case.rows * case.classes * jnp.dtype(case.dtype).itemsize
        traffic *= 1 if case.of == "forward" else 2
        median = float(np.median(times))
        results.append(
            case._asdict()
            | {
                "microseconds": median * 1e6,
                "quartiles": [float(q) * 1e6 for q in np.quantile(times, (0.25, 0.75))],
                "bytes_per_second": traffic / median,
            }
        )
        for against, name in others.items():
            other = seconds.get(case._replace(contestant=name))
            results[-1][f"ratio_to_{against}"] = (
                None if other is None else float(np.median(times / other))
            )
    return results


def table(results: list[dict[str, Any]], copied: float | None, then: str | None) -> str:
    """Markdown of the results of one size and dtype."""
    first = results[0]
    now = [f"/ {then}"] if then else []
    head = ["", "forward (us)", "quartiles", "/ Optax", *now]
    head += ["value+grad (us)", "quartiles", "/ Optax", *now, "/ naive"]
    head += ["of a copy's GB/s"] if copied else []
    lines = [
        f"\n**{first['rows']} x {first['classes']}, {first['dtype']}**\n",
        f"| {' | '.join(head)} |",
        "| --- |" + " ---: |" * (len(head) - 1),
    ]

    def written(ratio: float | None) -> str:
        return "" if ratio is None else f"{ratio:.2f}"

    half = len(results) // 2
    for forward, both in zip(results[:half], results[half:], strict=True):
        cells = [forward["contestant"]]
        for result in (forward, both):
            low, high = result["quartiles"]
            cells += [f"{result['microseconds']:,.1f}", f"{low:,.1f} to {high:,.1f}"]
            cells.append(written(result["ratio_to_optax"]))
            cells += [written(result["ratio_to_then"])] if then else []
        comparable = "dense" in cells[0] or "scalar" in cells[0]
        cells.append(written(both["ratio_to_naive"]) if comparable else "")
        if copied:
            cells.append(f"{both['bytes_per_second'] / copied:.0%}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


# What is asked of two CPU cores, value+grad in float32: size, contestant, ratio to, at most. The
# naive formula is always that of dense costs.
GOALS = (
    ((1024, 1000), "categorical, dense fp", "naive", 1.1),
    ((1024, 1000), "categorical, fp = 0", "optax", 1.1),
    ((1024, 1000), "categorical, pair costs", "optax", 1.4),
    ((64, 32768), "categorical, pair costs", "optax", 1.15),
    ((100, 10), "categorical, dense fp", "optax", 1.3),
    ((4096, 1000), "categorical, dense fp", "optax", 5.5),
    ((4096, 1000), "categorical, dense fp", "naive", 0.6),
    ((4096, 1000), "categorical, scalar fp", "optax", 5.5),
    ((4096, 1000), "categorical, scalar fp", "naive", 0.6),
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


def worst(results: list[dict[str, Any]], then: str) -> str:
    """The case that lost most since the other revision."""
    ours = [result for result in results if result["ratio_to_then"]]
    lost = max(ours, key=lambda result: result["ratio_to_then"])
    return (
        f"at worst {lost['ratio_to_then']:.2f} times {then}: {lost['contestant']}, "
        f"{lost['rows']} x {lost['classes']}, {lost['dtype']}, {lost['of']}"
    )


def main() -> None:
    """The command line."""
    names = [f"{rows}x{classes}" for rows, classes in SIZES]
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="turns of each (default: 50)")
    parser.add_argument("--size", choices=names, action="append", help="may be repeated")
    parser.add_argument("--output", type=Path, default=Path("output"), metavar="DIR")
    parser.add_argument("--against", metavar="REVISION", help="a git revision to compare with")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        then = package_of(options.against, Path(folder)) if options.against else None
        compare(options, then)


def compare(options: argparse.Namespace, then: ModuleType | None) -> None:
    """Times, prints and writes."""
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
        losses = contestants(rows, classes, rng, then)
        for dtype in DTYPES:
            cases = programs(rows, classes, dtype, losses, rng)
            results = results_of(measure(cases, options.rounds), losses)
            text.append(table(results, copied, options.against))
            tqdm.write(text[-1])
            everything += results
    lines = verdicts(everything) if on_cpu else []
    lines += [worst(everything, options.against)] if then else []
    text.append("\n" + "\n".join(f"- {line}" for line in lines))
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
