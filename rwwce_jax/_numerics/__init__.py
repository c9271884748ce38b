"""The losses of single examples, exact and finite. Stability is argued only here.

Autodiff of the formula fails: ``log(1 - p)`` is -inf, and its gradient NaN, as soon as the softmax
rounds to 1 (a logit gap of 17 in float32). This can only happen to a class that holds more than
half of the probability, and a row has at most one: its *leader*. There ``1 - p`` is the sum of all
other probabilities, where nothing cancels. For the others ``log1p(-p)`` and ``1 - p`` are safe,
because p <= 1/2. See ``split`` and ``categorical``.
"""

from rwwce_jax._numerics.arithmetic import depending_on, sum_of_others, two_sum
from rwwce_jax._numerics.binary import binary_loss
from rwwce_jax._numerics.categorical import Terms, categorical_loss
from rwwce_jax._numerics.chunks import Chunks, ToLogits, default_chunk_size, loss_of_products
from rwwce_jax._numerics.platforms import (
    MOST_LABELS_AS_PRODUCT,
    MOST_PAIRS_AS_MATRIX,
    MOST_ROWS_AS_PRODUCT,
    by_platform,
    is_class,
    is_few,
    is_label,
    take_rows,
)

__all__ = [
    "MOST_LABELS_AS_PRODUCT",
    "MOST_PAIRS_AS_MATRIX",
    "MOST_ROWS_AS_PRODUCT",
    "Chunks",
    "Terms",
    "ToLogits",
    "binary_loss",
    "by_platform",
    "categorical_loss",
    "default_chunk_size",
    "depending_on",
    "is_class",
    "is_few",
    "is_label",
    "loss_of_products",
    "sum_of_others",
    "take_rows",
    "two_sum",
]
