"""Reading cheques: the same network trained by cross-entropy and by what its mistakes cost.

Run ``python -m examples.mnist``. Reading a 4 as a 9 costs 20, every other mistake 1. A clerk, who
reads every cheque right, costs 0.05.
"""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from matplotlib.figure import Figure
from scipy import stats
from tqdm import tqdm

import rwwce_jax as rwwce
from examples import datasets
from rwwce_jax import plot

FN = 1.0
FP = rwwce.pair_costs({(4, 9): 19.0}, num_classes=10)
CLERK = 0.05  # decision 10, after the ten digits
BATCH, LEARNING_RATE, CHUNK = 100, 2e-3, 60  # a chunk is the batches of one compiled scan


def cross_entropy(logits, labels):
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def real_world(logits, labels):
    return rwwce.categorical(logits, labels, FN, FP)


def network(pixels, key):
    rngs = nnx.Rngs(key)
    return nnx.Sequential(
        nnx.Linear(pixels, 128, rngs=rngs),
        nnx.relu,
        nnx.Linear(128, 64, rngs=rngs),
        nnx.relu,
        nnx.Linear(64, 10, rngs=rngs),
    )


def train(loss, data, seed, runs, epochs):
    """Trains networks side by side; returns their logits ``(runs, test images, 10)``."""
    images, labels = jnp.asarray(data.train_images), jnp.asarray(data.train_labels)
    pixels, batches = images.shape[1], len(images) // BATCH
    structure = nnx.graphdef(network(pixels, 0))
    # To zero at the end: the last few batches would otherwise decide over a handful of mistakes.
    adam = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, epochs * batches))

    @jax.jit
    @jax.vmap
    def start(key):
        weights = nnx.state(network(pixels, key), nnx.Param)
        return weights, adam.init(weights)

    @jax.jit
    @jax.vmap
    def shuffled(key):
        order = jax.random.permutation(key, len(images))
        return order[: batches * BATCH].reshape(batches, BATCH)

    # The images are arguments: as constants they would be copied into the program.
    @partial(jax.jit, donate_argnums=0)
    def advance(state, chunk, images, labels):
        def step(state, batch):
            def objective(weights):
                return loss(nnx.merge(structure, weights)(images[batch]), labels[batch])

            weights, moments = state
            value, gradients = jax.value_and_grad(objective)(weights)
            updates, moments = adam.update(gradients, moments, weights)
            return (optax.apply_updates(weights, updates), moments), value

        return jax.vmap(partial(jax.lax.scan, step))(state, chunk)

    # Initial weights and batches follow from the seed, whatever the loss.
    weights_key, order_key = jax.random.split(jax.random.key(seed))
    state = start(jax.random.split(weights_key, runs))
    with tqdm(total=epochs * batches, desc=f"{loss.__name__:13}", unit="batch") as bar:
        for epoch in range(epochs):
            order = shuffled(jax.random.split(jax.random.fold_in(order_key, epoch), runs))
            for first in range(0, batches, CHUNK):
                chunk = order[:, first : first + CHUNK]
                state, losses = advance(state, chunk, images, labels)
                bar.set_postfix(loss=f"{losses.mean().item():.4f}", refresh=False)
                bar.update(chunk.shape[1])
    return jax.vmap(lambda weights: nnx.merge(structure, weights)(data.test_images))(state[0])


