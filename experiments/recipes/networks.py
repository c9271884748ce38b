"""Linear models and networks, trained side by side: only their costs and settings differ."""

from itertools import pairwise, product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.special import logsumexp

import rwwce_jax as rwwce
from experiments import training
from experiments.recipes.tasks import Table
from experiments.training import stacked, taken

MODELS = {"small": 16, "large": 128}  # hidden units
MEMBERS = 5  # networks that are averaged, of each loss
ADAPTERS, ADAPTED = 8, 3  # of a network of TabM; and how many such networks are trained
LEARNING_RATES, PENALTIES = (1e-2, 5e-2), (1e-4, 1e-3, 1e-2)  # the grid: Adam's, and L2
GRID = np.array(list(product(LEARNING_RATES, PENALTIES)), np.float32)
BATCH = 50
AT_ONCE = 750_000  # weights that are trained side by side: what a core's cache holds


def plain(rng, *widths):
    return [(_kernel(rng, n, m), np.zeros(m, np.float32)) for n, m in pairwise(widths)]


def adapted(rng, columns, hidden, outputs):
    """TabM (Gorishniy et al., 2024): members have their own signs, biases and output layer."""
    signs = rng.choice(np.float32([-1, 1]), (ADAPTERS, hidden))
    last = np.stack([_kernel(rng, hidden, outputs) for _ in range(ADAPTERS)])
    biases = (np.zeros((ADAPTERS, width), np.float32) for width in (hidden, outputs))
    return {"shared": _kernel(rng, columns, hidden), "members": (signs, last, *biases)}


def _kernel(rng, rows, columns):
    return rng.standard_normal((rows, columns), np.float32) / np.float32(rows**0.5)


def network(weights, inputs):
    """The logits ``(members, examples, outputs)``; a plain network is its one member."""
    if isinstance(weights, dict):
        signs, last, first_bias, bias = weights["members"]
        once = inputs @ weights["shared"]
        hidden = jax.nn.relu(once * signs[:, None] + first_bias[:, None])
        return hidden @ last + bias[:, None]
    *layers, (kernel, bias) = weights
    for layer in layers:
        inputs = jax.nn.relu(inputs @ layer[0] + layer[1])
    return (inputs @ kernel + bias)[None]


def averaged(logits):
    """The logits of the mean of the members' probabilities; members are along axis 0."""
    if logits.shape[-1] == 1:
        return logsumexp(jax.nn.log_sigmoid(logits), 0) - logsumexp(jax.nn.log_sigmoid(-logits), 0)
    return logsumexp(jax.nn.log_softmax(logits), 0) - np.log(len(logits))


class Own(NamedTuple):  # of one split, with costs (networks, ...)
    train: Table
    held_out: Table
    l2: np.ndarray  # (networks,)


def _loss(logits, labels, fn, fp):
    if logits.shape[-1] == 1:
        return rwwce.binary(logits[..., 0], labels, fn, fp)
    return rwwce.categorical(logits, labels, fn, fp)


def _objective(weights, _, own, rows, where):
    inputs, labels, *costs = own.train
    inputs, labels = inputs[rows], labels[rows]
    if own.train.fp.ndim == 2:  # by example
        costs = (cost[:, rows] for cost in costs)

    def one(weights, fn, fp, l2):
        losses = jax.vmap(lambda logits: _loss(logits, labels, fn, fp))(network(weights, inputs))
        kernels = (leaf for leaf in jax.tree.leaves(weights) if leaf.ndim > 1)
        if isinstance(weights, dict):  # a member's output layer weighs as much as its loss
            kernels = (weights["shared"], weights["members"][1] / ADAPTERS**0.5)
        return losses.mean() + l2 / 2 * sum(jnp.sum(kernel**2) for kernel in kernels)

    return jax.vmap(one)(weights, *costs, own.l2).sum()


def _held_out(weights, _, own):
    inputs, labels, *costs = own.held_out

    def one(weights, fn, fp):
        return _loss(averaged(network(weights, inputs)), labels, fn, fp)

    return jax.vmap(one)(weights, *costs)


def cross_entropy(splits, table):
    """Costs for a table of the splits: fn = 1 and fp = 0, or 1 where there is one logit."""
    return np.ones_like(table.fn), np.full_like(table.fp, table.fp.ndim == 2)


