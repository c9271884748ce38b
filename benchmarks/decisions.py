"""Times decisions, metrics and several labels on a million examples: ``make bench-decisions``.

Each stands beside what a user would write, or call, for the same; all run in turn, as in
``make bench``, called as they are and, where JAX can compile both, under ``jax.jit``.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn import metrics

import rwwce_jax as rwwce
from benchmarks.losses import machine, measure

EXAMPLES, CLASSES = 1_000_000, 10


class Pair(NamedTuple):
    """Our function and another, and the arguments of both."""

    ours: Callable[..., Any]
    other: Callable[..., Any]
    arguments: tuple[Any, ...]


def pairs(rng: np.random.Generator) -> dict[str, Pair]:
    """What is compared, by what it is and what it stands beside."""
    shape = (EXAMPLES, CLASSES)
    logits = jnp.asarray(rng.normal(size=shape), jnp.float32)
    sets = jnp.asarray(rng.integers(0, 2, shape), jnp.float32)
    fp = jnp.asarray(rng.random((CLASSES, CLASSES)), jnp.float32)
    probs = jax.nn.softmax(logits)
    ids, decided = (jnp.asarray(rng.integers(0, CLASSES, EXAMPLES)) for _ in range(2))

    def sigmoid_cross_entropy(logits, sets):
        return optax.sigmoid_binary_cross_entropy(logits, sets).mean()

    def multilabel(logits, sets):
        return rwwce.multilabel(logits, sets, 2.0, 1.0)

    confusion = (decided, ids)
    as_numpy = tuple(map(np.asarray, confusion))
    counted = metrics.confusion_matrix
    return {
        "decide / argmin of a product": Pair(
            lambda p: rwwce.decide(p, 1.0, fp), lambda p: jnp.argmin(p @ fp, axis=-1), (probs,)
        ),
        "expected_cost / a product": Pair(
            lambda p: rwwce.expected_cost(p, 1.0, fp), lambda p: p @ fp, (probs,)
        ),
        "confusion_matrix / scikit-learn's": Pair(
            lambda x, y: rwwce.confusion_matrix(x, y, CLASSES),
            lambda *_: counted(*as_numpy),
            confusion,
        ),
        "categorical_real_world_cost / scikit-learn's confusion_matrix": Pair(
            lambda x, y: rwwce.categorical_real_world_cost(x, y, 1.0, fp),
            lambda *_: counted(*as_numpy),
            confusion,
        ),
        "multilabel / Optax's sigmoid": Pair(multilabel, sigmoid_cross_entropy, (logits, sets)),
        "multilabel, value and gradient / Optax's sigmoid": Pair(
            jax.value_and_grad(multilabel),
            jax.value_and_grad(sigmoid_cross_entropy),
            (logits, sets),
        ),
        "binary_posterior / a sigmoid": Pair(
            lambda z: rwwce.binary_posterior(z, 5.0, 1.0), jax.nn.sigmoid, (logits,)
        ),
        "categorical_posterior of a tenth / a softmax": Pair(
            lambda z: rwwce.categorical_posterior(z, 1.0, fp),
            jax.nn.softmax,
            (logits[: EXAMPLES // 10],),
        ),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make bench-decisions", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="turns of each (default: 15)")
    parser.add_argument("--output", type=Path, default=Path("output"), metavar="DIR")
    options = parser.parse_args()
    text = [f"- {name}: {fact}" for name, fact in machine().items()]
    text += [f"- rounds: {options.rounds}, of {EXAMPLES:,} examples and {CLASSES} classes\n"]
    text += ["| ms, and times the other's time | as called | | under jit | |"]
    text += ["| --- | ---: | ---: | ---: | ---: |"]
    print("\n".join(text))
    for name, (ours, other, arguments) in pairs(np.random.default_rng(0)).items():
        cells = [name]
        for compiled in (lambda f: f, jax.jit):
            is_numpy = "scikit-learn" in name  # which JAX cannot compile
            calls = {
                "ours": partial(compiled(ours), *arguments),
                "other": partial(other if is_numpy else compiled(other), *arguments),
            }
            seconds = measure(calls, options.rounds)
            ratio = np.median(seconds["ours"] / seconds["other"])
            cells += [f"{np.median(seconds['ours']) * 1e3:.1f}", f"{ratio:.2f}"]
        text.append(f"| {' | '.join(cells)} |")
        print(text[-1], flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "decisions.md").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
