"""A pointer over a table of coloured blocks: the smallest body that must understand a word."""

import numpy as np

from takt.types import ActionSpace, CameraSpec, EmbodimentSpec

IMAGE_PX = 64

SPEC = EmbodimentSpec(
    name="blocks",
    rate_hz=10.0,
    cameras=(CameraSpec(name="table", view="Base View", height=IMAGE_PX, width=IMAGE_PX),),
    action_space=ActionSpace(
        names=("x", "y"),
        units=("1", "1"),  # shares of the table, from the top left corner
        low=np.zeros(2, np.float32),
        high=np.ones(2, np.float32),
    ),
    slots=(0, 1),
    relative=(False, False),
    instruction="Reach the red block.",
)
