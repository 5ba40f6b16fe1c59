"""A recipe's stages, planned."""

import warnings
from dataclasses import replace

import numpy as np
import torch

from takt.policies.xr0.cache import PromptInputs
from takt.policies.xr0.config import XR0Config
from takt.policies.xr0.conversation import Dialogues, dialogues
from takt.policies.xr0.presets import OWN_TOKEN_IDS, preset_or_file
from takt.policies.xr0.processor import XR0Processor
from takt.policies.xr0.tokenizer import build_tokenizer
from takt.training.batches import Batch
from takt.training.engine import Replicated, Sharded
from takt.training.flow_objective import ReleasedPrefix
from takt.training.frame_questions import FrameQuestions
from takt.training.frames import Frames
from takt.training.mixture import conversations_beside
from takt.training.pipeline import TrainingConfig, build_stage
from takt.training.plan_config import PlanConfig
from takt.training.planner import PlannedEngine, StagePlan, plan_stage
from takt.training.planner_trace import ShapedXR0
from takt.training.stage import Stage
from takt.training.vision_language import DialogueBatch
from takt.types import Conversation, EmbodimentSpec, TaktError

META = torch.device("meta")


def plan_recipe(
    config: TrainingConfig,
    spec: EmbodimentSpec,
    asked: PlanConfig,
    names: tuple[str, ...],
    conversation: Conversation | None = None,
) -> list[StagePlan]:
    """The stages `names` of a recipe on one body, as `asked`.

    Beside the frames of a co-trained stage `conversation`, a long one of those that it is trained
    on; None where there are none.

    Raises:
        TaktError: GPUs that do not divide a batch.
    """
    if asked.preset is not None:
        config = replace(config, model=preset_or_file(asked.preset, config.model.contract))
    engine: PlannedEngine = Replicated(recompute=asked.recompute)
    if asked.engine == "sharded" and asked.gpus > 1:
        engine = Sharded(recompute=asked.recompute, replicas=asked.replicas)
    plans = []
    for name in names:
        loop = getattr(config, name)
        size = asked.micro_batch or samples_per_gpu(loop.batch_size, asked.gpus)
        words = None
        if conversation is not None and name in config.co_trained:
            every, ranks = config.frames_per_conversation, asked.gpus
            count = -(-conversations_beside(size * ranks, ranks, every) // ranks)
            words = blank_dialogues(config.model, conversation, count, META)
        stage, batch = on_meta(name, config, spec, size, words)
        plans.append(plan_stage(name, stage, batch, engine, asked.gpus, bf16=loop.bf16))
    return plans


def samples_per_gpu(batch: int, gpus: int) -> int:
    """Share of one GPU.

    Raises:
        TaktError: It is not whole.
    """
    if batch % gpus:
        raise TaktError(f"expected GPUs that divide a batch of {batch}, got {gpus}")
    return batch // gpus


def on_meta(
    name: str,
    config: TrainingConfig,
    spec: EmbodimentSpec,
    size: int,
    conversations: DialogueBatch | None = None,
) -> tuple[Stage, Batch]:
    """A stage of the recipe and a batch of `size` samples, on the meta device."""
    # The spectrum's length follows the prefix's, which has no value here; it weighs nothing.
    # Every batch has a prefix, so that what is done for those that do is planned.
    prefix = config.objective.prefix and ReleasedPrefix(probability=1.0)
    config = replace(config, objective=replace(config.objective, frequency=None, prefix=prefix))
    with META, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
        stage = build_stage(name, ShapedXR0(config.model), config, spec)
    batch = blank_batch(config, spec, size, META)
    return stage, replace(batch, conversations=conversations)


def blank_batch(
    config: TrainingConfig, spec: EmbodimentSpec, size: int, device: torch.device
) -> Batch:
    """Black images; prompts as long as takt's own tokenizer makes them, a bit over Qwen's."""
    views = [camera.view for camera in spec.cameras]
    images = [np.zeros((1, c.height, c.width, 3), np.uint8) for c in spec.cameras]
    model, points = config.model, len(views) * config.grounding.points_per_view
    processor = XR0Processor(replace(model, token_ids=OWN_TOKEN_IDS), build_tokenizer(), views)
    one = processor(images, [spec.instruction])
    return Batch(
        inputs=_alike(one, size, device),
        state=torch.zeros(size, model.state_length, model.state_dim, device=device),
        actions=torch.zeros(size, config.horizon, model.action_dim, device=device),
        valid=torch.ones(size, config.horizon, dtype=torch.bool, device=device),
        points=torch.zeros(size, points, 2, device=device),
        action_mask=torch.ones(1, config.horizon, model.action_dim, device=device),
    )


def blank_dialogues(
    model: XR0Config, conversation: Conversation, count: int, device: torch.device
) -> DialogueBatch:
    """`conversation` `count` times, with the mask of conversations that differ in length."""
    one = dialogues([conversation], replace(model, token_ids=OWN_TOKEN_IDS), build_tokenizer())
    inputs = _alike(one.inputs, count, device)
    if count > 1:
        mask = torch.ones_like(inputs.input_ids, dtype=torch.bool)
        inputs = replace(inputs, attention_mask=mask)
    # What is spoken stays here: where the first answer begins is asked of its values.
    return DialogueBatch(Dialogues(inputs, one.spoken.repeat(count, 1)))


def long_conversation(config: TrainingConfig, spec: EmbodimentSpec) -> Conversation:
    """Questions whose points are all out of view: to say so takes takt's tokenizer most tokens."""
    unseen = np.full((1, len(config.grounding.names), 2), 2.0)
    return blank_questions(config, spec, unseen)(np.random.default_rng(0))


def blank_questions(
    config: TrainingConfig, spec: EmbodimentSpec, points: np.ndarray
) -> FrameQuestions:
    """Those of a recipe that names `points` (N, P, 2), over N black frames."""
    count, camera = len(points), spec.cameras[0]
    nothing = np.zeros((count, 0), np.float32)
    frames = Frames(
        images=np.zeros((count, 1, camera.height, camera.width, 3), np.uint8),
        sizes=np.array([[camera.height, camera.width]]),
        state=nothing,
        actions=nothing,
        points=points,
        plans=nothing[:, None],
        last=np.arange(count),
        instructions=np.full(count, ""),
    )
    return FrameQuestions([frames], config.grounding.names)


def _alike(one: PromptInputs, size: int, device: torch.device) -> PromptInputs:
    """A prompt `size` times; moved first, since on the meta device copies take no memory."""
    there = one.to(device)
    return PromptInputs(
        input_ids=there.input_ids.repeat(size, 1),
        attention_mask=None,
        pixel_values=there.pixel_values.repeat(size, 1),
        image_grid_thw=one.image_grid_thw.repeat(size, 1),
        position_ids=there.position_ids.repeat(1, size, 1),
    )
