"""Converts the costs that users give, once, or refuses them: all else sees only operators."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from rwwce_jax._checks import Shape, arguments
from rwwce_jax.costs._examples import ExampleCosts
from rwwce_jax.costs._names import refuse_other_order
from rwwce_jax.costs._operators import ByClass, CostOperator, Nothing, Number
from rwwce_jax.costs._pairs import PairCosts, pair_costs


def given(name: str, value: Any) -> jax.Array | np.ndarray | PairCosts | ExampleCosts:
    """The costs as an array, or of a kind that the argument of this name may have.

    Refuses what would be read as other costs between classes than it names.
    """
    is_between = name in ("fp", "fp_pairs")
    if isinstance(value, ExampleCosts) or (is_between and isinstance(value, PairCosts)):
        return value
    if is_between and isinstance(value, Mapping):
        raise TypeError(
            f"{name} must be costs, got a mapping; rwwce_jax.pair_costs makes costs of it."
        )
    if is_between:
        refuse_other_order(name, value)
    return arguments.as_array(name, value)


def operator(
    name: str, value: Any, num_classes: int | None, dtype: DTypeLike, examples: Shape | None = None
) -> CostOperator:
    """``fn``, ``right``, ``fp`` or ``fp_pairs`` as an operator, in this dtype.

    Costs of examples must have the shape of the examples, and are refused without it.
    """
    costs = given(name, value)
    if isinstance(costs, PairCosts | ExampleCosts):
        return costs.converted(name, num_classes, dtype, examples)
    ndim = 2 if name in ("fp", "fp_pairs") else 1
    hint = ""
    if examples is not None:
        if costs.shape == (*examples, num_classes)[: len(examples) + ndim - 1]:
            hint = "; costs of each example are rwwce_jax.ExampleCosts"
        elif len(examples) > 2 and costs.shape == examples[1:2] * ndim:
            hint = "; for classes along axis 1 give axis=1 to the loss"
    array = by_class(name, costs, num_classes, dtype, ndim, hint)
    # Zeros that are known while tracing need not be compiled at all.
    is_known = isinstance(value, int | float | np.ndarray | np.generic)
    if name == "fp" and is_known and not np.any(costs):
        return Nothing(jnp.zeros((), dtype))
    return ByClass(array) if array.ndim else Number(array)


def operators(
    fn: Any, fp: Any, num_classes: int | None, dtype: DTypeLike, examples: Shape | None = None
) -> tuple[CostOperator, CostOperator]:
    """Both ``fn`` and ``fp`` as operators."""
    shared = (num_classes, dtype, examples)
    return operator("fn", fn, *shared), operator("fp", fp, *shared)


class GivenCosts(NamedTuple):
    """The costs where nothing but they may tell the number of classes and the dtype."""

    fn: Any
    fp: Any
    actions: Any
    num_classes: int | None

    @classmethod
    def of(cls, fn: Any, fp: Any, actions: Any = None) -> "GivenCosts":
        """The costs as arrays, or as costs of pairs or examples; and K, if they tell it."""
        fn, fp = given("fn", fn), given("fp", fp)
        actions = None if actions is None else arguments.as_array("actions", actions)
        return cls(fn, fp, actions, _num_classes(fn, fp, actions))

    @classmethod
    def shared(cls, fn: Any, fp: Any, way: str, *, are_scalars: bool = False) -> "GivenCosts":
        """Converts costs that all examples share, None to 0, or refuses what does not fit.

        ``way`` tells how costs of the examples come, for which None is given here.
        """
        known = [0.0 if costs is None else costs for costs in (fn, fp)]
        for name, costs in zip(("fn", "fp"), known, strict=True):
            if isinstance(costs, ExampleCosts):
                raise TypeError(
                    f"{name} must be costs that all examples share, got ExampleCosts; give None, "
                    f"and the costs of the examples {way}."
                )
        if are_scalars:
            refuse_all_but_scalars(*known)
        shared = cls.of(*known)
        shared.refuse()
        return shared

    @property
    def are_categorical(self) -> bool:
        """Whether the costs tell that the decisions are categorical, not binary."""
        of_examples = any(isinstance(x, ExampleCosts) for x in (self.fn, self.fp))
        return of_examples or self.num_classes is not None

    def refuse(self) -> None:
        """Refuses costs of classes that do not fit. Costs of examples are checked with those."""
        dtype = cost_dtype(self)
        actions_by_class(self.actions, self.num_classes, dtype)
        for name, costs in (("fn", self.fn), ("fp", self.fp)):
            if not isinstance(costs, ExampleCosts):
                operator(name, costs, self.num_classes, dtype)


def _num_classes(fn: Any, fp: Any, actions: Any) -> int | None:
    """K, or None where the costs do not tell it."""
    if isinstance(fp, PairCosts):
        return fp.num_classes
    if isinstance(fp, ExampleCosts) and fp.classes is None:
        fp = arguments.as_array("fp", fp.costs)
    for name, costs in (("fp", fp), ("fn", fn)):
        if not isinstance(costs, ExampleCosts) and costs.ndim:
            if costs.shape[-1] < 2:
                raise ValueError(
                    f"{name} must hold the costs of 2 or more classes, got shape {costs.shape}."
                )
            return costs.shape[-1]
    return None if np.ndim(actions) < 2 else len(actions)


def num_classes_of_fp(fp: Any, ndim: int) -> int | None:
    """K, where ``fp`` cannot be one cost per label, for labels of this many axes; else None."""
    if isinstance(fp, PairCosts):
        return fp.num_classes
    costs = arguments.as_array("fp", fp)
    return costs.shape[0] if ndim < 2 and costs.ndim == 2 else None


def cost_dtype(*values: Any) -> np.dtype:
    """float64 for costs that are float64 in JAX, else float32."""
    kinds = jax.Array | np.ndarray | np.generic
    is_double = any(isinstance(x, kinds) and x.dtype == np.float64 for x in jax.tree.leaves(values))
    return jax.dtypes.canonicalize_dtype(np.float64 if is_double else np.float32)


def by_class(
    name: str, value: Any, num_classes: int | None, dtype: DTypeLike, ndim: int = 1, hint: str = ""
) -> jax.Array:
    """A scalar, or costs with ``ndim`` axes of ``num_classes`` each."""
    array = arguments.costs(name, value, dtype)
    expected = () if num_classes is None else (num_classes,) * ndim
    if array.shape not in ((), expected):
        raise ValueError(
            f"{name} must be a scalar or of shape {expected} for {num_classes} classes, "
            f"got shape {array.shape}{hint}."
        )
    return array


def actions_by_class(value: Any, num_classes: int | None, dtype: DTypeLike) -> jax.Array | None:
    """None, or the costs of A actions by true class, (K, A)."""
    if value is None:
        return None
    array = arguments.costs("actions", value, dtype)
    if array.ndim == 0 and num_classes is not None:
        return jnp.broadcast_to(array, (num_classes, 1))
    if array.ndim != 2 or array.shape[0] != num_classes:
        hint = "; where no other cost tells the number K of classes give fn=[...] * K"
        if array.ndim:
            hint = "; what one action costs by class is actions[:, None]" * (array.ndim == 1)
        raise ValueError(
            f"actions must be a scalar or of shape ({num_classes or 'K'}, A) for A actions, got "
            f"shape {array.shape}{hint}."
        )
    return array


def as_jax(name: str, value: Any, dtype: DTypeLike) -> Any:
    """The costs in the form in which they were given, as JAX's arrays; or None."""
    if not isinstance(value, PairCosts | ExampleCosts):
        return None if value is None else arguments.costs(name, value, dtype)
    costs = arguments.costs(f"{name}.costs", value.costs, dtype)
    if isinstance(value, ExampleCosts) and value.classes is not None:
        classes = jnp.asarray(arguments.as_array(f"{name}.classes", value.classes))
        return ExampleCosts(costs, classes)
    return dataclasses.replace(value, costs=costs)


