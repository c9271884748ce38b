"""A Flax NNX classifier trained by a compiled scan over batches, several runs at once."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from tqdm import tqdm

from examples.mnist import ImageData

HIDDEN = (128, 64)
CLASSES = 10
BATCH = 100
STRETCH = 60  # batches in one call of the compiled scan: a tenth of an epoch of MNIST
LEARNING_RATE = 2e-3

Loss = Callable[[jax.Array, jax.Array], jax.Array]


class Classifier(nnx.Module):
    """A ReLU network from flat images to ten logits."""

    def __init__(self, pixels: int, rngs: nnx.Rngs) -> None:
        """Makes the layers, ``pixels`` -> 128 -> 64 -> 10, with weights drawn from ``rngs``."""
        widths = (pixels, *HIDDEN, CLASSES)
        self.layers = nnx.List(
            nnx.Linear(n_in, n_out, rngs=rngs) for n_in, n_out in pairwise(widths)
        )

    def __call__(self, images: jax.Array) -> jax.Array:
        """Returns the logits ``(..., 10)`` of images ``(..., pixels)``."""
        *hidden, last = self.layers
        for layer in hidden:
            images = nnx.relu(layer(images))
        return last(images)


class _Run(NamedTuple):
    """What training carries from step to step. Stacked along a leading axis, it is many runs."""

    weights: Any
    moments: optax.OptState


def train(
    data: ImageData,
    loss: Loss,
    *,
    seed: int,
    runs: int,
    epochs: int,
    name: str,
    between: Callable[[], None] = lambda: None,
) -> Any:
    """Trains ``runs`` classifiers side by side, showing a progress bar with their mean loss.

    Initial weights and the order of the batches follow from ``seed`` alone, so two losses trained
    with the same seed differ in nothing else.

    Args:
        data: Images and labels; the training part is used.
        loss: Maps logits ``(batch, 10)`` and labels ``(batch,)`` to a scalar.
        seed: Of all randomness.
        runs: How many classifiers, each with its own weights and order.
        epochs: Passes over the training images.
        name: What the progress bar is called.
        between: Called whenever the bar has moved; it may raise, to end the training.

    Returns:
        The weights of all runs, for ``probabilities``.
    """
    images, labels = jnp.asarray(data.train_images), jnp.asarray(data.train_labels)
    weights_key, order_key = jax.random.split(jax.random.key(seed))
    steps = epochs * (len(images) // BATCH)
    state = _start(jax.random.split(weights_key, runs), images.shape[-1], steps)
    with tqdm(total=steps, desc=name, unit="batch") as bar:
        for epoch in range(epochs):
            keys = jax.random.split(jax.random.fold_in(order_key, epoch), runs)
            order = _order(keys, len(images))
            for start in range(0, order.shape[1], STRETCH):
                rows = order[:, start : start + STRETCH]
                state, losses = _advance(state, rows, images, labels, loss, steps)
                bar.set_postfix(loss=f"{losses.mean().item():.4f}", refresh=False)
                bar.update(rows.shape[1])
                between()
    return state.weights


def probabilities(weights: Any, images: np.ndarray) -> np.ndarray:
    """Returns the softmax ``(runs, images, 10)`` of every run's classifier."""
    return np.asarray(_probabilities(weights, jnp.asarray(images)))


@jax.jit
def _probabilities(weights: Any, images: jax.Array) -> jax.Array:
    structure = _structure(images.shape[-1])
    return jax.nn.softmax(jax.vmap(lambda one: nnx.merge(structure, one)(images))(weights))


def _structure(pixels: int) -> nnx.GraphDef[Classifier]:
    return nnx.graphdef(nnx.eval_shape(lambda: Classifier(pixels, nnx.Rngs(0))))


def _optimizer(steps: int) -> optax.GradientTransformation:
    # To zero at the end: the last few batches would otherwise decide over a handful of mistakes.
    return optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, steps))


@partial(jax.jit, static_argnames=("pixels", "steps"))
def _start(keys: jax.Array, pixels: int, steps: int) -> _Run:
    def start(key: jax.Array) -> _Run:
        weights = nnx.state(Classifier(pixels, nnx.Rngs(key)), nnx.Param)
        return _Run(weights, _optimizer(steps).init(weights))

    return jax.vmap(start)(keys)


@partial(jax.jit, static_argnames="images")
def _order(keys: jax.Array, images: int) -> jax.Array:
    """Which images make up the batches of an epoch: ``(runs, batches, BATCH)`` row numbers."""
    whole = images // BATCH * BATCH

    def one_run(key: jax.Array) -> jax.Array:
        return jax.random.permutation(key, images)[:whole].reshape(-1, BATCH)

    return jax.vmap(one_run)(keys)


# The images are arguments, not constants of the program, which would be copied into it; the state
# is donated, for the weights and Adam's moments to be updated in place.
@partial(jax.jit, static_argnames=("loss", "steps"), donate_argnames="state")
def _advance(
    state: _Run, rows: jax.Array, images: jax.Array, labels: jax.Array, loss: Loss, steps: int
) -> tuple[_Run, jax.Array]:
    """Trains every run on its next batches: the batches in one scan, the runs in one vmap."""
    structure = _structure(images.shape[-1])
    adam = _optimizer(steps)

    def step(run: _Run, batch: jax.Array) -> tuple[_Run, jax.Array]:
        def objective(weights: Any) -> jax.Array:
            return loss(nnx.merge(structure, weights)(images[batch]), labels[batch])

        value, gradients = jax.value_and_grad(objective)(run.weights)
        updates, moments = adam.update(gradients, run.moments, run.weights)
        return _Run(optax.apply_updates(run.weights, updates), moments), value

    return jax.vmap(lambda run, batches: jax.lax.scan(step, run, batches))(state, rows)