def evaluate(plain, weighted, labels):
    """Returns each way's confusion matrices, ``(networks, 10, 11)``, from the logits."""
    probs = jax.nn.softmax(plain)
    posterior = rwwce.categorical_posterior(weighted, FN, FP)  # the costs taken out again
    ways = {
        ("cross-entropy", "highest probability"): plain.argmax(-1),
        ("cross-entropy", "least expected cost"): rwwce.decide(probs, FN, FP),
        ("RWWCE", "highest probability"): weighted.argmax(-1),
        ("RWWCE", "posterior, least cost"): rwwce.decide(posterior, FN, FP),
    }
    runs = len(plain)
    for members in sorted({runs // 2, runs} - {0, 1}):
        groups = jnp.stack(jnp.split(probs[: runs // members * members], runs // members))
        averaged = rwwce.decide(groups.mean(1), FN, FP)
        ways[f"cross-entropy, {members} averaged", "least expected cost"] = averaged
    if runs > 1:
        decided = rwwce.decide(probs.mean(0, keepdims=True), FN, FP, actions=CLERK)
        way = f"least cost, {np.mean(decided == 10):.1%} by the clerk"
        ways[f"cross-entropy, {runs} averaged", way] = decided
    confusion = jax.vmap(lambda decided: rwwce.confusion_matrix(decided, labels, 10, num_actions=1))
    return {way: np.asarray(confusion(decided)) for way, decided in ways.items()}


def referring(probs, labels):
    """Returns, for clerks of all prices, which share they read, and what each cheque then costs.

    The cost is that of mistakes alone, and that of mistakes and a clerk who costs ``CLERK``. The
    last entry is of that clerk's own price.
    """

    @jax.jit
    def at(price):
        decided = rwwce.decide(probs, FN, FP, actions=price)
        costs = [
            rwwce.categorical_real_world_cost(decided, labels, FN, FP, actions=clerk)
            for clerk in (0.0, CLERK)
        ]
        return jnp.mean(decided == 10), *costs

    prices = [*np.geomspace(1.0, 1e-4, 121), CLERK]
    return np.array([at(price) for price in prices]).T


def costs(confusions):
    """Returns the Real World Cost of each network."""
    return np.array(
        [rwwce.real_world_cost_from_confusion(each, FN, FP, actions=CLERK) for each in confusions]
    )


def table(ways):
    def spread(values, form, unit=""):
        deviation = f" ± {values.std(ddof=1):{form}}" if len(values) > 2 else ""
        return f"{values.mean():{form}}{deviation}{unit}"

    rows = [("trained with", "decided by", "accuracy", "4 read as 9", "Real World Cost")]
    for way, confusions in ways.items():
        read = confusions[:, :, :10]  # by the network
        accuracy = 100 * np.trace(read, axis1=1, axis2=2) / np.maximum(read.sum((1, 2)), 1)
        costly = spread(confusions[:, 4, 9], ".1f")
        rows.append((*way, spread(accuracy, ".2f", " %"), costly, spread(costs(confusions), ".4f")))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(map(str.ljust, row, widths))} |" for row in rows)


def verdict(ways):
    means = {", ".join(way): costs(confusions).mean() for way, confusions in ways.items()}
    cheapest, first = min(means, key=means.get), next(iter(means.values()))
    return f"Cheapest: {cheapest}, at {means[cheapest] / first:.0%} of the first row's cost."


def difference(ways):
    """Says how far what RWWCE saves could be from what it saved, from pairs of networks."""
    plain, weighted = (
        costs(ways[name, "highest probability"]) for name in ("cross-entropy", "RWWCE")
    )
    if len(plain) < 3:
        return "Too few runs to tell whether RWWCE, by highest probability, costs less by chance."
    low, high = stats.ttest_rel(weighted, plain).confidence_interval(0.95)
    return (
        f"RWWCE less cross-entropy, both by highest probability: {(weighted - plain).mean():+.4f}, "
        f"95 % interval {low:+.4f} to {high:+.4f} ({len(plain)} pairs of networks)."
    )


def draw(ways, title):
    """Draws both confusion matrices in money, by highest probability, and the cost of each way."""
    figure = Figure(figsize=(15, 5.6), layout="compressed", dpi=130)
    figure.suptitle(title, x=0.01, ha="left")
    *squares, bars = figure.subplots(1, 3, width_ratios=[1, 1, 0.8])
    for axis, name in zip(squares, ("cross-entropy", "RWWCE"), strict=True):
        counts = ways[name, "highest probability"].mean(0)[:, :10]
        plot.confusion_in_money(counts, FN, FP, ax=axis)
        axis.set_title(f"{name}, highest probability\n{axis.get_title(loc='left')}", loc="left")
    norms = [axis.images[0].norm for axis in squares]
    for norm in norms:  # one scale of colours
        norm.vmax = max(other.vmax for other in norms)
    for way, confusions in reversed(ways.items()):
        each = costs(confusions)
        name = f"{way[0]},\n{way[1]}: {each.mean():.4f}"
        bars.barh(name, each.mean(), color="lightgrey")
        bars.plot(each, [name] * len(each), "o", color="#333333", markersize=3)
    bars.set_title("Real World Cost: mean and runs", loc="left")
    return figure


def draw_referring(shares, mistakes, totals):
    """Draws what each cheque costs against the share that the clerk reads."""
    figure = Figure(figsize=(6, 4), layout="compressed", dpi=130)
    axis = figure.subplots()
    axis.plot(100 * shares[:-1], totals[:-1], label=f"mistakes, and the clerk at {CLERK}")
    axis.plot(100 * shares[:-1], mistakes[:-1], "--", label="mistakes alone")
    least = f"decided by least cost: {shares[-1]:.1%}, {totals[-1]:.4f}"
    axis.plot(100 * shares[-1], totals[-1], "o", color="#333333", label=least)
    axis.set(xlim=(0, 20), ylim=(0, 1.2 * totals[0]))
    axis.set(xlabel="share that the clerk reads (%)", ylabel="cost of a cheque")
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def number(text, least=0):
    if text.isdecimal() and least <= int(text) < 2**32:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be from {least} to 2**32 - 1, got {text!r}.")


def main(arguments=None):
    parser = argparse.ArgumentParser("python -m examples.mnist", description=__doc__)
    add, count = parser.add_argument, partial(number, least=1)
    add("--data", choices=["auto", "mnist", "digits"], default="auto", help="(default: auto)")
    add("--epochs", type=count, help="passes over the images (default: 6, on the digits 40)")
    add("--runs", type=count, default=10, help="networks of each kind (default: 10)")
    add("--seed", type=number, default=0, help="of weights and batches (default: 0)")
    add("--output", type=Path, default=Path("output"), help="the picture's folder", metavar="DIR")
    options = parser.parse_args(arguments)
    try:  # before the training, not after it
        options.output.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=options.output).close()
    except OSError as error:
        parser.error(f"argument --output: cannot write to {options.output}: {error.strerror}.")
    try:
        data = datasets.mnist(options.data)
    except datasets.UnavailableError as error:
        sys.exit(str(error))
    epochs = options.epochs or (6 if data.name == "MNIST" else 40)
    settings = data, options.seed, options.runs, epochs
    plain, weighted = (train(loss, *settings) for loss in (cross_entropy, real_world))
    ways = evaluate(plain, weighted, data.test_labels)
    title = f"Reading a 4 as a 9 costs 20, every other mistake 1, a clerk {CLERK} ({data.name},"
    title += f" {len(data.test_labels):,} test images, epochs: {epochs}, runs: {options.runs})"
    text = f"{title}\n\n{table(ways)}\n\n{verdict(ways)}\n{difference(ways)}\n"
    print(f"\n{text}")
    (options.output / "mnist.md").write_text(text, encoding="utf-8")
    draw(ways, title).savefig(options.output / "mnist.png")
    found = referring(jax.nn.softmax(plain).mean(0), data.test_labels)
    draw_referring(*found).savefig(options.output / "cheques.png")
    print(f"Written: {options.output}/mnist.md and its pictures, mnist.png and cheques.png")


if __name__ == "__main__":
    main()
