"""What SimplerEnv plays: every configuration of every task, as its published scripts have them.

Poses, grids and variants are those of `scripts/rt1_*_{visual_matching,variant_agg}.sh` and
`octo_bridge.sh` in simpler-env/SimplerEnv; the counts agree with reference simulators.md, section 5
(Visual Matching 300, 240, 108, 108, 108; Variant Aggregation 825, 600, 189, 189, 189; WidowX 24).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

Protocol = Literal["vm", "va", "widowx"]
Robot = Literal["google", "widowx"]

CAN_STAGE = "google_pick_coke_can_1_v4"
DRAWERS = ("Top", "Middle", "Bottom")
# Colours of the robot's arm that Visual Matching averages over.
_URDFS = (
    None,
    "recolor_tabletop_visual_matching_1",
    "recolor_tabletop_visual_matching_2",
    "recolor_cabinet_visual_matching_1",
)
_CANS = ("lr_switch", "upright", "laid_vertically")
_TABLES = tuple(f"Baked_sc1_staging_objaverse_cabinet{n}_h870" for n in (1, 2))
_BACKGROUNDS = tuple(f"{CAN_STAGE}_alt_background{n}" for n in ("", "_2"))
_LIGHTS = ("slightly_darker_lighting", "slightly_brighter_lighting")
# Where the robot stands before the cabinet: x, y (m) and yaw (rad) of each overlay photo.
_STANDS = {
    **{"a0": (0.644, -0.179, -0.03), "a1": (0.765, -0.182, -0.02), "a2": (0.889, -0.203, -0.06)},
    **{"b0": (0.652, 0.009, 0.0), "b1": (0.752, 0.009, 0.0), "b2": (0.851, 0.035, 0.0)},
    **{"c0": (0.665, 0.224, 0.0), "c1": (0.765, 0.222, -0.025), "c2": (0.865, 0.222, -0.025)},
}
_ROOM = "frl_apartment_stage_simple"
_ROOMS: tuple[tuple[str, dict[str, str]], ...] = (
    (_ROOM, {}),
    *(("modern_bedroom_no_roof", {}), ("modern_office_no_roof", {})),
    *((_ROOM, {"light_mode": mode}) for mode in ("brighter", "darker")),
    *((_ROOM, {"station_name": station}) for station in ("mk_station2", "mk_station3")),
)
_VM_CABINET = {
    "station_name": "mk_station_recolor",
    "light_mode": "simple",
    "disable_bad_material": True,
}

Place = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One beginning of one task.

    Attributes:
        environment: Its id in gymnasium.
        robot: Which; `robot_uid` names its variant.
        scene: Name of the stage; those with `dummy` in it need no file.
        options: What else the environment is built with.
        overlay: File name of the photo behind the scene, none in Variant Aggregation.
        stand: x, y (m) and yaw (rad) of the robot.
        place: x, y (m) of the object; or the number of an arrangement.
        ray_traced: Published with SAPIEN's ray tracing, which needs a GPU.
        max_steps: Of an episode.
    """

    environment: str
    robot: Robot = "google"
    robot_uid: str = "google_robot_static"
    scene: str = CAN_STAGE
    options: tuple[tuple[str, str | bool | None], ...] = ()
    overlay: str | None = None
    stand: tuple[float, float, float] = (0.35, 0.20, 0.0)
    place: Place | int = (0.0, 0.0)
    ray_traced: bool = False
    max_steps: int = 80

    @property
    def name(self) -> str:
        """Tells it from every other of its task."""
        options = ",".join(f"{key}={value}" for key, value in self.options)
        stand = "{:g},{:g},{:g}".format(*self.stand)
        place = self.place if isinstance(self.place, int) else "{:g},{:g}".format(*self.place)
        return f"{self.environment}/{self.scene}/{options}/robot {stand}/object {place}"

    @property
    def stage(self) -> str | None:
        """File name of the stage, None where a plain floor is built."""
        return None if "dummy" in self.scene else f"{self.scene}.glb"


def configurations(protocol: Protocol, task: str) -> list[Configuration]:
    """Those of a task, always in the same order."""
    return list(_PROTOCOLS[protocol][task]())


def tasks(protocol: Protocol) -> list[str]:
    """Names of what `protocol` plays."""
    return list(_PROTOCOLS[protocol])


def _grid(x: tuple[float, float, int], y: tuple[float, float, int]) -> list[Place]:
    return [(float(a), float(b)) for a in np.linspace(*x) for b in np.linspace(*y)]


_CAN_PLACES = _grid((-0.35, -0.12, 5), (-0.02, 0.42, 5))
_APPLE_PLACES = _grid((-0.08, -0.02, 3), (-0.02, 0.08, 3))


def _cans(
    options: Mapping[str, str | bool | None],
    *,
    scene: str = CAN_STAGE,
    overlay: str | None = None,
    variant: str = "",
) -> Iterator[Configuration]:
    """Three ways of lying by 25 places."""
    for lies, place in product(_CANS, _CAN_PLACES):
        yield Configuration(
            environment=f"GraspSingleOpenedCokeCan{variant}InScene-v0",
            scene=scene,
            options=((lies, True), *options.items()),
            overlay=overlay,
            place=place,
        )


def _vm_can() -> Iterator[Configuration]:
    for urdf in _URDFS:
        yield from _cans({"urdf_version": urdf}, overlay="google_coke_can_real_eval_1.png")


