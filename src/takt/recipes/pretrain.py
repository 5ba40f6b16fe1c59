"""Both pre-training stages on a mixture of robots and conversations (paper section 2.2)."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from takt.datasets.mixture_file import MixtureFile, RobotData
from takt.embodiments import embodiment_spec
from takt.embodiments.slot_table import require_one_layout, slot_table
from takt.processes import require_processes
from takt.recipes.watch import STANDARD, Watch, WatchConfig
from takt.training.flow_objective import ObjectiveName
from takt.types import EmbodimentSpec, TaktError

if TYPE_CHECKING:
    from takt.datasets.vision_language_set import VisionLanguageSet
    from takt.policies.xr0.checkpoint import Checkpoint
    from takt.training.frames import Frames
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
    objective: ObjectiveName = "paper"
    """Of the stages with the action expert, as for `takt train finetune`."""
    batch: int = 64
    """Frames an update."""
    lr: float = 1e-3
    """Peak learning rate; 1e-4 suits billions of parameters."""
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
        if not any((self.words, self.choice, self.expert, self.post)):
            raise TaktError("expected a stage with steps, got none; choose --choice or --expert")


def training(config: PretrainConfig) -> "TrainingConfig":
    """The stages as the pipeline runs them."""
    from takt.policies.xr0.config import XR0_POSTTRAIN
    from takt.policies.xr0.presets import preset_or_file
    from takt.training.flow_objective import OBJECTIVES
    from takt.training.loop import LoopConfig
    from takt.training.pipeline import STAGES, Grounding, TrainingConfig

    def loop(number: int, steps: int) -> LoopConfig | None:
        if steps == 0:
            return None
        seed, batch = 10 * config.seed + number, config.batch
        return LoopConfig(steps=steps, batch_size=batch, lr=config.lr, bf16=True, seed=seed)

    loops = {name: loop(number, getattr(config, name)) for number, name in enumerate(STAGES)}
    return TrainingConfig(
        model=preset_or_file(config.model, XR0_POSTTRAIN),
        horizon=config.horizon,
        execute=config.execute,
        candidates=4,
        draws=4,
        grounding=Grounding(key="", points_per_view=0, mirror=()),
        plan_key=None,
        objective=OBJECTIVES[config.objective],
        frames_per_conversation=config.frames_per_conversation,
        refine=LoopConfig(steps=0, batch_size=config.batch),
        seed=config.seed,
        **loops,
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
    from takt.recipes.run_folder import claim
    from takt.training.parallel import join, launch, on_first_rank

    require_processes("--ranks", ranks)
    watch.require()
    found = MixtureFile.read(mixture)
    specs = [embodiment_spec(robot.body) for robot in found.robots]
    require_one_layout(specs)
    log(slot_table(specs))
    if config.words and not found.conversations:
        raise TaktError(f"expected [[conversations]] in {mixture} for --words, got none")
    join()
    sources = {"robots": [_facts(robot) for robot in found.robots]}
    sources["conversations"] = [str(path.resolve()) for path in found.conversations]
    chosen = asdict(config) | {"init": config.init and str(config.init.resolve())}
    on_first_rank(claim, out, {**sources, "pretrain": chosen})
    if not (out / "policy" / "model.safetensors").exists():
        launch(_train, ranks, config, found, specs, out, watch)
    return out / "policy"


def _facts(robot: RobotData) -> dict[str, object]:
    return {"data": str(robot.data.resolve()), "body": robot.body, "weight": robot.weight}


def _train(
    config: PretrainConfig,
    mixture: MixtureFile,
    specs: Sequence[EmbodimentSpec],
    out: Path,
    watch: WatchConfig,
) -> None:
    """One rank."""
    from takt.training.measures import Measures
    from takt.training.parallel import rank
    from takt.training.pipeline import begin, train_frames

    recipe = training(config)
    start = begin(recipe, config.init)
    data = _read(config, mixture, specs, start, out / "frames")
    words = _conversations(config, mixture, start)
    with Watch(watch, out, out) as watched:
        measures = Measures(
            held_out=data.held_out, validate_every=watch.validate_every, record=watched.record
        )
        converse = words and words.draw
        train_frames(recipe, data.robots, out, watched.report, converse, measures, start)
    if rank() == 0:
        for line in [*data.damaged, *(words.skipped if words else ())]:
            print(f"left out: {line}", flush=True)


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
    from takt.training.frame_cache import fitted_frames, hold_out
    from takt.training.mixture import RobotFrames

    found = _Data(robots=[], held_out=None, damaged=[])
    for number, (robot, spec) in enumerate(zip(mixture.robots, specs, strict=True)):
        source = BodyEpisodes.of(LeRobotDataset.open(robot.data), spec)
        share = config.validation if number == 0 else 0.0
        parts = [
            fitted_frames(source, part, cache, start.model.config, skip_bad=config.skip_bad)
            for part in hold_out(len(source), share, config.seed)
            if part
        ]
        frames = [part.frames for part in parts]
        found.robots.append(RobotFrames(spec=spec, frames=frames[:1], weight=robot.weight))
        found.damaged.extend(line for part in parts for line in part.damaged)
        if len(frames) > 1:
            found = replace(found, held_out=frames[1])
    return found


def _conversations(
    config: PretrainConfig, mixture: MixtureFile, start: "Checkpoint"
) -> "VisionLanguageSet | None":
    from takt.training.vision_language import open_conversations

    return open_conversations(mixture.conversations, start.tokenizer, skip_bad=config.skip_bad)
