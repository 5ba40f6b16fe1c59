"""The spec's mirror is the station's: a reflected scene moves and looks like the reflection."""

import mujoco
import numpy as np

from takt.embodiments.nut_station.spec import SPEC
from takt.simulation.nut_station.expert import ScriptedExpert

assert SPEC.mirror is not None
MIRROR = SPEC.mirror
TICKS = 90  # reach, grasp and the beginning of the lift
NUT_REFLECTION = (1, -1, 1, 1, -1, 1, -1)  # position, then quaternion (w, x, y, z)


def mirrored(values):
    return (values[list(MIRROR.axes)] * MIRROR.signs).astype(np.float32)


def swap(left, right, signs=(1,)):
    left[:], right[:] = right * np.array(signs), left.copy() * np.array(signs)


def reflect(station):
    """Reflect the scene of a station that was just reset in the plane y = 0."""
    model, data = station.model, station.data
    model.body("part").pos[1] *= -1
    model.body("part").quat[3] *= -1
    model.light("lamp").pos[1] *= -1
    swap(data.joint("left_nut").qpos, data.joint("right_nut").qpos, NUT_REFLECTION)
    for pair in ((0, 1), (2, 3)):
        a, b = (model.geom(f"clutter_{k}") for k in pair)
        swap(a.pos, b.pos, [1, -1, 1])
        swap(a.size, b.size)
        swap(a.rgba, b.rgba)
    joints = mirrored(station.state())
    for k in range(2):
        arm, gap = joints[7 * k : 7 * k + 6], station.data.ctrl[7 * k + 6]
        for name, angle in zip(SPEC.action_space.names[7 * k :], arm, strict=False):
            data.joint(name).qpos[0] = angle
        data.ctrl[7 * k : 7 * k + 7] = [*arm, gap]
    mujoco.mj_forward(model, data)


def images(station):
    return [station.observe().images[camera.name].astype(int) for camera in SPEC.cameras]


def test_a_reflected_scene_moves_and_looks_like_the_reflection(station):
    station.reset(11)
    expert = ScriptedExpert(station)
    first, actions = images(station), []
    for _ in range(TICKS):
        actions.append(expert.action())
        station.act(actions[-1])
    end, nuts = station.state(), [station.nuts[s].position for s in ("left", "right")]
    last = images(station)

    station.reset(11)
    reflect(station)
    looks = images(station)
    for action in actions:
        station.act(mirrored(action))
    np.testing.assert_allclose(station.state(), mirrored(end), atol=2e-3)
    for side, nut in zip(("right", "left"), nuts, strict=True):
        np.testing.assert_allclose(station.nuts[side].position, nut * [1, -1, 1], atol=2e-3)
    for found, before in ((looks, first), (images(station), last)):
        for view, source in enumerate(MIRROR.cameras):
            reflection = before[source][:, ::-1]
            assert np.abs(found[view] - reflection).mean() < 3
            assert np.abs(found[view] - before[view]).mean() > 3