def _va_can() -> Iterator[Configuration]:
    yield from _cans({})
    for scene in _TABLES:
        yield from _cans({}, scene=scene)
    yield from _cans({}, variant="Distractor")
    yield from _cans({"distractor_config": "more"}, variant="Distractor")
    for scene in _BACKGROUNDS:
        yield from _cans({}, scene=scene)
    for light in _LIGHTS:
        yield from _cans({light: True})
    for camera in ("AltGoogleCamera", "AltGoogleCamera2"):
        yield from _cans({}, variant=camera)


def _near(
    environment: str,
    options: Mapping[str, str | bool | None],
    *,
    scene: str = CAN_STAGE,
    overlay: str | None = None,
) -> Iterator[Configuration]:
    """60 arrangements."""
    for arrangement in range(60):
        yield Configuration(
            environment=f"MoveNear{environment}InScene-v0",
            scene=scene,
            options=tuple(options.items()),
            overlay=overlay,
            stand=(0.35, 0.21, -0.09),
            place=arrangement,
        )


def _vm_near() -> Iterator[Configuration]:
    photo = "google_move_near_real_eval_1.png"
    for urdf in _URDFS:
        yield from _near("GoogleBakedTex", {"urdf_version": urdf}, overlay=photo)


def _va_near() -> Iterator[Configuration]:
    yield from _near("Google", {})
    yield from _near("Google", {"no_distractor": True})
    for scene in _BACKGROUNDS:
        yield from _near("Google", {}, scene=scene)
    for light in _LIGHTS:
        yield from _near("Google", {light: True})
    for scene in _TABLES:
        yield from _near("Google", {}, scene=scene)
    for camera in ("AltGoogleCamera", "AltGoogleCamera2"):
        yield from _near(camera, {})


def _vm_drawer(verb: str) -> Iterator[Configuration]:
    for urdf, drawer, (photo, stand) in product(_URDFS, DRAWERS, _STANDS.items()):
        yield Configuration(
            environment=f"{verb}{drawer}DrawerCustomInScene-v0",
            scene="dummy_drawer",
            options=(*_VM_CABINET.items(), ("urdf_version", urdf)),
            overlay=f"open_drawer_{photo}.png",
            stand=stand,
            ray_traced=True,
            max_steps=113,
        )


def _va_drawer(verb: str) -> Iterator[Configuration]:
    stands = _grid((0.65, 0.85, 3), (-0.2, 0.2, 3))
    for (scene, options), drawer, (x, y) in product(_ROOMS, DRAWERS, stands):
        yield Configuration(
            environment=f"{verb}{drawer}DrawerCustomInScene-v0",
            scene=scene,
            options=tuple(options.items()),
            stand=(x, y, 0.0),
            ray_traced=True,
            max_steps=113,
        )


def _vm_put() -> Iterator[Configuration]:
    for urdf, photo, place in product(_URDFS, ("a0", "b0", "c0"), _APPLE_PLACES):
        yield Configuration(
            environment="PlaceIntoClosedTopDrawerCustomInScene-v0",
            scene="dummy_drawer",
            options=(
                *_VM_CABINET.items(),
                *(("urdf_version", urdf), ("model_ids", "baked_apple_v2")),
            ),
            overlay=f"open_drawer_{photo}.png",
            stand=_STANDS[photo],
            place=place,
            ray_traced=True,
            max_steps=200,
        )


def _va_put() -> Iterator[Configuration]:
    stands = _grid((0.65, 0.65, 1), (-0.2, 0.2, 3))
    for (scene, options), (x, y), place in product(_ROOMS, stands, _APPLE_PLACES):
        yield Configuration(
            environment="PlaceIntoClosedTopDrawerCustomInScene-v0",
            scene=scene,
            options=(*options.items(), ("model_ids", "apple")),
            stand=(x, y, 0.0),
            place=place,
            ray_traced=True,
            max_steps=200,
        )


def _bridge(environment: str, *, sink: bool = False) -> Iterator[Configuration]:
    """24 arrangements."""
    for arrangement in range(24):
        yield Configuration(
            environment=environment,
            robot="widowx",
            robot_uid="widowx_sink_camera_setup" if sink else "widowx",
            scene="bridge_table_1_v2" if sink else "bridge_table_1_v1",
            overlay="bridge_sink.png" if sink else "bridge_real_eval_1.png",
            stand=(0.127, 0.06, 0.0) if sink else (0.147, 0.028, 0.0),
            place=arrangement,
            max_steps=120 if sink else 60,
        )


_PROTOCOLS = {
    "vm": {
        "pick_coke_can": _vm_can,
        "move_near": _vm_near,
        "open_drawer": lambda: _vm_drawer("Open"),
        "close_drawer": lambda: _vm_drawer("Close"),
        "put_in_drawer": _vm_put,
    },
    "va": {
        "pick_coke_can": _va_can,
        "move_near": _va_near,
        "open_drawer": lambda: _va_drawer("Open"),
        "close_drawer": lambda: _va_drawer("Close"),
        "put_in_drawer": _va_put,
    },
    "widowx": {
        "carrot_on_plate": lambda: _bridge("PutCarrotOnPlateInScene-v0"),
        "eggplant_in_basket": lambda: _bridge("PutEggplantInBasketScene-v0", sink=True),
        "spoon_on_towel": lambda: _bridge("PutSpoonOnTableClothInScene-v0"),
        "stack_cube": lambda: _bridge("StackGreenCubeOnYellowCubeBakedTexInScene-v0"),
    },
}
