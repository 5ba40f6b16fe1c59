"""Both pre-training stages on a mixture of robots and conversations (paper section 2.2)."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from takt.datasets.mixture_file import MixtureFile
from takt.embodiments import embodiment_spec
from takt.embodiments.slot_table import require_one_layout, slot_table
from takt.extras import require_extra
from takt.policies.xr0.checkpoint_files import is_complete
from takt.processes import require_processes
from takt.recipes.run_folder import body_facts, claim, claim_again
from takt.recipes.watch import STANDARD, Watch, WatchConfig
from takt.training.flow_objective import ObjectiveName
from takt.types import EmbodimentSpec, TaktError

if TYPE_CHECKING:
    from takt.datasets.vision_language_set import VisionLanguageSet
    from takt.policies.xr0.checkpoint import Checkpoint
    from takt.training.frames import Frames
    from takt.training.loop import LoopConfig
    from takt.training.mixture import RobotFrames
    from takt.training.pipeline import TrainingConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainConfig:
    """What can be chosen; 0 steps leave a stage out."""

    model: str = "nano"
    """nano, cpu-bench, 4.7b, or a config.json in the released layout."""
    init: Path | None = None
    """Folder of a Qwen3-VL whose weights and tokenizer the VLM begins with; it must be as large as
    the model's. From nothing by default."""
    horizon: int = 16
    """T, actions a chunk."""
    execute: int = 6
    """T_e, actions executed before the next chunk is asked for."""
    words: int = 0
    """Updates on conversations alone: for a VLM that begins with nothing."""
    choice: int = 2000
    """Updates of stage 1, the VLM through choice heads, conversations beside the frames."""
    expert: int = 1000
    """Updates of stage 2, the action expert on the frozen VLM."""
    post: int = 0
    """Updates of everything, to act while thinking: for a mixture that is the target's own."""
    objective: ObjectiveName | None = None
    """Of the stages with the action expert, as for `takt train finetune`. By default synchronous,
    as the paper pre-trains, and with --post the paper's post-training, which learns to go on from
    committed actions. One mask and rotary offset serve both, those of its post-training."""
    batch: int = 64
    """Frames an update."""
    lr: float | None = None
    """Peak learning rate; by default 1e-3 below 100 M parameters and 1e-4 above."""
    engine: Literal["replicated", "sharded", "deepspeed"] = "replicated"
    """sharded: weights, gradients and optimiser are shared out over the ranks (FSDP2); deepspeed:
    gradients and optimiser are, by DeepSpeed (ZeRO-2)."""
    recompute: bool = False
    """Keep no layer's activations but its input: less memory, a third more time."""
    frames_per_conversation: int = 6
    """Frames of a batch for one conversation (paper: 6)."""
    validation: float = 0.02
    """Share of the first dataset's episodes held out (at least one, if there are two)."""
    skip_bad: bool = False
    """Leave out damaged episodes and conversations; they are counted at the end."""
    seed: int = 0
    """Of weights and batches."""

    def __post_init__(self) -> None:
        """Numbers that make a run."""
        least = {"horizon": 2, "execute": 1, "batch": 1, "frames_per_conversation": 1}
        least |= dict.fromkeys(("words", "choice", "expert", "post", "seed"), 0)
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                option = name.replace("_", "-")
                raise TaktError(
                    f"expected --{option} of at least {smallest}, got {getattr(self, name)}"
                )
        if not 0 <= self.validation < 1:
            raise TaktError(f"expected --validation in 0..1, 1 excluded, got {self.validation}")
        if self.lr is not None and not 0 < self.lr < math.inf:
            raise TaktError(f"expected a positive --lr, got {self.lr}")
        if not any((self.words, self.choice, self.expert, self.post)):
            raise TaktError("expected a stage with steps, got none; choose --choice or --expert")


def training(config: PretrainConfig) -> "TrainingConfig":
    """The stages as the pipeline runs them."""
    from takt.policies.xr0.config import XR0_POSTTRAIN
    from takt.policies.xr0.presets import preset_or_file
    from takt.training.engine import ENGINES
    from takt.training.flow_objective import OBJECTIVES
    from takt.training.loop import LoopConfig
    from takt.training.model_size import is_small
    from takt.training.pipeline import STAGES, Grounding, TrainingConfig

    model = preset_or_file(config.model, XR0_POSTTRAIN)
    small = is_small(model)
    loops = {name: _loop(config, number, small) for number, name in enumerate(STAGES)}
    return TrainingConfig(
        model=model,
        engine=ENGINES[config.engine](recompute=config.recompute),
        horizon=config.horizon,
        execute=config.execute,
        candidates=4,
        draws=4,
        grounding=Grounding(key="", points_per_view=0, mirror=()),
        plan_key=None,
        objective=OBJECTIVES[config.objective or ("paper" if config.post else "synchronous")],
        frames_per_conversation=config.frames_per_conversation,
        refine=LoopConfig(steps=0, batch_size=config.batch),
        seed=config.seed,
        words=loops["words"],
        choice=loops["choice"],
        expert=loops["expert"],
        post=loops["post"],
    )


def _loop(config: PretrainConfig, number: int, small: bool) -> "LoopConfig | None":
    """Of the stage of that number; None leaves it out."""
    from takt.training.loop import LoopConfig
    from takt.training.model_size import save_every_s
    from takt.training.pipeline import STAGES

    if (steps := getattr(config, STAGES[number])) == 0:
        return None
    return LoopConfig(
        steps=steps,
        batch_size=config.batch,
        lr=(1e-3 if small else 1e-4) if config.lr is None else config.lr,
        bf16=True,
        seed=10 * config.seed + number,
        save_every_s=save_every_s(small),
    )


