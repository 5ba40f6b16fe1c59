"""Post-training of a checkpoint on a user's own body and data (paper section 2.3)."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from takt.datasets.atomic import write_atomically
from takt.datasets.body import BodyEpisodes
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.vision_language_set import VisionLanguageSet
from takt.embodiments import load_embodiment
from takt.policies.xr0.checkpoint import (
    BodyStatistics,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from takt.policies.xr0.config import CONTRACTS
from takt.policies.xr0.lora import add_adapters, merge_adapters
from takt.policies.xr0.model import XR0
from takt.policies.xr0.released_config import MissingContractError
from takt.policies.xr0.weights import read_weights
from takt.training.batches import Batch, Batcher
from takt.training.body_statistics import fit_body, require_alive
from takt.training.engine import ENGINES
from takt.training.finetune_config import FinetuneConfig
from takt.training.flow_objective import OBJECTIVES, trained_contract
from takt.training.flow_training import FlowTraining
from takt.training.frame_cache import fitted_frames, held_out_frames, hold_out
from takt.training.frames import Frames
from takt.training.loop import LoopConfig, StepReport, train_stage
from takt.training.measures import NOTHING, Measures
from takt.training.mixture import CoTraining
from takt.training.model_size import is_small, save_every_s
from takt.training.parallel import device, on_first_rank, rank, world_size
from takt.training.shards import Shard
from takt.training.stage import Source
from takt.training.validation import BATCH, open_loop_error
from takt.training.vision_language import Conversations, open_conversations, share_skipped
from takt.transforms.actions import ActionTransform
from takt.types import EmbodimentSpec, TaktError

STAGE = "finetune"
TRAINED_FRAMES = 64  # of those trained on, measured beside the held-out ones
_ADAPTER_RATE = 5.0  # adapters start at 0 and bear a higher rate than the weights they change
_LARGEST_RAW_STATE = 100.0  # radians and metres stay below; degrees do not


class FineTuning(FlowTraining):
    """Flow matching over whatever of the policy is not frozen."""

    def trainable(self) -> list[nn.Parameter]:
        """Adapters alone, where there are any."""
        return [parameter for parameter in super().trainable() if parameter.requires_grad]


def finetune(
    config: FinetuneConfig,
    body: Path,
    data: Path,
    init: Path,
    out: Path,
    report: Callable[[StepReport], None],
    begin: Callable[[], None] = lambda: None,
    measures: Measures = NOTHING,
) -> None:
    """Train `init` on `data` on this rank; the first writes `out/policy`, `out/validation.json`.

    The first rank calls `begin` before the first step, once nothing asked for can be refused.
    `measures` look at the episodes held out.

    Raises:
        TaktError: The body's file does not fit the data, the data is too little or does not move
            an axis, or there is no checkpoint.
    """
    spec = load_embodiment(body)
    source = BodyEpisodes.of(LeRobotDataset.open(data), spec)
    episodes, held_out = hold_out(len(source), config.validation, config.seed)
    require_frames(source, episodes, config.batch)
    Shard(rank(), world_size()).rows(config.batch)
    checkpoint = open_start(init, config)
    read = out / "frames", checkpoint.model.config
    trained_on = fitted_frames(source, episodes, *read, skip_bad=config.skip_bad)
    unseen, unread = held_out_frames(source, held_out, *read, skip_bad=config.skip_bad)
    frames = trained_on.frames
    checkpoint.bodies[spec.name] = _statistics(checkpoint, frames, spec, config)
    batcher = Batcher.of(checkpoint, spec, [frames])
    words = open_conversations(config.conversations, checkpoint, skip_bad=config.skip_bad)
    if words is not None:
        checkpoint = replace(checkpoint, has_words=True)
    on_first_rank(begin)
    measures = replace(measures, held_out=unseen)
    _train(checkpoint, batcher, words, config, out, report, measures, spec)

    def finish() -> None:
        save_checkpoint(out / "policy", checkpoint, stored_dtype(init))
        result: dict[str, object] = {"episodes": list(held_out)}
        result["damaged_episodes"] = [*trained_on.damaged, *unread]
        if words is not None:
            result["damaged_conversations"] = len(words.skipped)
            result["left_out_conversations"] = words.left_out()
        result |= _errors(checkpoint, batcher, frames, unseen, spec, config)
        write_atomically(out / "validation.json", (json.dumps(result, indent=1) + "\n").encode())

    on_first_rank(finish)


def _errors(
    checkpoint: Checkpoint,
    batcher: Batcher,
    frames: Frames,
    unseen: Frames | None,
    spec: EmbodimentSpec,
    config: FinetuneConfig,
) -> dict[str, object]:
    """Open-loop errors of the trained weights, on held-out frames and on those trained on."""
    actions = ActionTransform.of(spec, checkpoint.body(spec.name).action)
    model = checkpoint.model.to(device())
    batch = max(1, min(BATCH, config.batch // world_size()))
    measure = partial(
        open_loop_error, model, batcher, actions=actions, seed=config.seed, batch=batch
    )
    result: dict[str, object] = {} if unseen is None else measure(unseen).to_json(spec)
    trained = measure(frames, limit=TRAINED_FRAMES).to_json(spec)
    return result | {"trained_error_by_step_std": trained["error_by_step_std"]}


def require_frames(source: BodyEpisodes, episodes: Sequence[int], batch: int) -> None:
    """Raise unless the episodes have a batch of frames."""
    frames = sum(source.length(index) for index in episodes)
    if frames < batch:
        raise TaktError(
            f"{source.dataset.metadata.root}: expected at least one batch of {batch} frames to "
            f"train on, got {frames} in {len(episodes)} episodes (others are held out); record "
            "more, or choose a smaller --batch or --validation 0"
        )


def open_start(init: Path, config: FinetuneConfig) -> Checkpoint:
    """The checkpoint to start from, under the config's contract and image sizes."""
    if not init.is_dir():
        raise TaktError(
            f"expected the folder of a checkpoint (config.json, weights, tokenizer.json), got "
            f"{init}; leave --init out to start from the shipped one"
        )
    contract = CONTRACTS[config.contract] if config.contract else None
    # Frozen weights need no more bits than they are stored with; whatever learns has float32.
    frozen = config.lora is not None or config.freeze == "vlm"
    dtype = torch.bfloat16 if frozen and stored_dtype(init) == torch.bfloat16 else torch.float32
    try:
        checkpoint = load_checkpoint(init, dtype=dtype)
    except MissingContractError as error:
        if contract is None:
            raise TaktError(
                f"{init}/config.json does not say how the action tokens are treated: pass "
                "--contract hf_release for a released checkpoint, --contract xr0_posttrain for "
                "one of the released trainer"
            ) from error
        checkpoint = load_checkpoint(init, contract, dtype=dtype)
    model = checkpoint.model
    contract = contract or model.config.contract
    if config.lora is None:
        for name, part in model.named_children():
            if name != "vlm" or config.freeze != "vlm":
                part.float()
    model.config = replace(
        model.config,
        contract=trained_contract(contract, OBJECTIVES[config.objective]),
        image_pixels=config.image_pixels or model.config.image_pixels,
    )
    return checkpoint


