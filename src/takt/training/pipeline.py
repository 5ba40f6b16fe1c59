"""A recipe's stages in turn over one policy, each resumable; every phase ends in a checkpoint."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from takt.policies.xr0.backbone import load_backbone
from takt.policies.xr0.checkpoint import (
    BodyStatistics,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from takt.policies.xr0.checkpoint_files import is_complete
from takt.policies.xr0.choice import ChoiceConfig
from takt.policies.xr0.config import XR0Config
from takt.policies.xr0.model import XR0
from takt.policies.xr0.tokenizer import build_tokenizer
from takt.training.batches import Batcher
from takt.training.body_statistics import fit_body, require_alive
from takt.training.choice_pretraining import ChoicePretraining
from takt.training.engine import REPLICATED, Engine
from takt.training.flow_objective import FlowObjective, trained_contract
from takt.training.flow_training import FlowTraining
from takt.training.frame_cache import load_frames
from takt.training.frame_questions import FrameQuestions
from takt.training.frames import Frames
from takt.training.loop import LoopConfig, StepReport, train_stage
from takt.training.measures import NOTHING, Measures
from takt.training.mixture import CoTraining, Mixture, RobotFrames
from takt.training.parallel import on_first_rank
from takt.training.stage import Stage
from takt.training.vision_language import Conversations, Converse, VisionLanguage
from takt.types import EmbodimentSpec, TaktError

Report = Callable[[str, StepReport], None]
STAGES = ("words", "choice", "expert", "post")
WEIGHTS_DTYPE = torch.float16  # of checkpoints; a stage's own state keeps float32


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounding:
    """Image points stored with the episodes: column, points per view, and which each mirrors.

    `names` of the first view's points make questions (`frame_questions`); none, none.
    """

    key: str
    points_per_view: int
    mirror: tuple[int, ...]
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """A policy's training.

    Attributes:
        horizon: T, actions per chunk.
        execute: T_e, actions executed before the next inference; d <= T_e <= T - d.
        candidates: N of the choice heads.
        draws: Noise draws that share one VLM pass in the flow stages.
        plan_key: Column with the demonstrator's plan at each frame, if the dataset has one.
        words: Before stage 1, VLM on conversations alone: what a released VLM brings along. None
            leaves it out.
        choice: Stage 1, VLM through choice heads. None leaves it out.
        co_trained: Stages with conversations beside their frames, where there are any (paper: 1).
        frames_per_conversation: In those stages (paper: 6).
        words_weight: Of the conversations' loss beside that of the frames, each a mean over its own
            samples; 1 / `frames_per_conversation` is the paper's single mean over all samples.
        expert: Stage 2, DiT on the frozen VLM. None leaves it out.
        post: Stage 3, everything. None leaves it out.
        refine: Stage 3 again, with corrections among the data.
        objective: Of every stage but the first.
        engine: Where weights and optimiser live while a stage trains.
    """

    model: XR0Config
    horizon: int
    execute: int
    candidates: int
    draws: int
    grounding: Grounding
    plan_key: str | None
    choice: LoopConfig | None
    expert: LoopConfig | None
    post: LoopConfig | None
    refine: LoopConfig
    words: LoopConfig | None = None
    co_trained: tuple[str, ...] = ("choice",)
    frames_per_conversation: int = 6
    words_weight: float = 1.0
    objective: FlowObjective = FlowObjective()
    engine: Engine = REPLICATED
    seed: int = 0

    def __post_init__(self) -> None:
        """Some delay d can be run, d <= T_e <= T - d, and a prefix leaves something to learn."""
        longest = trained_contract(self.model.contract, self.objective).max_prefix
        if not 0 < self.execute < self.horizon or longest >= self.horizon:
            raise TaktError(
                f"expected 0 < T_e < T and max_prefix < T, got T_e={self.execute}, "
                f"T={self.horizon}, max_prefix={longest}; lower execute or the contract's prefix"
            )


def train(
    config: TrainingConfig,
    spec: EmbodimentSpec,
    data: Path,
    cache: Path,
    out: Path,
    report: Report,
    measures: Measures = NOTHING,
) -> None:
    """Stages 1 to 3 from scratch on this rank; the first rank writes `out/policy`.

    `cache` keeps decoded frames, shared by all phases of a run.
    """
    frames = load_frames([data], cache, spec, config.grounding.key, config.plan_key)
    names = config.grounding.names
    questions = FrameQuestions(frames, names) if names else None
    robots = [RobotFrames(spec=spec, frames=frames)]
    train_frames(config, robots, out, report, questions, measures)


def train_frames(
    config: TrainingConfig,
    robots: Sequence[RobotFrames],
    out: Path,
    report: Report,
    converse: Converse | None = None,
    measures: Measures = NOTHING,
    start: Checkpoint | None = None,
) -> None:
    """The recipe's stages on given frames; the first rank writes `out/policy`.

    Args:
        robots: One body or several; those of one name share statistics.
        converse: Makes the vision-language data; without it there is none.
        measures: Look at the first body.
        start: Weights and tokenizer to begin with; bodies that it knows keep their statistics.

    Raises:
        DeadStatisticsError: an action axis never moves.
    """
    start = begin(config) if start is None else start
    fit_bodies(start, robots, config)
    names = [name for name in STAGES if getattr(config, name) is not None]
    trained = run_stages(names, start, robots, config, out, report, converse, measures)
    on_first_rank(save_checkpoint, out / "policy", trained, WEIGHTS_DTYPE)


def fit_bodies(start: Checkpoint, robots: Sequence[RobotFrames], config: TrainingConfig) -> None:
    """Give `start` the statistics of the bodies that it does not know.

    Raises:
        DeadStatisticsError: an action axis never moves.
    """
    for robot in robots:
        name = robot.spec.name
        if name not in start.bodies:
            same = [frames for each in robots if each.spec.name == name for frames in each.frames]
            start.bodies[name] = fit(same, robot.spec, config)
        require_alive(start.body(name), robot.spec)


def begin(config: TrainingConfig, backbone: Path | None = None) -> Checkpoint:
    """Random weights and takt's own tokenizer, or the VLM and the tokenizer of `backbone`.

    Raises:
        CheckpointError: `backbone` is no Qwen3-VL of the model's size.
    """
    torch.manual_seed(config.seed)
    model = XR0(config.model)
    tokenizer = build_tokenizer() if backbone is None else load_backbone(model, backbone)
    has_words = backbone is not None
    return Checkpoint(model=model, tokenizer=tokenizer, bodies={}, has_words=has_words)


def refine(
    config: TrainingConfig,
    spec: EmbodimentSpec,
    data: Sequence[Path],
    cache: Path,
    start: Path,
    out: Path,
    report: Report,
    measures: Measures = NOTHING,
) -> None:
    """Train the checkpoint `start` further on all of `data`, each dataset equally often.

    The first rank writes `out/policy`. The normalisation stays: new statistics would change what
    the weights mean.
    """
    checkpoint = load_checkpoint(start)
    frames = load_frames(data, cache, spec, config.grounding.key, config.plan_key)
    robots = [RobotFrames(spec=spec, frames=frames)]
    run_stages(("refine",), checkpoint, robots, config, out, report, measures=measures)
    on_first_rank(save_checkpoint, out / "policy", checkpoint, WEIGHTS_DTYPE)


def run_stages(
    names: Sequence[str],
    checkpoint: Checkpoint,
    robots: Sequence[RobotFrames],
    config: TrainingConfig,
    out: Path,
    report: Report,
    converse: Converse | None = None,
    measures: Measures = NOTHING,
) -> Checkpoint:
    """Run the named stages on the checkpoint's model; each keeps its state in `out/NAME`.

    Returns the checkpoint, which then knows what it has learnt. What all but the last have made is
    one, too: `out/after-NAME`. `measures` look at the first body.
    """
    spec, policy, mirror = robots[0].spec, checkpoint.model, config.grounding.mirror
    contract = trained_contract(policy.config.contract, config.objective)
    policy.config = replace(policy.config, contract=contract)
    batchers = [Batcher.of(checkpoint, robot.spec, robot.frames, mirror) for robot in robots]
    shares = [robot.share for robot in robots]
    robot_data = Mixture(batchers, shares) if len(robots) > 1 else batchers[0]
    talk = converse and Conversations(converse, config.model, checkpoint.tokenizer)
    for name in names:
        loop: LoopConfig = getattr(config, name)
        rest = loop, out / name, partial(report, name), config.engine
        if talk and name in ("words", *config.co_trained):
            checkpoint = replace(checkpoint, has_words=True)
        if name == "words":
            if talk is None:
                raise TaktError("expected conversations for the stage of words, got none")
            train_stage(VisionLanguage(policy), talk, *rest)
        else:
            stage = build_stage(name, policy, config, spec)
            source = robot_data
            if talk and name in config.co_trained:
                source = CoTraining(robot_data, talk, config.frames_per_conversation)
            checks = measures.checks(name, stage, batchers[0], checkpoint, spec, loop)
            train_stage(stage, source, *rest, checks)
        if name != names[-1]:
            on_first_rank(_keep, out / f"after-{name}", checkpoint)
    return checkpoint


def _keep(folder: Path, checkpoint: Checkpoint) -> None:
    if not is_complete(folder):
        save_checkpoint(folder, checkpoint, WEIGHTS_DTYPE)


def fit(sources: Sequence[Frames], spec: EmbodimentSpec, config: TrainingConfig) -> BodyStatistics:
    """Statistics of every chunk and state of the data."""
    return fit_body(sources, spec, config.model, horizon=config.horizon, execute=config.execute)


def build_stage(name: str, policy: XR0, config: TrainingConfig, spec: EmbodimentSpec) -> Stage:
    """A stage's loss around `policy`."""
    if name == "choice":
        heads = ChoiceConfig(
            candidates=config.candidates,
            horizon=config.horizon,
            views=len(spec.cameras),
            points_per_view=config.grounding.points_per_view,
        )
        return ChoicePretraining(policy, heads, words_weight=config.words_weight)
    return FlowTraining(
        policy,
        draws=config.draws,
        frozen="vlm" if name == "expert" else "nothing",
        objective=config.objective,
        words_weight=config.words_weight,
    )
