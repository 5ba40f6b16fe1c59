"""The station's fixed facts agree with each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from takt.embodiments import embodiment_spec
from takt.embodiments.nut_station.spec import SPEC
from takt.types import TaktError

assert SPEC.mirror is not None
MIRROR = SPEC.mirror
WIDTH = len(SPEC.action_space.names)


def mirrored(values):
    return values[list(MIRROR.axes)] * np.array(MIRROR.signs)


@given(arrays(np.float32, WIDTH, elements={"min_value": -3, "max_value": 3}))
def test_mirroring_twice_changes_nothing(values):
    np.testing.assert_array_equal(mirrored(mirrored(values)), values)


def test_the_mirror_swaps_sides_and_keeps_bounds_and_slots_of_a_kind():
    space = SPEC.action_space
    for axis, source in enumerate(MIRROR.axes):
        sides = {space.names[axis].split("_", 1)[0], space.names[source].split("_", 1)[0]}
        assert sides == {"left", "right"}
        assert space.names[axis].split("_", 1)[1] == space.names[source].split("_", 1)[1]
        assert SPEC.relative[axis] == SPEC.relative[source]
        bounds = sorted(MIRROR.signs[axis] * np.array([space.low[source], space.high[source]]))
        np.testing.assert_array_equal(bounds, [space.low[axis], space.high[axis]])


def test_the_mirror_swaps_the_wrist_cameras():
    names = [camera.name for camera in SPEC.cameras]
    assert [names[i] for i in MIRROR.cameras] == ["ego", "right_wrist", "left_wrist"]


def test_slots_are_distinct_and_one_per_axis():
    assert len(set(SPEC.slots)) == len(SPEC.slots) == len(SPEC.relative) == WIDTH


def test_an_unknown_body_lists_the_known():
    with pytest.raises(TaktError, match="nut-station"):
        embodiment_spec("nut-staton")
