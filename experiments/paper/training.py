"""Networks of Keras's default kind, trained many at once.

Chunks of networks stand side by side (`vmap`) in one compiled scan over the batches of an epoch; a
thread for each core takes one chunk after the other. Losses of one arm share their batches.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from tqdm import tqdm

from experiments.paper.data import Examples, Images, stream

BATCH = 100
CHUNK = 5  # networks side by side on one core: with more, their weights leave its cache
BLOCK = 500  # images that a network is evaluated on at once
OPTIMIZER = optax.adam(1e-3, eps=1e-7)  # Keras's defaults
FORGETTING = 0.01  # the share of each batch in `Batch.running`
THREADS = os.cpu_count() or 1

# Weights (outputs, inputs) and biases of each layer. That way round, with the examples of a batch
# along the last axis, XLA's matrix products take two thirds of the time on a CPU.
Layers = list[tuple[jax.Array, jax.Array]]


class Batch(NamedTuple):
    """What a loss is computed from."""

    logits: jax.Array  # (BATCH, outputs)
    classes: jax.Array  # (BATCH,): of the images
    where: jax.Array  # (BATCH,): False at padding
    task: Any  # what is known of the network's data set
    running: jax.Array  # (2,): from 0, what a loss keeps of the batches before, by its gradient


Loss = Callable[[Batch], jax.Array]


def mean(losses: jax.Array, where: jax.Array) -> jax.Array:
    """The mean of the losses that count, 0 if none does."""
    return jnp.sum(losses, where=where) / jnp.maximum(1, jnp.sum(where))


def train(
    images: Images,
    examples: Sequence[Examples],
    tasks: Any,
    losses: Sequence[Loss],
    widths: tuple[int, ...],
    epochs: int,
    seed: int,
    table: int,
    name: str = "",
) -> Layers:
    """Trains one network per data set and loss, with layers of those widths after the pixels.

    ``tasks`` are arrays with the data sets along axis 0. The initial weights and the order of the
    batches follow from the seed, the table and the data set's number: the losses share them.

    Returns:
        Weights and biases of the layers, with leading axes (data sets, losses).
    """
    images = jax.device_put(images)
    key = jax.random.fold_in(jax.random.key(seed), table)
    start = _start(key, len(examples), (images.pixels.shape[-1], *widths))
    weights = jax.tree.map(lambda x: np.stack([x] * len(losses), axis=1), start)
    running = np.zeros((len(examples), len(losses), 2), np.float32)
    state = jax.tree.map(np.asarray, (weights, running, jax.vmap(OPTIMIZER.init)(weights)))
    longest = max(len(each.rows) for each in examples)
    together = max(n for n in range(1, CHUNK + 1) if len(examples) % n == 0)
    chunks = [slice(n, n + together) for n in range(0, len(examples), together)]

    def epoch_of(chunk: slice, epoch: int) -> Any:
        numbers = range(len(examples))[chunk]
        orders = [stream(seed, table, n, epoch).permutation(len(examples[n].rows)) for n in numbers]
        return _batches([examples[n] for n in numbers], orders, longest)

    def part(tree: Any, chunk: slice) -> Any:
        return jax.tree.map(lambda array: array[chunk], tree)

    # Compiled here: the threads would each do it.
    first = part(state, chunks[0]), epoch_of(chunks[0], 0), part(tasks, chunks[0])
    advance = _advance.lower(images, *first, losses=tuple(losses)).compile()
    bar = tqdm(total=epochs * len(chunks), desc=name, leave=False, disable=None)

    def trained(chunk: slice) -> Layers:
        own = part(state, chunk)
        for epoch in range(epochs):
            own = advance(images, own, epoch_of(chunk, epoch), part(tasks, chunk))
            jax.block_until_ready(own)
            bar.update()
        return jax.tree.map(np.asarray, own[0])

    with bar, ThreadPoolExecutor(THREADS) as pool:
        return jax.tree.map(lambda *parts: np.concatenate(parts), *pool.map(trained, chunks))


@jax.jit
def logits(weights: Layers, images: Images, rows: jax.Array) -> jax.Array:
    """The networks' logits on their data set's rows: ``(data sets, losses, rows, outputs)``."""

    def of_block(network: Layers, block: jax.Array) -> jax.Array:
        return _apply_all(network, _shown(images, block))

    def of_network(network: tuple[Layers, jax.Array]) -> jax.Array:
        # Block by block: the images of a whole table, as floats, would take 5 GB.
        blocks = jnp.pad(network[1], (0, -rows.shape[1] % BLOCK)).reshape(-1, BLOCK)
        found = jnp.moveaxis(lax.map(partial(of_block, network[0]), blocks), 0, 1)
        return found.reshape(found.shape[0], -1, found.shape[-1])[:, : rows.shape[1]]

    return lax.map(of_network, (weights, rows))


def each(function: Callable[..., Any], *arguments: Any) -> Any:
    """Applies a function to every data set's arguments: arrays with the data sets along axis 0."""
    return jax.tree.map(np.asarray, _one_by_one(function)(*arguments))


