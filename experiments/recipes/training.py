"""Linear models and networks, trained side by side: only their costs and settings differ."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise, product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import rwwce_jax as rwwce
from experiments.recipes.tasks import Splits, Table

MODELS = {"linear": 0, "small": 16, "large": 128}  # hidden units
CROSS_ENTROPY, RWWCE, FP_ONLY = "cross-entropy", "RWWCE", "fn = 0 split"
MEMBERS = 5
LEARNING_RATES, PENALTIES = (1e-2, 5e-2), (1e-4, 1e-3, 1e-2)  # the grid: Adam's, and L2
AT_ONCE = 1_500_000  # weights that are trained side by side: what a cache holds


class Plan(NamedTuple):
    """How long to train."""

    epochs: int
    batch: int

    @classmethod
    def of(cls, fitted: int) -> "Plan":
        """Batches of a fiftieth of the examples; the fewer there are, the more often shown."""
        epochs = 40 if fitted < 1000 else 20 if fitted < 5000 else 12
        return cls(epochs, int(np.clip(fitted // 50, 50, 250)))


class Settings(NamedTuple):
    """What the networks that are trained side by side differ in, (S, networks, ...)."""

    fn: np.ndarray  # as those of a table, after the axis of the networks
    fp: np.ndarray
    learning_rate: np.ndarray
    l2: np.ndarray


Weights = list[tuple[jax.Array, jax.Array]]  # a kernel and a bias for each layer


def initial(shape: tuple[int, int, int], members: np.ndarray, seed: int) -> Weights:
    """Initial weights of so many (split, member), drawn from these two numbers and the seed."""
    columns, hidden, outputs = shape
    widths = (columns, hidden, outputs) if hidden else (columns, outputs)

    def of_member(member: np.ndarray) -> Weights:
        rng = np.random.default_rng([seed, *member])
        draw = rng.standard_normal
        return [
            (draw((n, m), np.float32) / np.float32(n**0.5), np.zeros(m, np.float32))
            for n, m in pairwise(widths)
        ]

    return jax.tree.map(lambda *leaves: np.stack(leaves), *map(of_member, members))


def network(weights: Weights, inputs: jax.Array) -> jax.Array:
    """The logits of one hidden layer, or of none."""
    *hidden, (kernel, bias) = weights
    for layer in hidden:
        inputs = jax.nn.relu(inputs @ layer[0] + layer[1])
    return inputs @ kernel + bias


def batches(fitted: int, plan: Plan, members: np.ndarray, seed: int) -> np.ndarray:
    """Which examples make up the batches: ``(members, epochs, steps, batch)`` row numbers."""
    steps = fitted // plan.batch

    def of_member(member: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng([seed, *member, 1])
        rows = np.tile(np.arange(fitted, dtype=np.int32), (plan.epochs, 1))
        return rng.permuted(rows, axis=1)[:, : steps * plan.batch]

    rows = np.stack([of_member(member) for member in members])
    return rows.reshape(len(members), plan.epochs, steps, plan.batch)


def arms(splits: Splits) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The costs that each loss is trained with: cross-entropy is RWWCE with fn = 1 and fp = 0."""
    fn, fp = splits.train.fn, splits.train.fp
    rows = np.arange(splits.fitted)
    labels = splits.train.labels[:, rows]
    is_binary = fp.ndim == 2
    # Dividing all costs by one number does not change where the loss is least: the same penalties
    # then fit all tasks, and cross-entropy as well.
    if is_binary:
        scale = np.where(labels == 1, fn[:, rows], fp[:, rows]).mean(-1)[:, None]
        return {
            CROSS_ENTROPY: (np.ones_like(fn), np.ones_like(fp)),
            RWWCE: (fn / scale, fp / scale),
        }
    mistakes = fn[..., None] * (1 - np.eye(splits.classes, dtype=fp.dtype)) + fp
    of_class = mistakes.sum(-1) / (splits.classes - 1)
    scale = np.take_along_axis(of_class, labels, 1).mean(-1)[:, None]
    return {
        CROSS_ENTROPY: (np.ones_like(fn), np.zeros_like(fp)),
        RWWCE: (fn / scale, fp / scale[..., None]),
        FP_ONLY: (np.zeros_like(fn), mistakes / scale[..., None]),
    }


class Trained(NamedTuple):
    """Logits ``(S, arms, members, examples, outputs)``."""

    held_out: np.ndarray
    test: np.ndarray


def train(splits: Splits, hidden: int, seed: int, moved: Callable[[float], None]) -> Trained:
    """Trains all arms' members on all splits.

    The first member of each arm is trained with every setting of the grid. The one with the least
    loss of its own on the held-out examples is the setting of the arm's other members.

    Args:
        splits: Of a task.
        hidden: How many hidden units.
        seed: Of the initial weights and batches, which depend on split and member only.
        moved: Called with the share of all networks that was trained.
    """
    costs = [np.stack(parts, 1) for parts in zip(*arms(splits).values(), strict=True)]
    count, num_arms = costs[0].shape[:2]
    grid = np.array(list(product(LEARNING_RATES, PENALTIES)), np.float32)
    networks = count * num_arms * (len(grid) + MEMBERS - 1)

    def done(number: int) -> None:
        moved(number / networks)

    every = [np.repeat(cost, len(grid), 1) for cost in costs]
    tried = np.broadcast_to(np.tile(grid, (num_arms, 1)), (count, num_arms * len(grid), 2))
    settings = Settings(*every, tried[..., 0], tried[..., 1])
    members = np.stack([np.arange(count), np.zeros(count, int)], 1)
    losses, first = _train(splits, hidden, settings, members, seed, done)
    best = losses.reshape(count, num_arms, len(grid)).argmin(-1)
    picked = np.arange(num_arms) * len(grid) + best
    first = [np.take_along_axis(part, picked[..., None, None], 1) for part in first]

    settings = Settings(*costs, grid[best, 0], grid[best, 1])
    members = np.array(list(product(range(count), range(1, MEMBERS))))
    _, others = _train(splits, hidden, settings, members, seed, done)
    return Trained(
        *(
            np.concatenate(
                [one[:, :, None], rest.reshape(count, MEMBERS - 1, *one.shape[1:]).swapaxes(1, 2)],
                axis=2,
            )
            for one, rest in zip(first, others, strict=True)
        )
    )