def stored_dtype(init: Path) -> torch.dtype:
    """Of a checkpoint's weights."""
    return next(iter(read_weights(init).values())).dtype


def choose_horizon(
    config: FinetuneConfig, spec: EmbodimentSpec, known: BodyStatistics | None, max_prefix: int
) -> tuple[int, int]:
    """T and T_e: as asked, else as the checkpoint knows the body, else 1 s and half of it."""
    own = known.action.horizon if known else max(round(spec.rate_hz), max_prefix + 2)
    horizon = config.horizon or own
    same = known is not None and known.action.horizon == horizon
    execute = config.execute or (known.execute_horizon if known and same else horizon // 2 or 1)
    if not 0 < execute <= horizon or max_prefix >= horizon:
        raise TaktError(
            f"expected 0 < T_e <= T and a prefix shorter than T, got T_e={execute}, T={horizon} "
            f"and prefixes of up to {max_prefix}; change --horizon or --execute, or choose "
            "--objective synchronous, which trains no prefix"
        )
    return horizon, execute


def _statistics(
    checkpoint: Checkpoint, frames: Frames, spec: EmbodimentSpec, config: FinetuneConfig
) -> BodyStatistics:
    """Fitted; a body that the checkpoint knows keeps its own, which its weights were made for."""
    model, known = checkpoint.model.config, checkpoint.bodies.get(spec.name)
    horizon, execute = choose_horizon(config, spec, known, model.contract.max_prefix)
    others = checkpoint.bodies.values()
    raw = bool(others) and all(body.state is None for body in others)
    largest = float(np.abs(frames.state).max())
    if raw and largest > _LARGEST_RAW_STATE:
        raise TaktError(
            f"expected a state in radians and metres, which this checkpoint takes as it is, got "
            f"{largest:.0f}; convert the state of the data"
        )
    if known is not None and known.action.horizon == horizon:
        statistics = replace(known, execute_horizon=execute)
    else:
        statistics = fit_body(
            [frames], spec, model, horizon=horizon, execute=execute, raw_state=raw
        )
    require_alive(statistics, spec)
    return statistics


def _train(
    checkpoint: Checkpoint,
    batcher: Batcher,
    words: VisionLanguageSet | None,
    config: FinetuneConfig,
    out: Path,
    report: Callable[[StepReport], None],
    measures: Measures,
    spec: EmbodimentSpec,
) -> None:
    """Leave the trained weights in the checkpoint's model, adapters merged."""
    model = checkpoint.model.train()
    frozen = "vlm" if config.freeze == "vlm" else "nothing"
    loop = _loop(config, model)
    if config.lora is not None:
        torch.manual_seed(config.seed)
        add_adapters(model, config.lora, skip="vlm." if config.freeze == "vlm" else None)
    engine = ENGINES[config.engine](recompute=config.recompute)
    stage = FineTuning(
        model,
        draws=config.draws,
        frozen=frozen,
        objective=OBJECTIVES[config.objective],
    )
    source: Source[Batch] = batcher
    if words is not None:
        talk = Conversations(words.draw, model.config, checkpoint.tokenizer)
        source = CoTraining(batcher, talk, config.frames_per_conversation)
    checks = measures.checks(STAGE, stage, batcher, checkpoint, spec, loop)
    train_stage(stage, source, loop, out / STAGE, report, engine, checks)
    share_skipped(words)
    if config.lora is not None:
        merge_adapters(model)
    model.eval()


def _loop(config: FinetuneConfig, model: XR0) -> LoopConfig:
    small = is_small(model.config)
    rate = (4e-4 if small else 1e-4) * (1 if config.lora is None else _ADAPTER_RATE)
    return LoopConfig(
        steps=config.steps,
        batch_size=config.batch,
        lr=config.lr or rate,
        warmup=min(100, max(1, config.steps // 10)),
        bf16=True,
        seed=config.seed,
        save_every_s=save_every_s(small),
    )
