"""Image points lie on the pixels of what they name."""

import numpy as np
import pytest

from takt.simulation.nut_station.annotation import NUM_POINTS, UNSEEN, project_points
from takt.simulation.nut_station.expert import ScriptedExpert

SIZE = 320
# In the order of `project_points`: camera and the geom whose paint the point lies on.
TARGETS = [
    *(("ego", f"{s}_{geom}") for s in ("left", "right") for geom in ("nut_hole", "pin_core")),
    *(
        (f"{s}_wrist", f"{s}_{geom}")
        for s in ("left", "right")
        for geom in ("nut_hole", "nut_mark", "pin_core", "pin_line_a")
    ),
]


def painted(station, camera, geom):
    """(row, column) of every pixel that changes when `geom` is painted: where it is seen."""
    before = station.render(camera, SIZE, SIZE).astype(int)
    rgba = station.model.geom(geom).rgba
    kept = rgba.copy()
    rgba[:] = [1, 0, 1, 1] if kept[1] > 0.4 else [0, 1, 0, 1]
    after = station.render(camera, SIZE, SIZE).astype(int)
    rgba[:] = kept
    return np.argwhere(np.abs(after - before).sum(2) > 10)


@pytest.mark.parametrize("ticks", [0, 60, 120])
def test_points_lie_on_what_they_name(station, ticks):
    station.reset(9)
    expert = ScriptedExpert(station)
    for _ in range(ticks):
        station.act(expert.action())
    points = project_points(station.model, station.data).reshape(-1, 2)
    assert len(points) == len(TARGETS) == NUM_POINTS
    checked = 0
    for (camera, geom), point in zip(TARGETS, points, strict=True):
        pixels = painted(station, camera, geom)
        if np.any(point == UNSEEN) or not len(pixels):  # outside the image, or hidden in it
            continue
        column, row = (point + 1) / 2 * SIZE
        nearest = np.abs(pixels + 0.5 - [row, column]).max(1).min()
        assert nearest < 2, f"{geom} in {camera}"
        checked += 1
    assert checked >= 2  # ego sees both pins; a post may hide its nuts


def test_a_point_outside_the_image_is_unseen(station):
    station.reset(9)
    points = project_points(station.model, station.data).reshape(-1, 2)
    seen = np.all(np.abs(points) <= 1, axis=1)
    assert np.all(points[~seen] == UNSEEN)
    assert seen[:4].all()  # ego sees both nuts and both pins, hidden or not