def _train(
    splits: Splits,
    hidden: int,
    settings: Settings,
    members: np.ndarray,
    seed: int,
    done: Callable[[int], None],
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Own held-out losses, and logits of held-out and test examples, of (split, member) each."""
    outputs = 1 if splits.train.fp.ndim == 2 else splits.classes
    shape = (splits.train.inputs.shape[-1], hidden, outputs)
    networks = settings.l2.shape[1]
    each = networks * ((shape[0] + outputs) * hidden if hidden else shape[0] * outputs)
    chunk = next(
        size
        for size in range(len(members), 0, -1)
        if len(members) % size == 0 and (size * each <= AT_ONCE or size == 1)
    )
    plan = Plan.of(splits.fitted)
    found = []
    for at in range(0, len(members), chunk):
        some = slice(at, at + chunk)
        rows = members[some, 0]
        table, settings_of_rows = (
            type(part)(*(leaf[rows] for leaf in part)) for part in (splits.train, settings)
        )
        weights = initial(shape, members[some], seed)
        order = batches(splits.fitted, plan, members[some], seed)
        weights, losses = _fit(splits.fitted, weights, order, table, settings_of_rows)
        held_out = table.inputs[:, splits.fitted :]
        logits = (_logits(weights, inputs) for inputs in (held_out, splits.test.inputs[rows]))
        found.append([np.asarray(part) for part in (losses, *logits)])
        done(chunk * networks)
    losses, *logits = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return losses, logits


@jax.jit
def _logits(weights: Weights, inputs: jax.Array) -> jax.Array:
    return jax.vmap(jax.vmap(network, in_axes=(0, None)))(weights, inputs)


def _loss(logits: jax.Array, labels: jax.Array, fn: jax.Array, fp: jax.Array) -> jax.Array:
    if logits.shape[-1] == 1:
        return rwwce.binary(logits[..., 0], labels, fn, fp)
    return rwwce.categorical(logits, labels, fn, fp)


@partial(jax.jit, static_argnums=0)
def _fit(
    fitted: int, weights: Weights, order: jax.Array, table: Table, settings: Settings
) -> tuple[Weights, jax.Array]:
    """The weights of the epoch with the least held-out loss, and that loss.

    The networks of one split and member share initial weights and batches.
    """
    adam = optax.scale_by_adam()
    decay = optax.cosine_decay_schedule(1.0, order.shape[1] * order.shape[2])
    by_example = table.fp.ndim == 2
    held_out = slice(fitted, None)

    def objective(weights: Weights, inputs: jax.Array, labels: jax.Array, one: Settings) -> Any:
        penalty = one.l2 / 2 * sum(jnp.sum(kernel**2) for kernel, _ in weights)
        return _loss(network(weights, inputs), labels, one.fn, one.fp) + penalty

    def of_split(weights: Weights, order: jax.Array, table: Table, settings: Settings) -> Any:
        def of_rows(rows: Any) -> Settings:
            if not by_example:
                return settings
            return settings._replace(fn=settings.fn[:, rows], fp=settings.fp[:, rows])

        def own_loss(weights: Weights, one: Settings) -> jax.Array:
            logits = network(weights, table.inputs[held_out])
            return _loss(logits, table.labels[held_out], one.fn, one.fp)

        def step(carry: tuple, batch: jax.Array) -> tuple:
            weights, moments, count = carry
            inputs, labels = table.inputs[batch], table.labels[batch]

            def update(weights: Weights, moments: Any, one: Settings) -> tuple:
                gradient = jax.grad(objective)(weights, inputs, labels, one)
                direction, moments = adam.update(gradient, moments)
                rate = one.learning_rate * decay(count)
                return jax.tree.map(lambda w, d: w - rate * d, weights, direction), moments

            weights, moments = jax.vmap(update)(weights, moments, of_rows(batch))
            return (weights, moments, count + 1), None

        def epoch(carry: tuple, rows: jax.Array) -> tuple:
            state, best, least = carry
            state, _ = jax.lax.scan(step, state, rows)
            losses = jax.vmap(own_loss)(state[0], of_rows(held_out))
            better = losses < least

            def keep(new: jax.Array, old: jax.Array) -> jax.Array:
                return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

            return (state, jax.tree.map(keep, state[0], best), jnp.minimum(losses, least)), None

        networks = len(settings.l2)
        weights = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (networks, *leaf.shape)), weights
        )
        state = (weights, jax.vmap(adam.init)(weights), jnp.int32(0))
        (_, best, least), _ = jax.lax.scan(
            epoch, (state, weights, jnp.full(networks, jnp.inf)), order
        )
        return best, least

    return jax.vmap(of_split)(weights, order, table, settings)
