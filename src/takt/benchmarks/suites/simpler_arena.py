"""A plain table in place of SimplerEnv's stages, where their files are missing."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

_HELPER = "_load_arena_helper"
# Centre and half sizes of the table's top, m; the extent is a guess (simulators.md, section 5):
# WidowX stands on its table, the Google robot's reaches up to where its base begins.
_TABLES = {
    "widowx": ((-0.1, 0.0), (0.7, 0.8)),
    "google": ((-0.375, 0.2), (0.375, 1.0)),
}
_THICKNESS, _FLOOR = 0.05, 0.05
_WOOD, _GREY = (0.66, 0.47, 0.31), (0.4, 0.4, 0.4)


class Room(Protocol):
    """What of ManiSkill2_real2sim's `CustomSceneEnv` is used."""

    _scene: Any
    scene_name: str | None
    robot_uid: str
    scene_table_height: float
    arena: object


def use_box_arena(environments: type, pose: Callable[[list[float]], object]) -> None:
    """Let `CustomSceneEnv` build a table and a floor of boxes where it would load a stage.

    Boxes are primitive shapes: objects fell through tables that were loaded as meshes.

    Args:
        environments: The class `CustomSceneEnv`, which is changed.
        pose: `sapien.core.Pose`.
    """
    original = getattr(environments, _HELPER)

    def load(self: Room, add_collision: bool = True) -> None:
        if self.scene_name is not None and "dummy" in self.scene_name:
            original(self, add_collision)
            return
        builder = self._scene.create_actor_builder()
        boxes = [((0.0, 0.0, -_FLOOR / 2), (10.0, 10.0, _FLOOR / 2), _GREY)]
        if add_collision:  # without, it is the floor of a room: its cabinet is loaded apart
            boxes.append((*_table(self.robot_uid, self.scene_table_height), _WOOD))
        for centre, half, colour in boxes:
            place, size = pose(list(centre)), np.array(half)
            builder.add_box_visual(pose=place, half_size=size, color=list(colour))
            if add_collision:
                builder.add_box_collision(pose=place, half_size=size)
        self.arena = builder.build_static(name="arena")

    setattr(environments, _HELPER, load)


def _table(
    robot_uid: str, height: float
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Centre and half sizes of a table whose top is at `height`."""
    (x, y), (half_x, half_y) = _TABLES["widowx" if "widowx" in robot_uid else "google"]
    return (x, y, height - _THICKNESS / 2), (half_x, half_y, _THICKNESS / 2)
