"""The losses that are timed against each other, also those of another git revision."""

import importlib
import io
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import rwwce_jax as rwwce

PAIRS = 8  # of each class
NAIVE, DENSE = "naive formula, dense fp", "categorical, dense fp"
THEN = ", then"  # ends the name of a contestant from another revision


class Contestant(NamedTuple):
    """A loss of logits and labels, the labels, and the contestant to compare its time with.

    The costs are constants of the program, as they are in a training step.
    """

    loss: Callable[[jax.Array, jax.Array], jax.Array]
    labels: jax.Array
    reference: str = "optax softmax"


def naive(logits, labels, fn, fp):
    """The formula of the paper as written, numerically unstable."""
    p = jax.nn.softmax(logits.astype(jnp.float32))
    p_label = jnp.take_along_axis(p, labels[:, None], axis=-1)[:, 0]
    return -jnp.mean(fn * jnp.log(p_label) + jnp.sum(fp[labels] * jnp.log(1 - p), axis=-1))


def package_of(revision: str, folder: Path) -> ModuleType:
    """The package of a git revision, imported under its own name."""
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
    # Not in quotes: there it is the installed distribution, which is asked for its version.
    for path in package.rglob("*.py"):
        path.write_text(re.sub(r"(?<!\")\brwwce_jax\b", package.name, path.read_text()))
    sys.path.insert(0, str(folder))
    return importlib.import_module(package.name)


def some_pairs(classes: int, rng: np.random.Generator) -> dict[tuple[int, int], float]:
    """A few costly mistakes of each class."""
    return {
        (int(k), int(k + shift) % classes): 5.0
        for k in range(classes)
        for shift in rng.integers(1, classes, PAIRS)
    }


def contestants(
    rows: int, classes: int, rng: np.random.Generator, then: ModuleType | None
) -> dict[str, Contestant]:
    """The losses that are compared at this size, each of ours beside its older version."""
    labels = jnp.asarray(rng.integers(0, classes, rows), jnp.int32)
    truths = jnp.asarray(rng.integers(0, 2, (rows, classes)), jnp.float32)
    soft = jnp.asarray(rng.dirichlet(np.ones(classes), rows), jnp.float32)
    candidates = jnp.asarray(rng.integers(0, classes, (rows, 4)), jnp.int32)
    others = some_pairs(classes, rng)
    dense = None
    if classes <= 4096:  # beyond, dense costs take gigabytes
        dense = jnp.asarray(rng.random((classes, classes)), jnp.float32)
        dense = jnp.where(jnp.eye(classes, dtype=bool), 0, dense)

    def ours(library: ModuleType) -> dict[str, Contestant]:
        costs = {"fp = 0": 0, "scalar fp": 2.0}
        costs["pair costs"] = library.pair_costs(others, classes)
        costs["4 candidates"] = library.ExampleCosts(5.0, classes=candidates)
        if dense is not None:
            costs["dense fp"] = dense
        found = {
            f"categorical, {name}": Contestant(
                lambda z, y, fp=fp: library.categorical(z, y, 1.0, fp), labels
            )
            for name, fp in costs.items()
        }
        for name in ("fp = 0", *(["dense fp"] if dense is not None else [])):
            found[f"categorical, soft labels, {name}"] = Contestant(
                lambda z, y, fp=costs[name]: library.categorical(z, y, 1.0, fp), soft, "optax soft"
            )
        found["binary"] = Contestant(
            lambda z, y: library.binary(z, y, 2000.0, 100.0), truths, "optax sigmoid"
        )
        return found

    found = {
        "optax softmax": Contestant(
            lambda z, y: optax.softmax_cross_entropy_with_integer_labels(z, y).mean(), labels
        ),
        "optax soft": Contestant(
            lambda z, y: optax.softmax_cross_entropy(z, y).mean(), soft, "optax soft"
        ),
        "optax sigmoid": Contestant(
            lambda z, y: optax.sigmoid_binary_cross_entropy(z, y).mean(), truths, "optax sigmoid"
        ),
    }
    if dense is not None:
        found[NAIVE] = Contestant(lambda z, y: naive(z, y, 1.0, dense), labels)
    formerly = ours(then) if then else {}
    for name, contestant in ours(rwwce).items():
        found[name] = contestant
        if then:
            found[name + THEN] = formerly[name]
    return found


# Losses of (hidden, kernel, labels) by name. The others are compared with the first.
Linear = dict[str, Callable[[jax.Array, jax.Array, jax.Array], jax.Array]]


def linear_contestants(classes: int, chunk_sizes: Iterable[int | None]) -> Linear:
    """The last layer with a loss: on stored logits, and fused, in chunks of these sizes."""

    def softmax(hidden, kernel, labels):
        logits = jnp.matmul(hidden, kernel, preferred_element_type=jnp.float32)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def stored(hidden, kernel, labels, fp):
        logits = jnp.matmul(hidden, kernel, preferred_element_type=jnp.float32)
        return rwwce.categorical(logits, labels, 1.0, fp)

    def fused(hidden, kernel, labels, fp, size):
        return rwwce.linear_categorical(hidden, kernel, labels, 1.0, fp, chunk_size=size)

    pairs = rwwce.pair_costs(some_pairs(classes, np.random.default_rng(0)), classes)
    found: Linear = {"optax softmax": softmax}
    for name, fp in {"fp = 0": 0, "scalar fp": 2.0, "pair costs": pairs}.items():
        found[f"categorical, {name}"] = partial(stored, fp=fp)
        for size in chunk_sizes:
            chunks = "" if size is None else f", chunk_size={size}"
            found[f"linear_categorical, {name}{chunks}"] = partial(fused, fp=fp, size=size)
    return found
