"""What `make keras-speed` says of the seconds that it measured."""

import pytest

from benchmarks.keras_speed import __main__ as keras_speed

pytestmark = pytest.mark.repository


def seconds(default: float, tuned: float, ours: float) -> keras_speed.Seconds:
    """Three rounds, of which the median is the one in the middle."""
    names = [*keras_speed.KERAS, keras_speed.OURS]
    return {
        name: [{"Table I": middle, "Table II": 2 * middle} for middle in (value, 0.1, 9.0)]
        for name, value in zip(names, (default, tuned, ours), strict=True)
    }


def test_report_compares_medians_and_judges_both_ways_to_run_keras():
    facts, text = keras_speed._report(seconds(1.2, 0.6, 0.11), "keras 3")
    assert facts["times_as_fast"]["one by one, Keras"]["Table II"] == pytest.approx(1.2 / 0.11)
    assert "- held: Table I, 10.9 times as fast as one by one, Keras, at least 10 wanted" in text
    assert "- not reached: Table II, 5.5 times as fast as" in text
    assert "keras 3" in text
    assert facts["held"] == {"Table I": True, "Table II": True}


def test_report_says_what_was_missed():
    facts, text = keras_speed._report(seconds(1.0, 0.6, 0.11), "keras 3")
    assert facts["held"] == {"Table I": False, "Table II": False}
    assert text.count("- MISSED: ") == 2
