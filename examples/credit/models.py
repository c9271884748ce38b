"""What is trained: a logistic model and a small network in JAX, and the peers."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import rwwce_jax as rwwce
from examples.credit.data import round_up

STRENGTHS = (1e-4, 1e-3, 1e-2)  # of the L2 penalty, to choose from
ITERATIONS, TOLERANCE = 100, 1e-3  # of L-BFGS
HIDDEN, EPOCHS, BATCH, LEARNING_RATE = 32, 10, 512, 3e-3  # of the network, and Adam


class Table(NamedTuple):
    """Customers as arrays; with ``rows`` padded, ``known`` tells them from the padding."""

    inputs: np.ndarray  # (rows, columns), float32
    labels: np.ndarray  # (rows,), 0 or 1
    fn: np.ndarray  # (rows,), float32
    fp: np.ndarray  # (rows,)
    known: np.ndarray  # (rows,), bool


def padded(inputs: Any, labels: np.ndarray, fn: np.ndarray, fp: np.ndarray) -> Table:
    """Returns a table whose shape is the same for all folds."""
    rows, columns = round_up(inputs.shape[0], BATCH), round_up(inputs.shape[1], 16)
    more = rows - len(labels)

    def longer(values: np.ndarray, dtype: Any) -> np.ndarray:
        return np.pad(np.asarray(values, dtype), (0, more))

    return Table(
        np.pad(np.asarray(inputs, np.float32), ((0, more), (0, columns - inputs.shape[1]))),
        longer(labels, np.int32),
        longer(fn, np.float32),
        longer(fp, np.float32),
        longer(np.ones(len(labels)), bool),
    )


class Network(nnx.Module):
    """One hidden layer."""

    def __init__(self, columns: int, rngs: nnx.Rngs) -> None:
        self.hidden = nnx.Linear(columns, HIDDEN, rngs=rngs)
        self.last = nnx.Linear(HIDDEN, 1, rngs=rngs)

    def __call__(self, inputs: jax.Array) -> jax.Array:
        return self.last(nnx.relu(self.hidden(inputs)))


class Logistic(nnx.Module):
    """A linear logit."""

    def __init__(self, columns: int, rngs: nnx.Rngs) -> None:
        self.last = nnx.Linear(columns, 1, kernel_init=nnx.initializers.zeros, rngs=rngs)

    def __call__(self, inputs: jax.Array) -> jax.Array:
        return self.last(inputs)


def _structure(kind: type[nnx.Module], columns: int) -> Any:
    return nnx.graphdef(nnx.eval_shape(lambda: kind(columns, nnx.Rngs(0))))


def _logits(kind: type[nnx.Module], weights: Any, inputs: jax.Array) -> jax.Array:
    return nnx.merge(_structure(kind, inputs.shape[-1]), weights)(inputs)[..., 0]


def _objective(kind: type[nnx.Module], weights: Any, table: Table, l2: jax.Array) -> jax.Array:
    logits = _logits(kind, weights, table.inputs)
    loss = rwwce.binary(logits, table.labels, table.fn, table.fp, where=table.known)
    kernels = [leaf for leaf in jax.tree.leaves(weights) if leaf.ndim == 2]
    return loss + l2 / 2 * sum(jnp.sum(kernel**2) for kernel in kernels)


def _by_lbfgs(table: Table, l2: jax.Array, key: jax.Array) -> Any:
    objective = partial(_objective, Logistic, table=table, l2=l2)
    weights = nnx.state(Logistic(table.inputs.shape[-1], nnx.Rngs(key)), nnx.Param)
    lbfgs = optax.lbfgs()
    slope = jax.value_and_grad(lambda w: objective(w))

    def step(carry: tuple) -> tuple:
        weights, state, _, count = carry
        value, gradient = slope(weights)
        updates, state = lbfgs.update(
            gradient, state, weights, value=value, grad=gradient, value_fn=lambda w: objective(w)
        )
        norm = optax.tree.norm(gradient)
        return optax.apply_updates(weights, updates), state, norm, count + 1

    def unfinished(carry: tuple) -> jax.Array:
        return (carry[2] > TOLERANCE) & (carry[3] < ITERATIONS)

    start = (weights, lbfgs.init(weights), jnp.float32(jnp.inf), jnp.int32(0))
    return jax.lax.while_loop(unfinished, step, start)[0]


def _by_adam(table: Table, l2: jax.Array, key: jax.Array) -> Any:
    first_key, order_key = jax.random.split(key)
    rows = len(table.labels)
    weights = nnx.state(Network(table.inputs.shape[-1], nnx.Rngs(first_key)), nnx.Param)
    adam = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, EPOCHS * (rows // BATCH)))

    def step(carry: tuple, batch: jax.Array) -> tuple:
        weights, state = carry
        some = Table(*(part[batch] for part in table))
        gradient = jax.grad(partial(_objective, Network))(weights, some, l2)
        updates, state = adam.update(gradient, state, weights)
        return (optax.apply_updates(weights, updates), state), None

    def epoch(carry: tuple, key: jax.Array) -> tuple:
        return jax.lax.scan(step, carry, jax.random.permutation(key, rows).reshape(-1, BATCH))

    keys = jax.random.split(order_key, EPOCHS)
    return jax.lax.scan(epoch, (weights, adam.init(weights)), keys)[0][0]


class Kind(NamedTuple):
    """A model, and how it is trained."""

    model: type[nnx.Module]
    train: Callable[[Table, jax.Array, jax.Array], Any]


KINDS = {"logistic model": Kind(Logistic, _by_lbfgs), "network": Kind(Network, _by_adam)}


@partial(jax.jit, static_argnames="kind")
def trained(kind: Kind, table: Table, l2: jax.Array, key: jax.Array) -> Any:
    """Trains many models at once.

    Args:
        kind: Of the models.
        table: The customers, with one more leading axis on ``fn`` and ``fp``, one for each model.
        l2: ``(models,)``.
        key: The same for all models: they differ in their costs and penalties only.
    """
    axes = Table(None, None, 0, 0, None)
    return jax.vmap(kind.train, in_axes=(axes, 0, None))(table, l2, key)


@partial(jax.jit, static_argnames="kind")
def logits(kind: Kind, weights: Any, inputs: jax.Array) -> jax.Array:
    """Returns the logits ``(models, rows)``."""
    return jax.vmap(partial(_logits, kind.model), in_axes=(0, None))(weights, inputs)


@jax.jit
def losses(scores: jax.Array, table: Table) -> jax.Array:
    """Returns each model's loss, ``(models,)``, with its own costs."""

    def loss(scores: jax.Array, fn: jax.Array, fp: jax.Array) -> jax.Array:
        return rwwce.binary(scores, table.labels, fn, fp, where=table.known)

    return jax.vmap(loss)(scores, table.fn, table.fp)
