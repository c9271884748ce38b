"""Networks of Keras's default kind, all those of an arm trained at once.

The networks are independent, so they are spread over the devices, and stand side by side (`vmap`)
in one compiled scan over the batches. Arms that differ in the loss alone share their batches.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from tqdm import tqdm

from examples.paper.data import Examples, Images, Stack, stream

BATCH = 100
CALLS = 5  # of the compiled scan in an epoch: how often the bar moves, and Ctrl-C is heard
CHUNK = 5  # networks side by side on one CPU core: with more, their weights leave its cache
BLOCK = 500  # images that a network is evaluated on at once
OPTIMIZER = optax.adam(1e-3, eps=1e-7)  # Keras's defaults

# Logits, the images' classes, which of them count, and what the network's task says of costs.
Loss = Callable[[jax.Array, jax.Array, jax.Array, Any], jax.Array]
# Weights (outputs, inputs) and biases of each layer. That way round, with the examples of a batch
# along the last axis, XLA's matrix products take two thirds of the time on a CPU.
Layers = list[tuple[jax.Array, jax.Array]]


class _State(NamedTuple):
    """What training carries on: of all arms of one network, stacked."""

    weights: Layers
    optimizer: optax.OptState


class _Batches(NamedTuple):
    """Batches of one network; stacked along a leading axis, of many."""

    rows: Any  # (batches, BATCH)
    where: Any  # (batches, BATCH): False at the padding of the last batch and beyond
    partners: Any = None
    steps: Any = None


def mean(losses: jax.Array, where: jax.Array) -> jax.Array:
    """The mean of the losses that count, 0 if none does."""
    return jnp.sum(losses, where=where) / jnp.maximum(1, jnp.sum(where))


def train(
    images: Images,
    examples: Sequence[Examples],
    tasks: Any,
    losses: Sequence[Loss],
    *,
    widths: tuple[int, ...],
    epochs: int,
    seed: int,
    table: int,
    name: str,
    between: Callable[[], None],
) -> Layers:
    """Trains one network per data set and loss.

    The initial weights and the order of the batches follow from the seed, the table and the data
    set's number: the losses share them.

    Args:
        images: All images.
        examples: The training examples of each data set.
        tasks: What the losses know of each data set: arrays with the data sets along axis 0.
        losses: One for each arm.
        widths: Of the layers after the pixels.
        epochs: Passes over the examples.
        seed: Of all randomness.
        table: Its number, 1 or 2.
        name: What the progress bar is called.
        between: Called whenever the bar has moved; it may raise, to end the training.

    Returns:
        Weights and biases of the layers, with leading axes (data sets, arms).
    """
    place = _Placement(len(examples))
    images = place.copied(images)
    key = jax.random.fold_in(jax.random.key(seed), table)
    start = _start(key, len(examples), (images.pixels.shape[-1], *widths))
    weights = jax.tree.map(lambda x: np.stack([x] * len(losses), axis=1), start)
    optimizer = jax.tree.map(np.asarray, jax.vmap(OPTIMIZER.init)(weights))
    state = place.spread(_State(weights, optimizer))
    tasks = place.spread(tasks)
    advance = place.compile(
        _advancing(tuple(losses)),
        copied=1,
        together=CHUNK if place.on_cpu else place.per_device,
        donate_first=True,
    )
    with tqdm(total=epochs * CALLS, desc=name, bar_format=_BAR, leave=False) as bar:
        for epoch in range(epochs):
            bar.set_postfix_str(f"epoch {epoch + 1} of {epochs}")
            for batches in _epoch(examples, seed, table, epoch):
                state = advance(images, state, place.spread(batches), tasks)
                jax.block_until_ready(state)
                bar.update()
                between()
    return state.weights


_BAR = "{desc} {percentage:3.0f}%|{bar}| {postfix}, {elapsed} gone, {remaining} left"


def logits(weights: Layers, images: Images, chosen: Stack) -> np.ndarray:
    """Returns every arm's logits on its data set's rows: ``(data sets, arms, rows, outputs)``."""
    place = _Placement(len(chosen.rows))
    # Network by network: the images of a whole table's test sets would take 5 GB.
    predict = place.compile(_predict, copied=1, together=1)
    arguments = (place.copied(images), place.spread(weights), place.spread(chosen.rows))
    return np.asarray(predict(*arguments))


def each(function: Callable[..., Any], *arguments: Any) -> Any:
    """Applies a function to every data set's arguments: arrays with the data sets along axis 0.

    On one device: two CPU devices that solve linear equations at once wait for each other forever
    (jaxlib 0.10.2), which `categorical_posterior` would run into.
    """
    return jax.tree.map(np.asarray, _one_by_one(function)(*arguments))


@cache
def _one_by_one(function: Callable[..., Any]) -> Callable[..., Any]:
    return jax.jit(lambda *of_all: lax.map(lambda one: function(*one), of_all))


class _Placement:
    """Networks along axis 0, spread over as many devices as divide them evenly."""

    def __init__(self, networks: int) -> None:
        devices = jax.devices()
        count = _largest_divisor(networks, len(devices))
        self.mesh = Mesh(np.array(devices[:count]), ("networks",))
        self.per_device = networks // count
        self.on_cpu = devices[0].platform == "cpu"

    def spread(self, tree: Any) -> Any:
        return jax.device_put(tree, NamedSharding(self.mesh, P("networks")))

    def copied(self, tree: Any) -> Any:
        return jax.device_put(tree, NamedSharding(self.mesh, P()))

    def compile(
        self,
        function: Callable[..., Any],
        *,
        copied: int,
        together: int,
        donate_first: bool = False,
    ) -> Callable[..., Any]:
        """Compiles a function of one network for all of them.

        Args:
            function: The networks share its first ``copied`` arguments; the others are each one's.
            copied: How many.
            together: At most how many networks stand side by side on a device.
            donate_first: Whether the first of the others may be overwritten.
        """
        together = _largest_divisor(self.per_device, together)
        return _compiled(function, self.mesh, copied, together, donate_first)


@cache
def _compiled(
    function: Callable[..., Any], mesh: Mesh, copied: int, together: int, donate_first: bool
) -> Callable[..., Any]:
    def of_device(*arguments: Any) -> Any:
        shared, own = arguments[:copied], arguments[copied:]
        # vmap in chunks, or over all networks where one chunk holds them.
        return lax.map(lambda one: function(*shared, *one), own, batch_size=together)

    @partial(jax.jit, donate_argnums=copied if donate_first else ())
    def of_all(*arguments: Any) -> Any:
        own = len(arguments) - copied
        return jax.shard_map(
            of_device,
            mesh=mesh,
            in_specs=(P(),) * copied + (P("networks"),) * own,
            out_specs=P("networks"),
            check_vma=False,
        )(*arguments)

    return of_all


def _largest_divisor(number: int, limit: int) -> int:
    return max(count for count in range(1, min(number, limit) + 1) if number % count == 0)


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


def _apply(weights: Layers, pixels: jax.Array) -> jax.Array:
    """Returns the logits, ``(examples, outputs)``, of pixels ``(examples, inputs)``."""
    (first, bias), *others = weights
    values = lax.dot_general(first, pixels, (((1,), (1,)), ((), ()))) + bias[:, None]
    for weight, bias in others:
        values = jnp.matmul(weight, jax.nn.relu(values)) + bias[:, None]
    return values.T


_apply_all = jax.vmap(_apply, in_axes=(0, None))  # all arms, on the same images


def _predict(images: Images, weights: Layers, rows: jax.Array) -> jax.Array:
    # Block by block: the pixels of a whole split, as floats, would take 100 MB a network.
    blocks = jnp.pad(rows, (0, -len(rows) % BLOCK)).reshape(-1, BLOCK)
    of_blocks = lax.map(lambda block: _apply_all(weights, _shown(images, block)), blocks)
    arms_first = jnp.moveaxis(of_blocks, 0, 1)  # (arms, blocks, BLOCK, outputs)
    return arms_first.reshape(arms_first.shape[0], -1, arms_first.shape[-1])[:, : len(rows)]


def _shown(images: Images, rows: jax.Array) -> jax.Array:
    return _at(images.pixels, rows).astype(jnp.float32) / 255


def _at(array: jax.Array, rows: jax.Array) -> jax.Array:
    return array.at[rows].get(mode="promise_in_bounds")


@cache
def _advancing(losses: tuple[Loss, ...]) -> Callable[..., _State]:
    """One function for the same losses, for it to be compiled once."""
    return partial(_advance, losses=losses)


def _advance(
    images: Images,
    state: _State,
    batches: _Batches,
    task: Any,
    *,
    losses: tuple[Loss, ...],
) -> _State:
    """Trains all arms of one network on its next batches."""

    def step(state: _State, batch: _Batches) -> tuple[_State, None]:
        shown = _shown(images, batch.rows)
        if batch.partners is not None:
            shown += batch.steps[:, None] * (_shown(images, batch.partners) - shown)
        truth = _at(images.classes, batch.rows)

        def objective(weights: Layers) -> jax.Array:
            # The arms share no weight, so the gradient of the sum is that of each.
            scores = _apply_all(weights, shown)
            return sum(
                loss(score, truth, batch.where, task)
                for loss, score in zip(losses, scores, strict=True)
            )

        gradients = jax.grad(objective)(state.weights)
        updates, optimizer = OPTIMIZER.update(gradients, state.optimizer, state.weights)
        new = _State(optax.apply_updates(state.weights, updates), optimizer)
        # Where a data set has fewer batches than the longest, Adam's momentum must not go on.
        return jax.tree.map(partial(jnp.where, batch.where[0]), new, state), None

    return lax.scan(step, state, batches)[0]


def updates(examples: Sequence[Examples], epochs: int) -> list[int]:
    """How often each network's weights change."""
    return [epochs * -(-len(each.rows) // BATCH) for each in examples]


def _epoch(examples: Sequence[Examples], seed: int, table: int, epoch: int) -> Iterator[_Batches]:
    """All examples in a new order, in batches, the last of them incomplete as in Keras."""
    longest = max(len(each.rows) for each in examples)
    per_call = -(-longest // (BATCH * CALLS))
    shape = (len(examples), CALLS, per_call, BATCH)
    order = np.zeros((len(examples), CALLS * per_call * BATCH), np.int32)
    where = np.zeros(order.shape, bool)
    partners = None if examples[0].partners is None else np.zeros_like(order)
    steps = None if examples[0].steps is None else np.zeros(order.shape, np.float32)
    for number, (rows, *synthetic) in enumerate(examples):
        drawn = stream(seed, table, number, epoch).permutation(len(rows))
        order[number, : len(rows)] = rows[drawn]
        where[number, : len(rows)] = True
        if partners is not None and steps is not None:
            partners[number, : len(rows)] = synthetic[0][drawn]
            steps[number, : len(rows)] = synthetic[1][drawn]
    whole = _Batches(order, where, partners, steps)
    for call in range(CALLS):
        yield jax.tree.map(lambda array, call=call: array.reshape(shape)[:, call], whole)
