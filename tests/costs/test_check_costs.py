"""Which costs check_costs refuses, and in which words."""

import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce

pytestmark = pytest.mark.always

NAN, INF = np.nan, np.inf

REFUSED = {
    "a negative scalar": (-1, 1, ValueError, "fn must be a finite cost >= 0, got -1.0."),
    "a NaN scalar": (1, NAN, ValueError, "fp must be a finite cost >= 0, got nan."),
    "an infinite scalar": (INF, 1, ValueError, "fn must be a finite cost >= 0, got inf."),
    "a negative class": (
        [1, 2, -0.5],
        0,
        ValueError,
        "fn[2] must be a finite cost >= 0, got -0.5.",
    ),
    "a negative pair": (
        1,
        [[0, 3], [-3, 0]],
        ValueError,
        "fp[1, 0] must be a finite cost >= 0, got -3.0.",
    ),
    "a NaN pair": (
        1,
        [[0, 3, 1], [3, 0, NAN], [INF, 1, 0]],
        ValueError,
        "fp[1, 2] must be a finite cost >= 0, got nan.",
    ),
    "an infinite pair": (
        np.ones(2),
        jnp.array([[0, INF], [3, 0]]),
        ValueError,
        "fp[0, 1] must be a finite cost >= 0, got inf.",
    ),
    "minus infinity": (1, -INF, ValueError, "fp must be a finite cost >= 0, got -inf."),
    "the diagonal of a matrix that is not square": (
        1,
        [[-1, 3, 1], [3, 0, 1]],
        ValueError,
        "fp[0, 0] must be a finite cost >= 0, got -1.0.",
    ),
    "fn first": (-2, -3, ValueError, "fn must be a finite cost >= 0, got -2.0."),
    "only zeros": (
        0,
        0,
        ValueError,
        "fn and fp must hold a cost above 0, got only zeros: no mistake costs.",
    ),
    "only zeros but for the diagonal": (
        [0, 0],
        [[5, 0], [0, 5]],
        ValueError,
        "fn and fp must hold a cost above 0, got only zeros: no mistake costs.",
    ),
    "beyond the range of float32": (
        1,
        1e39,
        ValueError,
        "fp must be a finite cost >= 0 in float32, got 1e+39.",
    ),
    "three classes beside two": (
        [1, 2, 3],
        [[0, 1], [1, 0]],
        ValueError,
        "fn must be a scalar or of shape (2,) for 2 classes, got shape (3,).",
    ),
    "three classes beside pairs of two": (
        [1, 2, 3],
        rwwce.pair_costs({(0, 1): 1.0}, 2),
        ValueError,
        "fn must be a scalar or of shape (2,) for 2 classes, got shape (3,).",
    ),
    "examples that do not broadcast": (
        np.ones(3),
        np.ones(2),
        ValueError,
        "fn and fp must have shapes that broadcast, got (3,) and (2,).",
    ),
    "booleans": (
        True,
        1,
        TypeError,
        "fn must be costs, integers or floats, got dtype bool.",
    ),
    "complex": (
        1,
        [1j],
        TypeError,
        "fp must be costs, integers or floats, got dtype complex128.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_costs_that_check_costs_refuses(case):
    fn, fp, error, message = REFUSED[case]
    with pytest.raises(error) as caught:
        rwwce.check_costs(fn, fp)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("fn", "fp", "name"),
    [
        ("1", 1, "fn"),
        (1, "1", "fp"),
        (None, 1, "fn"),
        (1, None, "fp"),
        (1, {(0, 1): 2.0}, "fp"),
        ([[1], [1, 2]], 1, "fn"),
        (1, [[0, 1], [1]], "fp"),
        (np.timedelta64(3, "s"), 1, "fn"),
    ],
)
def test_what_is_no_costs_at_all(fn, fp, name):
    with pytest.raises((TypeError, ValueError), match=rf"^{name} must be [^\n]+, got [^\n]+\.$"):
        rwwce.check_costs(fn, fp)


@pytest.mark.parametrize(
    ("fn", "fp"),
    [
        (2000, 100),
        (0, 1),
        (1, 0),
        (1e-30, 0),
        (np.float32(1e38), 1e-300),
        (np.ones(5), np.ones((4, 5))),  # costs of examples, for two classes
        (rwwce.ExampleCosts(np.ones(5)), 1.0),
        ([1, 0, 2], rwwce.pair_costs({(0, 1): 2.0}, 3)),
        ([1, 0, 2], 0),
        ([0, 0], [[0, 1], [0, 0]]),
        (1, [[NAN, 1], [1, NAN]]),
        (1, [[-5, 1], [1, INF]]),
        (np.array([1, 2], np.uint8), np.ones((2, 2), np.int32)),
        (jnp.ones(3), jnp.ones((3, 3))),
        (jnp.ones(3, jnp.float16), 1),
        (jnp.ones(3, jnp.bfloat16), 1),  # which the losses accept
        ([jnp.float32(1), jnp.float32(2)], 0),
    ],
)
def test_costs_that_pass(fn, fp):
    rwwce.check_costs(fn, fp)


def test_check_costs_changes_nothing():
    fp = np.array([[NAN, 1.0], [2.0, NAN]])
    rwwce.check_costs(1, fp)
    np.testing.assert_array_equal(fp, [[NAN, 1.0], [2.0, NAN]])
