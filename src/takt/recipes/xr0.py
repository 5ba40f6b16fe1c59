"""The paper's recipe at 4.7 B. Its data is not public: this run can be planned, not started."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from takt.embodiments.nut_station.spec import SPEC as STATION
from takt.types import Conversation, EmbodimentSpec, Turn

if TYPE_CHECKING:
    from takt.training.pipeline import TrainingConfig

IMAGE_PX = 256  # the paper gives no size; the released evaluations use 200 to 320

SPEC: EmbodimentSpec = replace(
    STATION,
    name="bimanual",
    cameras=tuple(replace(c, height=IMAGE_PX, width=IMAGE_PX) for c in STATION.cameras),
    mirror=None,
)
"""Two arms and three cameras, as the paper's robot has them."""


def xr0() -> "TrainingConfig":
    """Steps and batches of the paper (Lego post-training); rates of the released trainer."""
    from takt.policies.xr0.config import XR0_POSTTRAIN
    from takt.policies.xr0.presets import xr0_4_7b
    from takt.training.flow_objective import PAPER
    from takt.training.loop import LoopConfig
    from takt.training.pipeline import Grounding, TrainingConfig

    pretraining = LoopConfig(
        steps=40_000, batch_size=32_768, lr=1e-4, warmup=2000, weight_decay=0.1, bf16=True
    )
    return TrainingConfig(
        model=xr0_4_7b(XR0_POSTTRAIN),
        horizon=30,
        execute=15,
        candidates=4,  # not stated
        draws=4,
        grounding=Grounding(key="", points_per_view=0, mirror=()),
        plan_key=None,
        choice=pretraining,
        expert=pretraining,
        post=replace(pretraining, batch_size=2048),
        refine=replace(pretraining, batch_size=2048),
        objective=PAPER,
    )


def conversation() -> Conversation:
    """How much a conversation beside stage 1 is taken to hold: the paper tells no sizes.

    One image of as many pixels as the model looks at, a question and a paragraph.
    """
    question, answer = " ".join(["what"] * 32), " ".join(["that"] * 64)
    image = np.zeros((300, 300, 3), np.uint8)
    return Conversation(images=(image,), turns=(Turn(question, answer),))
