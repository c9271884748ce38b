"""Documents with several topics at once, where some false topics are dear beside some true ones.

Run with ``python -m examples.multilabel``. The documents are word counts that scikit-learn makes up
(``make_multilabel_classification``). Three ways to choose the topics are compared by what their
mistakes cost, on documents that no model was trained on, over several draws of everything:

- cross-entropy, each topic chosen where its probability exceeds 1/2;
- the same probabilities, with the set of least expected cost;
- the cost-weighted loss, each topic chosen where its logit exceeds 0.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from scipy import stats
from sklearn.datasets import make_multilabel_classification

import rwwce_jax as rwwce

TOPICS = ("accounts", "legal", "press", "staff", "travel")
WORDS = 30
HIDDEN = 32
TRAINING, TEST = 1000, 2000
LEARNING_RATE = 3e-3

# A topic that is missed costs 3, a false one 1: someone reads in vain. But "press" sends a document
# to journalists, which is dear if it is about staff or legal matters.
MISSED = 3.0
FALSE = 1.0
BESIDE = {("legal", "press"): 30.0, ("staff", "press"): 15.0, ("legal", "travel"): 5.0}
PAIRS = np.zeros((len(TOPICS), len(TOPICS)), np.float32)
for (_present, _predicted), _cost in BESIDE.items():
    PAIRS[TOPICS.index(_present), TOPICS.index(_predicted)] = _cost

WAYS = (
    "cross-entropy, p > 1/2",
    "cross-entropy, least expected cost",
    "cost-weighted loss, logit > 0",
)

Loss = Callable[[jax.Array, jax.Array], jax.Array]


class Documents(NamedTuple):
    """Word counts and topics; stacked along a leading axis, those of several draws."""

    words: jax.Array  # (..., documents, WORDS)
    topics: jax.Array  # (..., documents, topics): 1 where present


class Classifier(nnx.Module):
    """From word counts to one logit per topic."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        """Makes two layers with weights drawn from ``rngs``."""
        self.hidden = nnx.Linear(WORDS, HIDDEN, rngs=rngs)
        self.out = nnx.Linear(HIDDEN, len(TOPICS), rngs=rngs)

    def __call__(self, words: jax.Array) -> jax.Array:
        """Returns the logits ``(..., topics)`` of word counts ``(..., WORDS)``."""
        return self.out(nnx.relu(self.hidden(jnp.sqrt(words))))


def cross_entropy(logits: jax.Array, topics: jax.Array) -> jax.Array:
    """The plain loss, summed over the topics as the weighted one is."""
    return optax.sigmoid_binary_cross_entropy(logits, topics).sum(-1).mean()


def cost_weighted(logits: jax.Array, topics: jax.Array) -> jax.Array:
    """The loss that knows the costs."""
    return rwwce.multilabel(logits, topics, MISSED, FALSE, fp_pairs=PAIRS)


def draw(seed: int, runs: int) -> tuple[Documents, Documents]:
    """Makes up documents to train on and to test on, anew for each run."""
    words, topics = zip(
        *(
            make_multilabel_classification(
                TRAINING + TEST,
                n_features=WORDS,
                n_classes=len(TOPICS),
                n_labels=2,
                length=20,
                random_state=seed * 1000 + run,
            )
            for run in range(runs)
        ),
        strict=True,
    )
    everything = Documents(jnp.asarray(words, jnp.float32), jnp.asarray(topics, jnp.float32))
    training = Documents(*(part[:, :TRAINING] for part in everything))
    return training, Documents(*(part[:, TRAINING:] for part in everything))


@partial(jax.jit, static_argnames=("loss", "steps"))
def logits_after_training(
    key: jax.Array, training: Documents, test_words: jax.Array, loss: Loss, steps: int
) -> jax.Array:
    """Trains one classifier per run, on all its documents at each step, and tests them."""
    adam = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, steps))

    def one_run(key: jax.Array, training: Documents, test_words: jax.Array) -> jax.Array:
        structure, start = nnx.split(Classifier(nnx.Rngs(key)))

        def objective(weights: nnx.State) -> jax.Array:
            return loss(nnx.merge(structure, weights)(training.words), training.topics)

        def step(carry: tuple, _: None) -> tuple[tuple, None]:
            weights, moments = carry
            updates, moments = adam.update(jax.grad(objective)(weights), moments, weights)
            return (optax.apply_updates(weights, updates), moments), None

        (weights, _), _ = jax.lax.scan(step, (start, adam.init(start)), length=steps)
        return nnx.merge(structure, weights)(test_words)

    keys = jax.random.split(key, test_words.shape[0])
    return jax.vmap(one_run)(keys, training, test_words)


def costs(seed: int, runs: int, steps: int) -> np.ndarray:
    """Returns the Real World Costs ``(ways, runs)`` on the test documents."""
    training, test = draw(seed, runs)
    # The same initial weights for both losses.
    train = partial(logits_after_training, jax.random.key(seed), training, test.words, steps=steps)
    plain, weighted = train(loss=cross_entropy), train(loss=cost_weighted)
    probs = jax.nn.sigmoid(plain)
    cheapest = rwwce.multilabel_decide(probs, MISSED, FALSE, fp_pairs=PAIRS)
    by_run = jax.vmap(
        lambda chosen, topics: rwwce.multilabel_real_world_cost(
            chosen, topics, MISSED, FALSE, fp_pairs=PAIRS
        )
    )
    return np.array([by_run(chosen, test.topics) for chosen in (plain > 0, cheapest, weighted > 0)])


def table(measured: np.ndarray) -> str:
    """Returns the costs as a Markdown table: means over the runs, and their standard deviations."""
    wins = measured.argmin(axis=0)
    width = max(map(len, WAYS))
    lines = [
        f"| {'trained with, topics chosen by':{width}} | Real World Cost | cheapest in |",
        f"| {'-' * width} | --------------- | ----------- |",
    ]
    for way, (name, row) in enumerate(zip(WAYS, measured, strict=True)):
        cost = f"{row.mean():.3f}" + (f" ± {row.std(ddof=1):.3f}" if row.size > 1 else "")
        share = f"{np.sum(wins == way)} of {row.size}"
        lines.append(f"| {name:{width}} | {cost:>15} | {share:>11} |")
    return "\n".join(lines)


def verdict(measured: np.ndarray) -> str:
    """Says whether costs in the loss or in the decision saved more, and if it may be chance."""
    difference = measured[1] - measured[2]
    better = "loss" if difference.mean() > 0 else "decision"
    other = "decision" if better == "loss" else "loss"
    saved = abs(difference.mean()) / max(measured[1].mean(), measured[2].mean())
    p = stats.ttest_rel(measured[1], measured[2]).pvalue if difference.size > 1 else np.nan
    chance = f"paired t-test p = {p:.2g}" if np.isfinite(p) else "one run"
    if not p < 0.05:
        chance += ": may be chance"
    return f"Costs in the {better} beat costs in the {other} by {saved:.1%} ({chance})."


def main(arguments: list[str] | None = None) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m examples.multilabel", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seed", type=int, default=0, help="of all randomness (default: 0)")
    parser.add_argument("--runs", type=int, default=10, help="draws of everything (default: 10)")
    parser.add_argument("--steps", type=int, default=300, help="of Adam (default: 300)")
    chosen = parser.parse_args(arguments)
    measured = costs(chosen.seed, chosen.runs, chosen.steps)
    print(table(measured))
    print()
    print(verdict(measured))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