@cache
def _one_by_one(function: Callable[..., Any]) -> Callable[..., Any]:
    return jax.jit(lambda *of_all: lax.map(lambda one: function(*one), of_all))


@partial(jax.jit, static_argnames=("networks", "sizes"))
def _start(key: jax.Array, networks: int, sizes: tuple[int, ...]) -> Layers:
    """Keras's default for each network: Glorot's uniform weights, and zero biases."""
    glorot = jax.nn.initializers.glorot_uniform()

    def start(number: jax.Array) -> Layers:
        keys = jax.random.split(jax.random.fold_in(key, number), len(sizes) - 1)
        return [
            (glorot(key, size).T, jnp.zeros(size[1]))
            for key, size in zip(keys, pairwise(sizes), strict=True)
        ]

    return jax.vmap(start)(jnp.arange(networks))


def _batches(examples: list[Examples], orders: list[np.ndarray], longest: int) -> Any:
    """The examples in those orders, in batches of which the last is incomplete, as in Keras.

    Returns:
        Rows, whether they count, and what else the examples have: ``(networks, batches, BATCH)``.
    """

    def padded(arrays: list[np.ndarray]) -> np.ndarray:
        whole = np.zeros((len(orders), -(-longest // BATCH) * BATCH), arrays[0].dtype)
        for row, array, order in zip(whole, arrays, orders, strict=True):
            row[: len(order)] = array[order]
        return whole.reshape(len(orders), -1, BATCH)

    rows, *synthetic = zip(*examples, strict=True)
    more = [padded(arrays) for arrays in synthetic if arrays[0] is not None]
    return padded(rows), padded([np.ones(len(each), bool) for each in rows]), *more


def _apply(weights: Layers, pixels: jax.Array) -> jax.Array:
    """Returns the logits, ``(examples, outputs)``, of pixels ``(examples, inputs)``."""
    (first, bias), *others = weights
    values = lax.dot_general(first, pixels, (((1,), (1,)), ((), ()))) + bias[:, None]
    for weight, bias in others:
        values = jnp.matmul(weight, jax.nn.relu(values)) + bias[:, None]
    return values.T


_apply_all = jax.vmap(_apply, in_axes=(0, None))  # the networks of all losses, on the same images


def _at(array: jax.Array, rows: jax.Array) -> jax.Array:
    return array.at[rows].get(mode="promise_in_bounds")


def _shown(images: Images, rows: jax.Array) -> jax.Array:
    return _at(images.pixels, rows).astype(jnp.float32) / 255


@partial(jax.jit, static_argnames="losses")
def _advance(images: Images, state: Any, batches: Any, tasks: Any, losses: tuple[Loss, ...]) -> Any:
    """Trains a chunk of networks on their next batches."""

    def step(task: Any, state: Any, batch: Any) -> Any:
        rows, where, *synthetic = batch
        shown, classes = _shown(images, rows), _at(images.classes, rows)
        if synthetic:
            partners, steps = synthetic
            shown += steps[:, None] * (_shown(images, partners) - shown)

        def objective(weights: Layers, running: jax.Array) -> jax.Array:
            # The losses' networks share no weight, so the gradient of the sum is that of each.
            of_losses = zip(losses, _apply_all(weights, shown), running, strict=True)
            return sum(
                loss(Batch(scores, classes, where, task, own)) for loss, scores, own in of_losses
            )

        weights, running, optimizer = state
        gradients, away = jax.grad(objective, argnums=(0, 1))(weights, running)
        updates, optimizer = OPTIMIZER.update(gradients, optimizer, weights)
        new = optax.apply_updates(weights, updates), running - FORGETTING * away, optimizer
        # Where a data set has fewer batches than the longest, Adam's momentum must not go on.
        return jax.tree.map(partial(jnp.where, where[0]), new, state), None

    def of_network(state: Any, batches: Any, task: Any) -> Any:
        return lax.scan(partial(step, task), state, batches)[0]

    return jax.vmap(of_network)(state, batches, tasks)
