"""Problems that Hypothesis draws, in a few fixed shapes, so that few programs are compiled."""

from typing import NamedTuple

import hypothesis
import hypothesis.extra.numpy as hnp
import jax
import numpy as np
import pytest
from hypothesis import strategies as st
from precision import enable_x64

B, K = 6, 4


class Problem(NamedTuple):
    """Logits, labels of both kinds, and costs, all of them exact in float32."""

    logits: np.ndarray
    labels: np.ndarray
    probs: np.ndarray
    fn: np.ndarray
    fp: np.ndarray


def integers(shape, low, high):
    return hnp.arrays(np.int64, shape, elements=st.integers(low, high), fill=st.nothing())


def logits_of(shape):
    """Logits up to 2, 31 or 250: never certain, sometimes, nearly always. The first often tie."""
    return st.builds(
        np.multiply, integers(shape, -2000, 2000), st.sampled_from([2.0**-10, 2.0**-6, 2.0**-3])
    )


def costs_of(shape):
    return integers(shape, 0, 8).map(lambda quarters: quarters / 4)


def probabilities_between(cuts):
    return np.diff(np.sort(cuts, axis=-1), prepend=0, append=8) / 8


def problems_of(num_classes):
    return st.builds(
        Problem,
        logits_of((B, num_classes)),
        integers(B, 0, num_classes - 1),
        integers((B, num_classes - 1), 0, 8).map(probabilities_between),
        costs_of(num_classes),
        costs_of((num_classes, num_classes)),
    )


problems, pairs = problems_of(K), problems_of(2)
binary_problems = st.builds(
    Problem,
    logits_of(B),
    integers(B, 0, 1),
    integers(B, 0, 8).map(lambda eighths: eighths / 8),
    costs_of(B),
    costs_of(B),
)


def holds_for(strategy, dtypes=("float32", "float64"), **more):
    """Runs a test on what is drawn, in single and in double precision."""

    def decorate(test):
        @pytest.mark.parametrize("dtype", dtypes)
        @hypothesis.given(problem=strategy, drawn=st.fixed_dictionaries(more))
        def run(dtype, problem, drawn):
            def cast(x):
                return x.astype(dtype) if np.asarray(x).dtype.kind == "f" else x

            with enable_x64(dtype == "float64"):
                test(Problem(*map(cast, problem)), **jax.tree.map(cast, drawn))

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return decorate
