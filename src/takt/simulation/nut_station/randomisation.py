"""What a seed changes in the station. Ranges and their reasons: docs/station.md."""

from dataclasses import dataclass

import mujoco
import numpy as np

from takt.embodiments.nut_station.cycle import SIDES

PART_OFFSET_M = 0.012
PART_YAW_RAD = np.radians(5.0)
NUT_OFFSET_M = 0.014
NUT_YAW_RAD = np.radians(20.0)
MAGNET_N = (2.0, 6.0)
MAGNET_OFFSET_M = 0.010
PAD_FRICTION = (0.7, 1.1)
POST_M = 0.02  # half of its width
POST_HEIGHT_M = (0.165, 0.19)
PIN_FRICTION = (0.10, 0.20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Magnet:
    """A magnetised pin: pull at contact (N) and lateral offset of its pole from its axis (m)."""

    strength_n: float
    offset_m: np.ndarray


def randomise(model: mujoco.MjModel, data: mujoco.MjData, seed: int) -> dict[str, Magnet]:
    """Draw one cycle: move and recolour the scene in place; return each side's magnet."""
    rng = np.random.default_rng(seed)
    _place_part(model, rng)
    for side in SIDES:
        _place_nut(model, data, side, rng)
    magnets = {side: _draw_magnet(rng) for side in SIDES}
    _draw_friction(model, rng)
    _draw_appearance(model, rng)
    _place_clutter(model, data, rng)
    return magnets


def _place_part(model: mujoco.MjModel, rng: np.random.Generator) -> None:
    part = model.body("part")
    part.pos[:2] = np.array([0.42, 0.0]) + rng.uniform(-PART_OFFSET_M, PART_OFFSET_M, 2)
    half = rng.uniform(-PART_YAW_RAD, PART_YAW_RAD) / 2
    part.quat[:] = [np.cos(half), 0, 0, np.sin(half)]


def _place_nut(
    model: mujoco.MjModel, data: mujoco.MjData, side: str, rng: np.random.Generator
) -> None:
    feeder = model.body(f"{side}_feeder").pos
    half = rng.uniform(-NUT_YAW_RAD, NUT_YAW_RAD) / 2
    offset = rng.uniform(-NUT_OFFSET_M, NUT_OFFSET_M, 2)
    data.joint(f"{side}_nut").qpos[:] = [
        *(feeder[:2] + offset), feeder[2] + 1e-4, np.cos(half), 0, 0, np.sin(half),
    ]  # fmt: skip


def _draw_magnet(rng: np.random.Generator) -> Magnet:
    angle, radius = rng.uniform(0, 2 * np.pi), MAGNET_OFFSET_M * np.sqrt(rng.uniform())
    offset = radius * np.array([np.cos(angle), np.sin(angle)])
    return Magnet(strength_n=rng.uniform(*MAGNET_N), offset_m=offset)


def _draw_friction(model: mujoco.MjModel, rng: np.random.Generator) -> None:
    for side in SIDES:
        pads = [model.geom(f"{side}_pad_{pad}").id for pad in ("1a", "1b", "2a", "2b")]
        model.geom_friction[pads, 0] = rng.uniform(*PAD_FRICTION)
        pin = model.body(f"{side}_pin").id
        model.geom_friction[model.geom_bodyid == pin, 0] = rng.uniform(*PIN_FRICTION)


def _draw_appearance(model: mujoco.MjModel, rng: np.random.Generator) -> None:
    """Lights and colours. Paint marks and pins keep their colours: they are the parts' own."""
    lamp = model.light("lamp")
    lamp.pos[:] = np.array([0.3, 0.0, 1.4]) + rng.uniform(-0.4, 0.4, 3) * [1, 1, 0.5]
    lamp.diffuse[:] = rng.uniform(0.3, 0.6)
    model.vis.headlight.ambient[:] = rng.uniform(0.25, 0.45)
    for name in ("table", "part_floor"):
        model.geom(name).rgba[:3] = rng.uniform(0.3, 0.7) + rng.uniform(-0.06, 0.06, 3)
    model.geom("part_rib").rgba[:3] = model.geom("part_floor").rgba[:3] * 0.9
    feeder = rng.uniform(0.1, 0.6, 3)
    body = rng.uniform(0.4, 0.65)
    for side in SIDES:
        model.geom(f"{side}_feeder").rgba[:3] = feeder
        model.geom(f"{side}_nut_body").rgba[:3] = body


def _place_clutter(model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> None:
    """Two far boxes behind the part; a post a side that hides its nut from ego half the time.

    It is high and wide enough for the line of sight to the nut's far upper edge to end on it.
    """
    eye = model.cam("ego").pos[:2]
    for k, side in enumerate(SIDES):
        post, box = model.geom(f"clutter_{k}"), model.geom(f"clutter_{k + 2}")
        sign = 1 if side == "left" else -1
        nut = data.joint(f"{side}_nut").qpos[:2]
        hides = rng.uniform() < 0.5
        if hides:
            post.pos[:2] = nut + (eye - nut) / np.linalg.norm(eye - nut) * rng.uniform(0.05, 0.06)
        else:
            post.pos[:2] = [rng.uniform(0.12, 0.2), sign * rng.uniform(0.48, 0.6)]
        post.size[:] = [POST_M, POST_M, rng.uniform(*POST_HEIGHT_M) / 2]
        post.pos[2] = post.size[2]
        box.pos[:2] = [rng.uniform(0.56, 0.66), sign * rng.uniform(0.05, 0.45)]
        for geom in (post, box):
            geom.rgba[:3] = rng.uniform(0.1, 0.9, 3)
