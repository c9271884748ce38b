"""Networks of Keras's default kind on images; the losses of one arm share their batches."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from experiments import training
from experiments.paper.data import stream

BATCH = 100
AT_ONCE = 5  # data sets whose networks stand side by side on one core
BLOCK = 500  # images that a network is evaluated on at once
FORGETTING = 0.01  # the share of each batch in `Batch.running`
# Keras's defaults; what a loss keeps of its batches moves a part of the way at each.
OPTIMIZER = optax.partition(
    {"layers": optax.adam(1e-3, eps=1e-7), "running": optax.sgd(FORGETTING)},
    lambda weights: {name: name for name in weights},
)


class Batch(NamedTuple):
    logits: jax.Array  # (BATCH, outputs)
    classes: jax.Array  # (BATCH,): of the images
    where: jax.Array  # (BATCH,): False at padding
    task: Any  # what is known of the network's data set
    running: jax.Array  # (2,): from 0, what a loss keeps of the batches before, by its gradient


Loss = Callable[[Batch], jax.Array]


def mean(losses, where):
    """The mean of the losses that count, 0 if none does."""
    return jnp.sum(losses, where=where) / jnp.maximum(1, jnp.sum(where))


class _Objective(NamedTuple):
    losses: tuple[Loss, ...]

    def __call__(self, weights, images, own, rows, where):
        (rows_of, *synthetic), task = own
        pixels, classes = _shown(images, rows_of[rows]), images.classes[rows_of[rows]]
        if synthetic:
            partners, steps = (part[rows] for part in synthetic)
            pixels += steps[:, None] * (_shown(images, partners) - pixels)
        logits = _apply_all(weights["layers"], pixels)
        networks = zip(self.losses, logits, weights["running"], strict=True)
        return sum(loss(Batch(z, classes, where, task, kept)) for loss, z, kept in networks)


def train(images, examples, tasks, losses, widths, epochs, seed, table):
    """Trains one network per data set and loss; returns layers ``(data sets, losses, ...)``.

    Initial weights and the order of the batches follow from the seed, the table and the data set's
    number: the losses share them.
    """
    key = jax.random.fold_in(jax.random.key(seed), table)
    one = _start(key, len(examples), (images.pixels.shape[-1], *widths))
    layers = jax.tree.map(lambda x: np.stack([x] * len(losses), axis=1), one)
    running = np.zeros((len(examples), len(losses), 2), np.float32)
    parts = [part for part in zip(*examples, strict=True) if part[0] is not None]

    def order(number, epoch):
        return stream(seed, table, number, epoch).permutation(len(examples[number].rows))

    trained = training.train(
        training.Method(_Objective(tuple(losses)), OPTIMIZER),
        images,
        ([training.padded(part)[0] for part in parts], tasks),
        {"layers": layers, "running": running},
        np.ones((len(examples), len(losses))),
        order,
        epochs=epochs,
        batch=BATCH,
        at_once=AT_ONCE,
    )
    return trained.weights["layers"]


@jax.jit
def logits(weights, images, rows):
    def of_block(network, block):
        return _apply_all(network, _shown(images, block))

    def of_network(network):
        # Block by block: the images of a whole table, as floats, would take 5 GB.
        blocks = jnp.pad(network[1], (0, -rows.shape[1] % BLOCK)).reshape(-1, BLOCK)
        found = jnp.moveaxis(lax.map(partial(of_block, network[0]), blocks), 0, 1)
        return found.reshape(found.shape[0], -1, found.shape[-1])[:, : rows.shape[1]]

    return lax.map(of_network, (weights, rows))


@partial(jax.jit, static_argnames=("networks", "sizes"))
def _start(key, networks, sizes):
    """Keras's defaults, as ``(outputs, inputs)``: XLA's products take two thirds of the time."""
    glorot = jax.nn.initializers.glorot_uniform()

    def start(number):
        keys = jax.random.split(jax.random.fold_in(key, number), len(sizes) - 1)
        return [
            (glorot(key, size).T, jnp.zeros(size[1]))
            for key, size in zip(keys, pairwise(sizes), strict=True)
        ]

    return jax.vmap(start)(jnp.arange(networks))


def _apply(weights, pixels):
    (first, bias), *others = weights
    values = lax.dot_general(first, pixels, (((1,), (1,)), ((), ()))) + bias[:, None]
    for weight, bias in others:
        values = jnp.matmul(weight, jax.nn.relu(values)) + bias[:, None]
    return values.T


_apply_all = jax.vmap(_apply, in_axes=(0, None))  # the networks of all losses, on the same images


def _shown(images, rows):
    return images.pixels.at[rows].get(mode="promise_in_bounds").astype(jnp.float32) / 255
