"""The smallest body, data and recipe that train: two seconds, not two hours."""

from dataclasses import replace

import numpy as np
import torch

from takt.policies.xr0.config import XR0_POSTTRAIN, DiTConfig
from takt.policies.xr0.model import XR0
from takt.policies.xr0.presets import nano
from takt.policies.xr0.processor import XR0Processor
from takt.policies.xr0.tokenizer import build_tokenizer
from takt.training.batches import Batch, Batcher
from takt.training.flow_objective import RELEASED
from takt.training.frame_questions import FrameQuestions
from takt.training.frames import Frames, stack_episodes
from takt.training.loop import LoopConfig
from takt.training.mixture import CoTraining
from takt.training.pipeline import Grounding, TrainingConfig, build_stage, fit
from takt.training.stage import Source, Stage
from takt.training.vision_language import Conversations, VisionLanguage
from takt.transforms.actions import ActionTransform
from takt.transforms.slots import Slots
from takt.transforms.states import StateTransform
from takt.types import ActionSpace, CameraSpec, EmbodimentSpec, Episode, Mirror

PX = 32
POINTS_KEY = "annotation.points"
PLAN_KEY = "annotation.plan"
HORIZON = 4
AXES = ("left_turn", "left_jaw", "right_turn", "right_jaw")
BODY = EmbodimentSpec(
    name="tiny",
    rate_hz=10.0,
    cameras=tuple(
        CameraSpec(name=name, view=f"{name.title()} View", height=PX, width=PX)
        for name in ("front", "left", "right")
    ),
    action_space=ActionSpace(
        names=AXES,
        units=("rad", "m") * 2,
        low=np.full(4, -2, np.float32),
        high=np.full(4, 2, np.float32),
    ),
    slots=(3, 6, 9, 1),
    relative=(True, False, True, False),
    instruction="Wave.",
    mirror=Mirror(axes=(2, 3, 0, 1), signs=(-1.0, 1.0, -1.0, 1.0), cameras=(0, 2, 1)),
)
LOOP = LoopConfig(steps=4, batch_size=4, warmup=2, save_every_s=-1.0)  # saves at every step
_NANO = nano(replace(XR0_POSTTRAIN, max_prefix=2), image_px=PX)
MODEL = replace(
    _NANO,
    text=replace(
        _NANO.text,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        intermediate_size=48,
        mrope_section=(4, 2, 2),
    ),
    vision=replace(_NANO.vision, hidden_size=32, depth=1, num_heads=2, intermediate_size=48),
    dit=DiTConfig(hidden_size=32, num_hidden_layers=2, head_dim=16),
)
CONFIG = TrainingConfig(
    model=MODEL,
    horizon=HORIZON,
    execute=2,
    candidates=2,
    draws=2,
    grounding=Grounding(key=POINTS_KEY, points_per_view=2, mirror=(1, 0, 4, 5, 2, 3)),
    plan_key=None,
    choice=LOOP,
    expert=LOOP,
    post=LOOP,
    refine=LOOP,
)


def episode(seed: int, ticks: int = 12) -> Episode:
    """Random images and points, a random walk of the axes."""
    rng = np.random.default_rng(seed)
    stamps = np.arange(ticks) / BODY.rate_hz
    walk = np.cumsum(rng.normal(0, 0.05, (ticks + 1, len(AXES))), axis=0).astype(np.float32)
    return Episode(
        embodiment=BODY.name,
        instruction=BODY.instruction,
        rate_hz=BODY.rate_hz,
        stamps=stamps,
        images={
            camera.name: rng.integers(0, 256, (ticks, PX, PX, 3)).astype(np.uint8)
            for camera in BODY.cameras
        },
        image_stamps={camera.name: stamps for camera in BODY.cameras},
        state=walk[:-1],
        actions=walk[1:],
        extras={POINTS_KEY: rng.uniform(-1, 1, (ticks, 12)).astype(np.float32)},
    )


def frames(plan_key: str | None = None) -> Frames:
    """Two episodes of 12 ticks."""
    return stack_episodes([episode(0), episode(1)], BODY, POINTS_KEY, plan_key)


def batcher(*data: Frames, fitted: Frames | None = None, body: EmbodimentSpec = BODY) -> Batcher:
    """Batches of `data` as the pipeline makes them, with its own or `fitted`'s statistics."""
    known = fit([fitted or data[0]], body, CONFIG)
    return Batcher(
        data,
        body,
        XR0Processor(MODEL, build_tokenizer(), [camera.view for camera in body.cameras]),
        ActionTransform.of(body, known.action),
        StateTransform(Slots(body.slots, MODEL.state_dim), known.state),
        CONFIG.grounding.mirror,
    )


def batch(batches: Batcher, data: Frames, rows: np.ndarray, mirrored: np.ndarray) -> Batch:
    """The frames `rows` of `data` as a batch."""
    return batches.batch(data.take(rows, HORIZON), mirrored)


def stage(name: str, batches: Batcher) -> Stage:
    """A stage around a fresh policy, always the same weights; "released" is post-training so."""
    torch.manual_seed(0)
    config = replace(CONFIG, objective=RELEASED) if name == "released" else CONFIG
    return build_stage(name, XR0(MODEL), config, BODY)


def course(name: str) -> tuple[Stage, Source]:
    """A stage and its batches: "choice" has conversations beside it, "words" has nothing else."""
    data = frames()
    batches = batcher(data)
    talk = Conversations(FrameQuestions([data], ("cup", "plate")), MODEL, build_tokenizer())
    if name == "words":
        torch.manual_seed(0)
        return VisionLanguage(XR0(MODEL)), talk
    return stage(name, batches), CoTraining(batches, talk, 2) if name == "choice" else batches


def largest_difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Of any weight of two stages."""
    assert a.keys() == b.keys()
    return max((a[name] - b[name]).abs().max().item() for name in a)
