"""The losses of single examples, exact and finite: the only place where stability is argued.

Why not autodiff of the formula: ``log(1 - p)`` is -inf, and its gradient NaN, as soon as the
softmax rounds to 1 (a logit gap of 17 in float32). Only a class that holds more than half of the
probability can suffer that, and a row has at most one. So one class of each row is kept *apart*:
``1 - p`` of it is the sum of all other probabilities, and nothing cancels. For the others
``log1p(-p)`` and ``1 - p`` are safe, because p <= 1/2: see ``split`` and ``categorical``.
"""

from rwwce_jax._numerics.arithmetic import sum_of_others, two_sum
from rwwce_jax._numerics.binary import binary_loss
from rwwce_jax._numerics.blocks import loss_of_rows
from rwwce_jax._numerics.categorical import Terms
from rwwce_jax._numerics.chunks import Chunks, Rows, default_chunk_size, loss_of_products
from rwwce_jax._numerics.platforms import is_class

__all__ = [
    "Chunks",
    "Rows",
    "Terms",
    "binary_loss",
    "default_chunk_size",
    "is_class",
    "loss_of_products",
    "loss_of_rows",
    "sum_of_others",
    "two_sum",
]