def real_world(splits, table):
    """The costs of mistakes, divided by what one costs on average in training.

    One number does not change where the loss is least: the same penalties then fit all tasks.
    """
    _, labels, fn, fp = splits.train
    if fp.ndim == 2:
        scale = np.where(labels == 1, fn, fp).mean(-1)
    else:
        others = fp.shape[-1] - 1
        of_class = (fn[..., None] * (1 - np.eye(1 + others, dtype=fp.dtype)) + fp).sum(-1) / others
        scale = np.take_along_axis(of_class, labels, 1).mean(-1)
    return tuple((cost.T / scale).T for cost in (table.fn, table.fp))


class Logits(NamedTuple):  # (S, arms, members, examples, outputs)
    held_out: np.ndarray
    test: np.ndarray


def trained(splits, hidden, losses, seed, start, members):
    """The members of each loss, and of each loss the two best networks of the grid.

    The first member tries the grid: the others have the setting of its least held-out loss.
    """
    count, arms = len(splits.test.labels), len(losses)
    tried = np.broadcast_to(np.tile(GRID, (arms, 1)), (count, arms * len(GRID), 2))
    every = [loss for loss in losses for _ in GRID]
    first = np.stack([np.arange(count), np.zeros(count, int)], 1)
    found = fit(splits, hidden, every, tried, first, seed, start)
    order = found.losses.reshape(count, arms, len(GRID)).argsort(-1)[..., :2]
    picked = (np.arange(arms)[:, None] * len(GRID) + order).reshape(count, -1)
    best = _logits(splits, found.weights, first, picked)
    best = Logits(*(part.reshape(count, arms, 2, *part.shape[2:]) for part in best))
    others = np.array(list(product(range(count), range(1, members))))
    found = fit(splits, hidden, losses, GRID[order[..., 0]], others, seed, start)
    more = _logits(splits, found.weights, others, np.tile(np.arange(arms), (len(others), 1)))

    def joined(one, rest):
        rest = rest.reshape(count, members - 1, *rest.shape[1:]).swapaxes(1, 2)
        return np.concatenate([one[:, :, :1], rest], axis=2)

    return Logits(*map(joined, best, more)), best


def fit(splits, hidden, losses, settings, members, seed, start):
    """Trains each (split, member) by all losses with its split's settings, side by side."""
    _, fitted, columns = splits.train.inputs.shape
    outputs = 1 if splits.train.fp.ndim == 2 else splits.train.fp.shape[-1]
    seen = fitted // BATCH * BATCH
    epochs = 40 if fitted < 1000 else 20  # the fewer the examples, the more often they are shown
    drawn = [
        start(np.random.default_rng([seed, *one]), columns, hidden, outputs) for one in members
    ]
    size = sum(leaf.size for leaf in jax.tree.leaves(drawn[0]))

    def with_costs(table):
        fn, fp = stacked([loss(splits, table) for loss in losses], axis=1)
        return table._replace(fn=fn, fp=fp)

    def order(n, epoch):
        return np.random.default_rng([seed, *members[n], 1, epoch]).permutation(fitted)[:seen]

    decay = optax.cosine_decay_schedule(-1.0, epochs * seen // BATCH)
    optimizer = optax.chain(optax.scale_by_adam(), optax.scale_by_schedule(decay))
    own = Own(with_costs(splits.train), with_costs(splits.held_out), settings[..., 1])
    return training.train(
        training.Method(_objective, optimizer, _held_out),
        (),
        taken(own, members[:, 0]),
        stacked([stacked(drawn)] * len(losses), axis=1),
        settings[members[:, 0], :, 0],
        order,
        epochs=epochs,
        batch=BATCH,
        at_once=max(1, AT_ONCE // (size * len(losses))),
    )


def _logits(splits, weights, members, picked):
    parts = []
    for group, split in enumerate(members[:, 0]):
        own = taken(weights, (group, picked[group]))
        tables = splits.held_out, splits.test
        parts.append(Logits(*(_on(own, table.inputs[split]) for table in tables)))
    return stacked(parts)


@jax.jit
def _on(weights, inputs):
    return jax.vmap(lambda one: averaged(network(one, inputs)))(weights)
