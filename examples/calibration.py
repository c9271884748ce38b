"""Probabilities to decide with: an overfitted network, before and after ``rwwce.fit_temperature``.

Run ``python -m examples.calibration``. A network is trained on 100 patients of scikit-learn's
breast cancer data, far too long; the temperature is fitted on 150 others, and the rest are decided,
at 20 for a missed cancer and 1 for a false alarm. All of it twenty times, each with another split.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

import rwwce_jax as rwwce
from rwwce_jax import plot

FN, FP = 20.0, 1.0
SPLITS, TRAINED, HELD_OUT = 20, 100, 150


def patients(seed):
    """The standardised features and the labels, 1 for cancer, of three sets of patients."""
    features, benign = load_breast_cancer(return_X_y=True)
    labels = 1 - benign
    train, rest = train_test_split(
        np.arange(len(labels)), train_size=TRAINED, stratify=labels, random_state=seed
    )
    held_out, test = train_test_split(
        rest, train_size=HELD_OUT, stratify=labels[rest], random_state=seed
    )
    mean, deviation = features[train].mean(0), features[train].std(0)
    scaled = np.float32((features - mean) / deviation)
    return [(scaled[part], labels[part]) for part in (train, held_out, test)]


def logits(weights, features):
    hidden = jax.nn.relu(features @ weights["inner"] + weights["bias"])
    return hidden @ weights["outer"]


def trained(features, labels, key):
    """A network of 64 hidden units, after 1,000 steps of plain cross-entropy."""
    inner, outer = jax.random.split(key)
    weights = {
        "inner": jax.random.normal(inner, (features.shape[1], 64)) / 4,
        "bias": jnp.zeros(64),
        "outer": jax.random.normal(outer, (64,)) / 8,
    }
    adam = optax.adam(1e-2)

    def loss(weights):
        return rwwce.binary(logits(weights, features), labels, fn=1.0, fp=1.0)

    def step(state, _):
        weights, moments = state
        updates, moments = adam.update(jax.grad(loss)(weights), moments)
        return (optax.apply_updates(weights, updates), moments), None

    (weights, _), _ = jax.lax.scan(step, (weights, adam.init(weights)), length=1000)
    return weights


@jax.jit
@jax.vmap
def fitted(train, held_out, test, key):
    """The temperature of a network, and its logits of the test patients."""
    weights = trained(*train, key)
    temperature = rwwce.fit_temperature(logits(weights, held_out[0]), held_out[1])
    return temperature, logits(weights, test[0])


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("output"), metavar="DIR")
    output = parser.parse_args(arguments).output

    train, held_out, test = (
        tuple(np.stack(arrays) for arrays in zip(*splits, strict=True))
        for splits in zip(*map(patients, range(SPLITS)), strict=True)
    )
    temperatures, scores = fitted(
        train, held_out, test, jax.random.split(jax.random.key(0), SPLITS)
    )
    truth, threshold = test[1], rwwce.bayes_threshold(FN, FP)
    ways = {
        "as trained": jax.nn.sigmoid(scores),
        "with its temperature": jax.nn.sigmoid(scores / temperatures[:, None]),
    }
    costs = jax.vmap(lambda decided, labels: rwwce.binary_real_world_cost(decided, labels, FN, FP))
    rows = {"as trained, at 0.5": costs(scores > 0, truth)}
    rows |= {f"{name}, at {threshold:.3f}": costs(p > threshold, truth) for name, p in ways.items()}
    print(f"Temperatures from {temperatures.min():.1f} to {temperatures.max():.1f}")
    print("| decided | cost per patient |")
    print("| --- | --- |")
    for name, each in rows.items():
        print(f"| {name} | {each.mean():.3f} ± {each.std(ddof=1):.3f} |")
    _, before, after = rows.values()
    print(f"The temperature makes {(after < before).sum()} of {SPLITS} splits cheaper.")

    figure = Figure(figsize=(12, 9), dpi=100, layout="constrained")
    for column, (name, probs) in zip(figure.subplots(2, 2).T, ways.items(), strict=True):
        probs, labels = probs.ravel(), truth.ravel()
        plot.reliability(probs, labels, fn=FN, fp=FP, ax=column[0])
        plot.cost_curve(probs, labels, FN, FP, ax=column[1])
        column[0].set_title(name)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "calibration.png")


if __name__ == "__main__":
    main()
