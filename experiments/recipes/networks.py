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

MODELS = {"small": 16, "large": 128}  # hidden units
MEMBERS = 5  # networks that are averaged, of each loss
ADAPTERS, ADAPTED = 8, 3  # of a network of TabM; and how many such networks are trained
LEARNING_RATES, PENALTIES = (1e-2, 5e-2), (1e-4, 1e-3, 1e-2)  # the grid: Adam's, and L2
GRID = np.array(list(product(LEARNING_RATES, PENALTIES)), np.float32)
BATCH = 50
AT_ONCE = 750_000  # weights that are trained side by side: what a core's cache holds


def plain(rng, *widths):
    """Initial weights: a kernel and a bias for each layer."""
    return [(_kernel(rng, n, m), np.zeros(m, np.float32)) for n, m in pairwise(widths)]


def adapted(rng, columns, hidden, outputs):
    """Those of TabM (Gorishniy et al., 2024), with members that share the first kernel.

    Each has signs and a bias of its own after the shared product, and an output layer.
    """
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


class Own(NamedTuple):
    """What the networks of one split are trained with."""

    table: Table
    fn: np.ndarray  # (networks, ...)
    fp: np.ndarray
    l2: np.ndarray  # (networks,)


def _loss(logits, labels, fn, fp):
    if logits.shape[-1] == 1:
        return rwwce.binary(logits[..., 0], labels, fn, fp)
    return rwwce.categorical(logits, labels, fn, fp)


def _costs(own, rows):
    return (own.fn[:, rows], own.fp[:, rows]) if own.table.fp.ndim == 1 else (own.fn, own.fp)


def _objective(weights, _, own, rows, where):
    inputs, labels = own.table.inputs[rows], own.table.labels[rows]

    def one(weights, fn, fp, l2):
        losses = jax.vmap(lambda logits: _loss(logits, labels, fn, fp))(network(weights, inputs))
        kernels = (leaf for leaf in jax.tree.leaves(weights) if leaf.ndim > 1)
        if isinstance(weights, dict):  # a member's output layer weighs as much as its loss
            kernels = (weights["shared"], weights["members"][1] / ADAPTERS**0.5)
        return losses.mean() + l2 / 2 * sum(jnp.sum(kernel**2) for kernel in kernels)

    return jax.vmap(one)(weights, *_costs(own, rows), own.l2).sum()


def cross_entropy(splits):
    """Costs ``(S, arms, ...)``: fn = 1 and fp = 0, or 1 where there is one logit."""
    fn, fp = splits.train.fn, splits.train.fp
    return np.ones_like(fn)[:, None], np.full_like(fp, fp.ndim == 2)[:, None]


def real_world(splits):
    """The costs of mistakes, divided by what one costs on average.

    One number does not change where the loss is least: the same penalties then fit all tasks.
    """
    fn, fp = splits.train.fn, splits.train.fp
    labels = splits.train.labels[:, : splits.fitted]
    if fp.ndim == 2:
        scale = np.where(labels == 1, fn[:, : splits.fitted], fp[:, : splits.fitted]).mean(-1)
    else:
        mistakes = fn[..., None] * (1 - np.eye(splits.classes, dtype=fp.dtype)) + fp
        of_class = mistakes.sum(-1) / (splits.classes - 1)
        scale = np.take_along_axis(of_class, labels, 1).mean(-1)
    scaled = (cost / scale.reshape(-1, *[1] * (cost.ndim - 1)) for cost in (fn, fp))
    return tuple(cost[:, None].astype(np.float32) for cost in scaled)


class Logits(NamedTuple):
    """Of networks, ``(S, arms, members, examples, outputs)``."""

    held_out: np.ndarray
    test: np.ndarray


def trained(splits, hidden, losses, seed, start, members):
    """The members of each loss, and of each loss the two best networks of the grid.

    The first member is trained with every setting of the grid. The one with the least loss of its
    own on the held-out examples is the setting of the other members.
    """
    costs = [np.concatenate(parts, 1) for parts in zip(*losses, strict=True)]
    count, arms = costs[0].shape[:2]
    tried = np.broadcast_to(np.tile(GRID, (arms, 1)), (count, arms * len(GRID), 2))
    every = [np.repeat(cost, len(GRID), 1) for cost in costs]
    first = np.stack([np.arange(count), np.zeros(count, int)], 1)
    found = fit(splits, hidden, every, tried, first, seed, start)
    order = found.losses.reshape(count, arms, len(GRID)).argsort(-1)[..., :2]
    picked = (np.arange(arms)[:, None] * len(GRID) + order).reshape(count, -1)
    best = _logits(splits, found.weights, first, picked)
    best = Logits(*(part.reshape(count, arms, 2, *part.shape[2:]) for part in best))
    others = np.array(list(product(range(count), range(1, members))))
    found = fit(splits, hidden, costs, GRID[order[..., 0]], others, seed, start)
    more = _logits(splits, found.weights, others, np.tile(np.arange(arms), (len(others), 1)))

    def joined(one, rest):
        rest = rest.reshape(count, members - 1, *rest.shape[1:]).swapaxes(1, 2)
        return np.concatenate([one[:, :, :1], rest], axis=2)

    return Logits(*map(joined, best, more)), best


def fit(splits, hidden, costs, settings, members, seed, start):
    """Trains so many (split, member), each with its split's costs and settings, side by side.

    Initial weights and batches follow from split, member and seed only.
    """
    outputs = 1 if splits.train.fp.ndim == 2 else splits.classes
    shape = (splits.train.inputs.shape[-1], hidden, outputs)
    networks = settings.shape[1]
    fitted, split = splits.fitted, members[:, 0]
    seen = fitted // BATCH * BATCH
    epochs = 40 if fitted < 1000 else 20  # the fewer the examples, the more often they are shown
    drawn = [start(np.random.default_rng([seed, *member]), *shape) for member in members]
    size = sum(leaf.size for leaf in jax.tree.leaves(drawn[0]))

    def order(n, epoch):
        return np.random.default_rng([seed, *members[n], 1, epoch]).permutation(fitted)[:seen]

    def held_out(weights, _, own):
        def one(weights, fn, fp):
            logits = averaged(network(weights, own.table.inputs[fitted:]))
            return _loss(logits, own.table.labels[fitted:], fn, fp)

        return jax.vmap(one)(weights, *_costs(own, slice(fitted, None)))

    decay = optax.cosine_decay_schedule(-1.0, epochs * seen // BATCH)
    optimizer = optax.chain(optax.scale_by_adam(), optax.scale_by_schedule(decay))
    return training.train(
        training.Method(_objective, optimizer, held_out),
        (),
        Own(splits.train.of(split), *(part[split] for part in (*costs, settings[..., 1]))),
        jax.tree.map(lambda *leaves: np.stack([np.stack(leaves)] * networks, 1), *drawn),
        settings[split, :, 0],
        order,
        epochs=epochs,
        batch=BATCH,
        at_once=max(1, AT_ONCE // (size * networks)),
        name=f"{len(members)} times {networks} networks",
    )


def _logits(splits, weights, members, picked):
    """Those of the picked networks of each (split, member)."""
    parts = []
    for group, split in enumerate(members[:, 0]):
        own = jax.tree.map(lambda leaf, group=group: leaf[group, picked[group]], weights)
        inputs = splits.held_out.inputs[split], splits.test.inputs[split]
        parts.append([np.asarray(_on(own, each)) for each in inputs])
    return Logits(*map(np.stack, zip(*parts, strict=True)))


@jax.jit
def _on(weights, inputs):
    return jax.vmap(lambda one: averaged(network(one, inputs)))(weights)
