"""Documents with several topics at once, where some false topics are costly beside some true ones.

Run ``python -m examples.multilabel``. The documents are word counts that scikit-learn makes up
(``make_multilabel_classification``). Three ways to choose the topics are compared by what their
mistakes cost, on documents that no model was trained on, over several draws of everything.
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from scipy import stats
from sklearn.datasets import make_multilabel_classification

import rwwce_jax as rwwce

# A topic that is missed costs 3, a false one 1: someone reads in vain. But "press" sends a document
# to journalists, which is costly if it is about staff or legal matters.
TOPICS = ("accounts", "legal", "press", "staff", "travel")
MISSED, FALSE = 3.0, 1.0
PAIRS = np.zeros((5, 5), np.float32)  # rows are topics that are present
PAIRS[TOPICS.index("legal"), TOPICS.index("press")] = 30.0
PAIRS[TOPICS.index("staff"), TOPICS.index("press")] = 15.0
PAIRS[TOPICS.index("legal"), TOPICS.index("travel")] = 5.0

WORDS, HIDDEN, LEARNING_RATE = 30, 32, 3e-3
TRAINING, TEST = 1000, 2000
WAYS = (
    "cross-entropy, p > 1/2",
    "cross-entropy, least expected cost",
    "cost-weighted loss, logit > 0",
)


def cross_entropy(logits, topics):
    return optax.sigmoid_binary_cross_entropy(logits, topics).sum(-1).mean()


def cost_weighted(logits, topics):
    return rwwce.multilabel(logits, topics, MISSED, FALSE, fp_pairs=PAIRS)


def classifier(key):
    """A network from the square roots of word counts to one logit per topic."""
    rngs = nnx.Rngs(key)
    return nnx.Sequential(
        jnp.sqrt,
        nnx.Linear(WORDS, HIDDEN, rngs=rngs),
        nnx.relu,
        nnx.Linear(HIDDEN, len(TOPICS), rngs=rngs),
    )


def documents(seed):
    """Makes up word counts ``(documents, WORDS)`` and which topics are present."""
    words, topics = make_multilabel_classification(
        TRAINING + TEST,
        n_features=WORDS,
        n_classes=len(TOPICS),
        n_labels=2,
        length=20,
        random_state=seed,
    )
    return np.float32(words), np.float32(topics)


@partial(jax.jit, static_argnames=("loss", "steps"))
def train(key, words, topics, test_words, loss, steps):
    """Trains a classifier per draw, on all its documents at each step; returns its test logits."""
    adam = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, steps))

    def one(key, words, topics, test_words):
        structure, start = nnx.split(classifier(key))

        def objective(weights):
            return loss(nnx.merge(structure, weights)(words), topics)

        def step(carry, _):
            weights, moments = carry
            updates, moments = adam.update(jax.grad(objective)(weights), moments, weights)
            return (optax.apply_updates(weights, updates), moments), None

        (weights, _), _ = jax.lax.scan(step, (start, adam.init(start)), length=steps)
        return nnx.merge(structure, weights)(test_words)

    return jax.vmap(one)(jax.random.split(key, len(words)), words, topics, test_words)


def main(arguments=None):
    parser = argparse.ArgumentParser("python -m examples.multilabel", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of all randomness (default: 0)")
    parser.add_argument("--runs", type=int, default=10, help="draws of everything (default: 10)")
    parser.add_argument("--steps", type=int, default=300, help="of Adam (default: 300)")
    options = parser.parse_args(arguments)
    if options.seed < 0 or min(options.runs, options.steps) < 1:
        parser.error("--seed must be 0 or more, --runs and --steps 1 or more.")

    draws = [documents(options.seed * 1000 + run) for run in range(options.runs)]
    words, topics = map(np.stack, zip(*draws, strict=True))
    training, test = words[:, :TRAINING], words[:, TRAINING:]
    truth = topics[:, TRAINING:]
    # The same initial weights for both losses.
    key = jax.random.key(options.seed)
    plain, weighted = (
        train(key, training, topics[:, :TRAINING], test, loss, options.steps)
        for loss in (cross_entropy, cost_weighted)
    )
    cheapest = rwwce.multilabel_decide(jax.nn.sigmoid(plain), MISSED, FALSE, fp_pairs=PAIRS)
    cost = jax.vmap(
        lambda chosen, topics: rwwce.multilabel_real_world_cost(
            chosen, topics, MISSED, FALSE, fp_pairs=PAIRS
        )
    )
    costs = np.array([cost(chosen, truth) for chosen in (plain > 0, cheapest, weighted > 0)])

    print(f"| {'trained with, topics chosen by':34} | Real World Cost | cheapest in |")
    print(f"| {'-' * 34} | --------------- | ----------- |")
    wins = np.bincount(costs.argmin(0), minlength=3)
    for name, row, won in zip(WAYS, costs, wins, strict=True):
        spread = f"{row.mean():.3f}" + (f" ± {row.std(ddof=1):.3f}" if row.size > 1 else "")
        print(f"| {name:34} | {spread:>15} | {f'{won} of {row.size}':>11} |")

    _, decision, loss = costs
    best, other = ("loss", "decision") if loss.mean() < decision.mean() else ("decision", "loss")
    saved = abs(loss.mean() - decision.mean()) / max(loss.mean(), decision.mean())
    p = stats.ttest_rel(decision, loss).pvalue if options.runs > 1 else np.nan
    doubt = f"paired t-test p = {p:.2g}" if p < 1 else "one run"
    doubt += "" if p < 0.05 else ": may be chance"
    print(f"\nCosts in the {best} beat costs in the {other} by {saved:.1%} ({doubt}).")


if __name__ == "__main__":
    main()
