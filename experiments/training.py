"""Networks trained many at once: how all experiments train.

The networks of a group see the same batches, and each group has its own. Chunks of groups stand
side by side (`vmap`) in one compiled scan over the batches of an epoch; a thread for each core
takes one chunk after the other.
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax


class Method(NamedTuple):
    """How a group is trained; the leaves of its weights have its networks along axis 0."""

    # Of weights, shared data, the group's own data, row numbers (batch,) and which of them count:
    # the sum over the networks, which share no weight, so that its gradient is that of each. What
    # equals another such function is not compiled again.
    objective: Callable[..., jax.Array]
    optimizer: optax.GradientTransformation  # its steps are multiplied by each network's rate
    # Of weights, shared data and the group's own: what is least in the epoch whose weights remain.
    held_out: Callable[..., jax.Array] | None = None
    patient: bool = True  # else a chunk ends with the first epoch in which no network gets better


class Trained(NamedTuple):
    """What comes of training: axes (groups, networks, ...)."""

    weights: Any
    losses: np.ndarray  # the least held-out losses, or infinite
    seconds: float  # of all processors, without the compilation


def train(method, shared, own, start, rates, order, *, epochs, batch, at_once):
    """Trains all networks of all groups, with initial weights ``(groups, networks, ...)``.

    ``order`` makes of group and epoch the numbers of the examples, as many in each epoch; the last
    batch may be incomplete, as in Keras. With more groups ``at_once``, their weights leave a core's
    cache.
    """
    groups = len(rates)
    steps = -(-max(len(order(group, 0)) for group in range(groups)) // batch)
    together = max(n for n in range(1, min(at_once, groups) + 1) if groups % n == 0)
    chunks = list(np.arange(groups).reshape(-1, together))
    shared = jax.device_put(shared)
    interrupted = threading.Event()

    def batches(chunk, epoch):
        orders = [order(group, epoch) for group in chunk.tolist()]
        both = padded(orders, steps * batch)
        return tuple(array.reshape(together, steps, batch) for array in both)

    def first(chunk):
        weights, *fixed = taken((start, own, np.float32(rates)), chunk)
        least = np.full((together, rates.shape[1]), np.inf, np.float32)
        state = weights, jax.vmap(method.optimizer.init)(weights), weights, least
        return jax.device_put((state, fixed))

    # Compiled here: the threads would each do it.
    advance = _epoch.lower(*first(chunks[0]), batches(chunks[0], 0), shared, method=method)
    advance = advance.compile()

    def trained(chunk):
        state, fixed = first(chunk)
        for epoch in range(epochs):
            if interrupted.is_set():
                break
            before = state[-1]
            state = jax.block_until_ready(advance(state, fixed, batches(chunk, epoch), shared))
            if not (method.patient or np.any(state[-1] < before)):
                break
        return jax.tree.map(np.asarray, state[2:])

    started = time.process_time()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            parts = list(pool.map(trained, chunks))
        except BaseException:  # Ctrl-C, say: the threads end with their epoch
            interrupted.set()
            raise
    weights, losses = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    return Trained(weights, losses, time.process_time() - started)


def taken(tree, index):
    """A part of each leaf."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def stacked(trees, axis=0):
    """Some trees in one, side by side along a new axis of each leaf."""
    return jax.tree.map(lambda *leaves: np.stack(leaves, axis), *trees)


def padded(rows, length=0, fill=0):
    """Rows of numbers in one array, filled up to the longest or to that length, and which count."""
    lengths = np.array([len(row) for row in rows])
    where = np.arange(length or lengths.max()) < lengths[:, None]
    numbers = np.concatenate(rows)
    whole = np.issubdtype(numbers.dtype, np.integer)
    array = np.full(where.shape, fill, np.int32 if whole else np.float32)
    array[where] = numbers
    return array, where


def _of_networks(array, like):
    """One number for each network, shaped to broadcast against a leaf of the weights."""
    return array.reshape(-1, *[1] * (like.ndim - 1))


@partial(jax.jit, static_argnames="method")
def _epoch(state, fixed, batches, shared, method):
    def step(own, rates, state, batch):
        weights, moments = state
        rows, where = batch
        slope = jax.grad(method.objective)(weights, shared, own, rows, where)
        updates, moments = method.optimizer.update(slope, moments, weights)
        new = jax.tree.map(lambda w, u: w + _of_networks(rates, u) * u, weights, updates)
        # Where a group has fewer batches than the longest, Adam's momentum must not go on.
        return jax.tree.map(partial(jnp.where, where[0]), (new, moments), state), None

    def of_group(state, fixed, batches):
        weights, moments, best, least = state
        (weights, moments), _ = lax.scan(partial(step, *fixed), (weights, moments), batches)
        if method.held_out is None:
            return weights, moments, weights, least
        losses = method.held_out(weights, shared, fixed[0])
        better = losses < least

        def kept(new, old):
            return jnp.where(_of_networks(better, new), new, old)

        best = jax.tree.map(kept, weights, best)
        return weights, moments, best, jnp.minimum(losses, least)

    return jax.vmap(of_group)(state, fixed, batches)
