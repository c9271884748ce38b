"""The categorical loss fused with the linear layer before it, for very many classes."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rwwce_jax._checks import CostsLike, Reduction, arguments, compiled
from rwwce_jax._checks.sharding import most_row_shards
from rwwce_jax._numerics.chunks import Chunks, Layer, default_chunk_size, loss_of_products
from rwwce_jax.costs import ExampleCosts, PairCosts
from rwwce_jax.costs._records import Examples


def linear_categorical(
    hidden: ArrayLike,
    kernel: ArrayLike,
    labels: ArrayLike,
    fn: CostsLike | ExampleCosts,
    fp: CostsLike | PairCosts | ExampleCosts,
    *,
    bias: ArrayLike | None = None,
    where: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    z_loss: ArrayLike = 0.0,
    soft_cap: ArrayLike | None = None,
    reduction: Reduction = "mean",
    chunk_size: int | None = None,
) -> jax.Array:
    r"""``categorical(hidden @ kernel + bias, ...)``, without storing all of these logits.

    Args:
        hidden: The input of the last layer, ``(..., H)``, of a floating dtype.
        kernel: The weights of the last layer, ``(H, K)`` with K >= 2 classes, as in Flax. For tied
            embeddings pass ``embedding.T``.
        labels: As for ``rwwce.categorical``: class ids, ``(...)``, or class probabilities,
            ``(..., K)``.
        fn: As for ``rwwce.categorical``.
        fp: As for ``rwwce.categorical``. With very many classes use ``rwwce.pair_costs`` or
            ``rwwce.ExampleCosts`` with classes, which need no (K, K) array.
        bias: The bias of the last layer, ``(K,)``. Default: none.
        where: Boolean mask over the examples, ``(...)``. Examples that it leaves out change neither
            the value nor any gradient, whatever they hold.
        weights: One number per example, 0 or more, ``(...)``: an example of weight
            w counts as w examples, and the mean divides by the sum of the weights. Default: 1 each.
        z_loss: As for ``rwwce.categorical``.
        soft_cap: The largest logit: the loss is that of ``cap * tanh(logits / cap)``, a scalar
            greater than 0. Default: no cap.
        reduction: ``"mean"`` over the selected examples (0 if there are none), ``"sum"``, or
            ``"none"`` for one loss per example, times its weight.
        chunk_size: The most rows of logits to store at a time, a Python integer. Default: a power
            of two with at most 2^22 logits if JAX's default backend is a CPU, else 2^28 (1 GiB).
            Fewer rows save memory, but read the kernel and add to its gradient more often. The
            result differs by rounding only.

    Returns:
        The loss, in the unit of the costs: a scalar, or ``(...)`` for ``"none"``. float32, or
        float64 if an operand of the product is.

    Raises:
        TypeError: as for ``rwwce.categorical``, also for the hidden states, kernel and bias.
        ValueError: likewise; and if the chunk size is less than 1, or the soft cap not positive.

    Note:
        Non-finite numbers, weights and labels out of range do what they do in
        ``rwwce.categorical``. The
        gradient of the kernel sums over all rows: NaN in one selected row makes all of it NaN.

        Hidden states and kernel are multiplied in their common dtype, with sums in float32: cast
        both to bfloat16 for fast products. Gradients are summed in float32.

        A program that is exported for any number of rows stores all logits.

        For ``"mean"`` and ``"sum"``, the gradients are computed together with the loss, in as many
        matrix products as with stored logits. For ``"none"`` the logits are computed twice.

    Example:
        A vocabulary of 50,000 words, and for each example a word that must not be said.

        >>> import jax
        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> hidden, kernel = jnp.ones((256, 8)), jnp.zeros((8, 50_000)).at[:, 7].set(1.0)
        >>> labels, never = jnp.arange(256), jnp.full((256, 1), 7)
        >>> fp = rwwce.ExampleCosts(2.0, classes=never)
        >>> loss = rwwce.linear_categorical(hidden, kernel, labels, 1.0, fp)
        >>> print(f"{loss:.3f}")
        10.962
        >>> gradient = jax.grad(rwwce.linear_categorical, argnums=1)
        >>> print(gradient(hidden, kernel, labels, 1.0, fp).shape)
        (8, 50000)

    References:
        E. Wijmans et al., "Cut Your Losses in Large-Vocabulary Language Models", ICLR 2025, does
        this for cross-entropy. The loss is that of ``rwwce.categorical``. The soft cap is that of
        "Gemma 2", 2024, section 2.
    """
    arguments.reduction(reduction)
    states, layer = _operands(hidden, kernel, bias, soft_cap)
    batch, num_classes = states.shape[:-1], layer.bias.size
    if chunk_size is None:
        chunk_size = default_chunk_size(num_classes)
    elif arguments.integer("chunk_size", chunk_size) < 1:
        raise ValueError(f"chunk_size must be 1 row or more, got {chunk_size}.")
    shape, dtype = (*batch, num_classes), layer.bias.dtype
    examples = Examples.of(labels, fn, fp, where, weights, z_loss, shape, len(batch), dtype)
    chunks = Chunks.of(batch, chunk_size, most_row_shards(states, layer.kernel))
    return _linear(states, layer, examples, reduction=reduction, chunks=chunks)


def _operands(
    hidden: ArrayLike, kernel: ArrayLike, bias: ArrayLike | None, soft_cap: ArrayLike | None
) -> tuple[jax.Array, Layer]:
    """Hidden states and kernel in one dtype; bias (zeros if none) and cap in that of the logits."""
    states, matrix = arguments.floats("hidden", hidden), arguments.floats("kernel", kernel)
    if states.ndim == 0:
        raise ValueError("hidden must have shape (..., H), got shape ().")
    if matrix.ndim != 2 or matrix.shape[0] != states.shape[-1] or matrix.shape[1] < 2:
        raise ValueError(
            f"kernel must have shape (H, K) with H = {states.shape[-1]} as hidden's last "
            f"axis and K >= 2 classes, got shape {matrix.shape}."
        )
    dtype = np.promote_types(states.dtype, matrix.dtype)
    wide = arguments.at_least_float32(dtype)
    offsets = jnp.zeros(matrix.shape[1], wide)
    if bias is not None:
        offsets = arguments.floats("bias", bias).astype(wide)
        arguments.same_shape("bias", offsets, matrix.shape[1:], "one number per class, shape")
    if isinstance(soft_cap, int | float) and not soft_cap > 0:
        raise ValueError(f"soft_cap must be greater than 0, got {soft_cap}.")
    cap = arguments.number_or_none("soft_cap", soft_cap, None, wide)
    return states.astype(dtype), Layer(matrix.astype(dtype), offsets, cap)


@compiled
def _linear(
    hidden: jax.Array, layer: Layer, examples: Examples, *, reduction: Reduction, chunks: Chunks
) -> jax.Array:
    counted = examples.counted
    if counted.where is None:
        selected = jnp.ones(hidden.shape[:-1], dtype=bool)
    else:
        selected = counted.where
        hidden = jnp.where(selected[..., None], hidden, 0)
    examples = examples._replace(counted=counted._replace(where=selected))
    loss = loss_of_products(chunks, hidden, layer, examples, summed=reduction != "none")
    return counted.mean(loss, selected.size) if reduction == "mean" else loss
