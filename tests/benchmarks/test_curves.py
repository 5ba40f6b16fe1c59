"""Curves of whatever a training recorded."""

import math

import pytest

from takt.benchmarks.curves import Curve, curves


@pytest.mark.parametrize("logarithmic", [False, True])
def test_a_point_that_is_no_number_is_left_out(logarithmic):
    bad = Curve(label="a", x=[1, 2, 3, 4], y=[1.0, math.inf, math.nan, 2.0])
    good = Curve(label="a", x=[1, 4], y=[1.0, 2.0])
    shown = [curves([curve], 500, "loss", logarithmic=logarithmic) for curve in (bad, good)]
    assert shown[0] == shown[1]


@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize("y", [[], [math.nan]])
def test_no_point_at_all_is_an_empty_chart(y, logarithmic):
    chart = curves([Curve(label="a", x=[1.0] * len(y), y=y)], 500, "loss", logarithmic=logarithmic)
    assert chart.startswith("<svg")
    assert "nan" not in chart


def test_steps_are_whole():
    chart = curves([Curve(label="loss", x=[1, 3], y=[2.0, 1.0])], 500, "loss")
    assert [f'middle">{step}<' in chart for step in ("0.5", "1", "3")] == [False, True, True]


def test_an_interval_goes_with_its_point():
    low, high = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    curve = Curve(label="rate", x=[1, 2, 3], y=[0.2, math.nan, 0.4], low=low, high=high)
    chart = curves([curve], 500, "success", highest=1.0)
    assert "rate 1: 0.100 to 0.400" in chart
    assert "rate 3: 0.300 to 0.600" in chart
    assert "0.200 to 0.500" not in chart