def run(
    config: PretrainConfig,
    *,
    mixture: Path,
    out: Path,
    ranks: int,
    log: Callable[[str], None],
    watch: WatchConfig = STANDARD,
) -> Path:
    """Pre-train and return the checkpoint's folder. A run that was stopped goes on where it was.

    Raises:
        LayoutMismatchError: bodies use a policy column for different things; shows the slot table.
        TaktError: the mixture or what it names cannot be used, or `out` holds another run.
    """
    from takt.training.parallel import launch, on_first_rank

    require_processes("--ranks", ranks)
    watch.require(simulator=False)
    if config.engine == "deepspeed":
        require_extra("deepspeed", "--engine deepspeed")
    found = MixtureFile.read(mixture)
    specs = [embodiment_spec(robot.body) for robot in found.robots]
    require_one_layout(specs)
    log(slot_table(specs))
    if config.words and not found.conversations:
        raise TaktError(f"expected [[conversations]] in {mixture} for --words, got none")
    for path in found.conversations:
        if not path.exists():
            raise TaktError(f"{mixture}: expected conversations at {path}, got nothing there")
    on_first_rank(_look_at, found, specs, log)
    settings = _settings(config, found, specs)
    on_first_rank(claim_again, out, settings)
    if not is_complete(out / "policy"):
        launch(_train, ranks, config, found, specs, out, watch, settings)
    return out / "policy"


def _look_at(
    mixture: MixtureFile, specs: Sequence[EmbodimentSpec], log: Callable[[str], None]
) -> None:
    """Say what of each dataset trains badly; what cannot be used at all is raised."""
    from takt.datasets.body import BodyEpisodes
    from takt.datasets.lerobot import LeRobotDataset
    from takt.recipes.data_check import data_warnings

    sources = [
        BodyEpisodes.of(LeRobotDataset.open(robot.data), spec)
        for robot, spec in zip(mixture.robots, specs, strict=True)
    ]
    for source in sources:
        for line in data_warnings(source):
            log(f"{source.dataset.metadata.root}: {line}")


def _settings(
    config: PretrainConfig, mixture: MixtureFile, specs: Sequence[EmbodimentSpec]
) -> dict[str, object]:
    """What a run must not change; episodes may be left out later than at its start."""
    robots = [
        {"data": str(robot.data.resolve()), "weight": robot.weight, "body": body_facts(spec)}
        for robot, spec in zip(mixture.robots, specs, strict=True)
    ]
    chosen = asdict(config) | {"init": config.init and str(config.init.resolve())}
    del chosen["skip_bad"]
    words = [str(path.resolve()) for path in mixture.conversations]
    return {"robots": robots, "conversations": words, "pretrain": chosen}


def _train(
    config: PretrainConfig,
    mixture: MixtureFile,
    specs: Sequence[EmbodimentSpec],
    out: Path,
    watch: WatchConfig,
    settings: Mapping[str, object],
) -> None:
    """One rank. What is refused before the first step leaves the folder free for other settings."""
    from takt.training.measures import Measures
    from takt.training.parallel import on_first_rank, rank, world_size
    from takt.training.pipeline import begin, fit_bodies, train_frames
    from takt.training.shards import Shard
    from takt.training.vision_language import share_skipped

    Shard(rank(), world_size()).rows(config.batch)
    recipe = training(config)
    start = begin(recipe, config.init)
    words = _conversations(config, mixture, start)
    data = _read(config, mixture, specs, start, out / "frames")
    fit_bodies(start, data.robots, recipe)
    on_first_rank(claim, out, settings)
    with Watch(watch, out, out) as watched:
        measures = Measures(
            held_out=data.held_out, validate_every=watch.validate_every, record=watched.record
        )
        converse = None if words is None else words.draw
        train_frames(recipe, data.robots, out, watched.report, converse, measures, start)
    share_skipped(words)
    if rank() == 0:
        for line in data.damaged:
            print(f"left out: {line}", flush=True)
        if words and words.skipped:
            print(f"conversations: {words.left_out()}", flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Data:
    """Frames to train on, those of the first body held out, and what was wrong with others."""

    robots: "list[RobotFrames]"
    held_out: "Frames | None"
    damaged: list[str]


def _read(
    config: PretrainConfig,
    mixture: MixtureFile,
    specs: Sequence[EmbodimentSpec],
    start: "Checkpoint",
    cache: Path,
) -> _Data:
    from takt.datasets.body import BodyEpisodes
    from takt.datasets.lerobot import LeRobotDataset
    from takt.training.frame_cache import fitted_frames, held_out_frames, hold_out
    from takt.training.mixture import RobotFrames

    found = _Data(robots=[], held_out=None, damaged=[])
    for number, (robot, spec) in enumerate(zip(mixture.robots, specs, strict=True)):
        source = BodyEpisodes.of(LeRobotDataset.open(robot.data), spec)
        share = config.validation if number == 0 else 0.0
        seen, unseen = hold_out(len(source), share, config.seed)
        read = cache, start.model.config
        frames = fitted_frames(source, seen, *read, skip_bad=config.skip_bad)
        held_out, unread = held_out_frames(source, unseen, *read, skip_bad=config.skip_bad)
        found.robots.append(RobotFrames(spec=spec, frames=[frames.frames], weight=robot.weight))
        found.damaged.extend([*frames.damaged, *unread])
        if held_out is not None:
            found = replace(found, held_out=held_out)
    return found


def _conversations(
    config: PretrainConfig, mixture: MixtureFile, start: "Checkpoint"
) -> "VisionLanguageSet | None":
    from takt.training.vision_language import open_conversations

    return open_conversations(mixture.conversations, start, skip_bad=config.skip_bad)
