"""The losses of single examples, exact and finite: the only place where stability is argued.

The losses work on rows of logits in float32 or float64, with the classes along the last axis (the
binary one elementwise), and return one loss per row. Each carries its gradient in closed form as a
``custom_jvp``, which reverse mode, forward mode and any nesting of the two can use.

Why not autodiff of the formula: ``log(1 - p)`` is -inf, and its gradient NaN, as soon as the
softmax rounds to 1 (a logit gap of 17 in float32). Only a class that holds more than half of the
probability can suffer that, and a row has at most one. So that *dominant* class is kept apart:
``1 - p`` of it is the sum of all other probabilities, and nothing cancels. For the others
``log1p(-p)`` and ``1 - p`` are safe, because p <= 1/2: see ``softmax`` and ``real_world``.
"""

from rwwce_jax._numerics.arithmetic import is_label, sum_of_others, two_sum
from rwwce_jax._numerics.binary import binary_loss
from rwwce_jax._numerics.cross_entropy import cross_entropy
from rwwce_jax._numerics.real_world import real_world_loss
from rwwce_jax._numerics.sparse import sparse_loss

__all__ = [
    "binary_loss",
    "cross_entropy",
    "is_label",
    "real_world_loss",
    "sparse_loss",
    "sum_of_others",
    "two_sum",
]