def as_numpy(value: Any) -> Any:
    """The costs as NumPy's arrays, which keep all digits; costs of pairs and None as they are."""
    return value if value is None or isinstance(value, PairCosts) else np.asarray(value)


def to_json(costs: Any) -> Any:
    """What ``as_numpy`` returned, as numbers, lists or None; costs of pairs as a dict."""
    if not isinstance(costs, PairCosts):
        return None if costs is None else costs.tolist()
    columns = (np.asarray(x).tolist() for x in (costs.true, costs.predicted, costs.costs))
    return {
        "pairs": [list(pair) for pair in zip(*columns, strict=True)],
        "num_classes": costs.num_classes,
        "class_names": None if costs.class_names is None else list(costs.class_names),
    }


def from_json(costs: Any) -> Any:
    """Undoes ``to_json``, to lists or costs of pairs."""
    if not isinstance(costs, Mapping):
        return costs
    pairs = {(true, predicted): cost for true, predicted, cost in costs["pairs"]}
    return pair_costs(pairs, costs["num_classes"], costs["class_names"])


def of_two_classes(fn: Any, fp: Any, shape: Shape, dtype: DTypeLike) -> tuple[jax.Array, jax.Array]:
    """``fn`` and ``fp`` of decisions between two classes, of the shape of the examples."""
    shapes = [arguments.as_array(name, x).shape for name, x in (("fn", fn), ("fp", fp))]
    if shapes == [(2,), (2, 2)]:
        raise ValueError(
            "fn and fp must be scalars or one cost per example, got those of costs_from_matrix, "
            "shapes (2,) and (2, 2); for two classes use rwwce_jax.binary_costs."
        )
    fn_costs = arguments.costs_like("fn", fn, shape, dtype)
    return fn_costs, arguments.costs_like("fp", fp, shape, dtype)


def of_labels(
    fn: Any, fp: Any, fp_pairs: Any, num_classes: int, dtype: DTypeLike
) -> tuple[jax.Array, jax.Array, CostOperator]:
    """Costs of several labels: of each as a question of its own, and of pairs of labels."""
    fn, fp = (by_class(name, x, num_classes, dtype) for name, x in (("fn", fn), ("fp", fp)))
    if fp_pairs is None:
        return fn, fp, Nothing(jnp.zeros((), dtype))
    pairs = operator("fp_pairs", fp_pairs, num_classes, dtype)
    if isinstance(pairs, Number):
        shape = (num_classes, num_classes)
        raise ValueError(
            f"fp_pairs must have one row and one column per class, shape {shape}, got shape ()."
        )
    return fn, fp, pairs


def refuse_all_but_scalars(fn: Any, fp: Any) -> None:
    """Refuses all but scalars, for binary decisions with a threshold."""
    for name, costs in (("fn", fn), ("fp", fp)):
        if isinstance(costs, PairCosts | ExampleCosts):
            kind = type(costs).__name__
            raise TypeError(f"{name} must be a scalar where there is a threshold, got {kind}.")
        arguments.same_shape(name, arguments.as_array(name, costs), (), "a scalar's shape")
