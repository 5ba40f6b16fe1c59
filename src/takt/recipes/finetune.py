"""Fine-tuning on a user's own LeRobot dataset, and on those of the released checkpoints."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from takt.benchmarks.checkpoint import packaged_checkpoint
from takt.embodiments import load_embodiment
from takt.embodiments.draft import draft_body
from takt.extras import require_extra
from takt.policies.xr0.checkpoint_files import is_complete
from takt.processes import require_processes
from takt.recipes.run_folder import body_facts, claim, claim_again
from takt.recipes.watch import STANDARD, Watch, WatchConfig
from takt.training.finetune_config import FinetuneConfig
from takt.types import EmbodimentSpec, TaktError

if TYPE_CHECKING:
    from takt.datasets.body import BodyEpisodes
    from takt.datasets.lerobot import LeRobotDataset

BODY_FILE = "body.toml"


def _released(layout: str, horizon: int) -> FinetuneConfig:
    """The released checkpoint of that name: T actions planned and executed, no prefix."""
    return FinetuneConfig(
        layout=layout,
        horizon=horizon,
        execute=horizon,
        contract="hf_release",
        image_pixels=(1024, 90_000),
    )


RECIPES: Mapping[str, FinetuneConfig] = {
    "finetune": FinetuneConfig(),
    "libero": _released("libero", 10),
    "calvin": _released("calvin", 10),
    "fractal": _released("fractal", 4),
    "bridge": _released("bridge", 4),
}


def run(
    config: FinetuneConfig,
    *,
    data: Path,
    init: Path | None,
    body: Path | None,
    out: Path,
    ranks: int,
    log: Callable[[str], None],
    watch: WatchConfig = STANDARD,
) -> Path | None:
    """Fine-tune and return the checkpoint's folder, or None after only the body's file (steps 0).

    Without `body` its file is `out/body.toml`, drafted from the data if it is not there; without
    `init` the shipped checkpoint is trained. A run that was stopped goes on where it was.

    Raises:
        TaktError: The data, the body's file or the checkpoint do not fit, or `out` holds a run with
            other settings.
    """
    from takt.datasets.body import BodyEpisodes
    from takt.datasets.lerobot import LeRobotDataset
    from takt.training.parallel import launch, on_first_rank

    watch.require(simulator=False)
    require_processes("--ranks", ranks)
    _require_parts(config)
    dataset = LeRobotDataset.open(data)
    file = out / BODY_FILE if body is None else body
    if body is None:
        on_first_rank(_draft, dataset, config, file, log)
    spec = load_embodiment(file)
    source = BodyEpisodes.of(dataset, spec)
    on_first_rank(_introduce, source, log)
    if config.steps == 0:
        return None
    start = packaged_checkpoint("nano_station") if init is None else init
    paths = {"data": str(data.resolve()), "init": str(start.resolve())}
    words = [str(path.resolve()) for path in config.conversations]
    chosen = asdict(config) | {"conversations": words}
    del chosen["skip_bad"]  # may be added when a damaged row is met
    settings = {**paths, "body": body_facts(spec), "finetune": chosen}
    advice = _further(out) if is_complete(out / "policy") else []
    on_first_rank(claim_again, out, settings, *advice)
    launch(_train, ranks, config, file, data, start, out, settings, watch)
    return out / "policy"


def _require_parts(config: FinetuneConfig) -> None:
    """What is missing is said before any data is read."""
    if config.engine == "deepspeed":
        require_extra("deepspeed", "--engine deepspeed")
    for path in config.conversations:
        if not path.exists():
            raise TaktError(f"--conversations: there is nothing at {path}")


def _further(out: Path) -> list[str]:
    """What to do with a finished run."""
    return [
        "it is finished and goes on with its own settings only; to train its policy further, "
        f"--init {out / 'policy'} and another --out"
    ]


def _draft(
    dataset: "LeRobotDataset", config: FinetuneConfig, file: Path, log: Callable[[str], None]
) -> None:
    from takt.datasets.body import describe
    from takt.recipes.data_check import sound_rows

    if file.exists():
        return
    sound = sound_rows(dataset, skip_bad=config.skip_bad)
    text = draft_body(describe(sound), config.layout)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    log(f"body: drafted from the data; look at every guess in {file}")


def _introduce(source: "BodyEpisodes", log: Callable[[str], None]) -> None:
    from takt.recipes.data_check import data_warnings

    for line in (*_summary(source.spec), *data_warnings(source)):
        log(line)


def _summary(spec: EmbodimentSpec) -> list[str]:
    axes = zip(spec.action_space.names, spec.slots, spec.relative, strict=True)
    listed = ", ".join(f"{name} {slot}{'r' * offset}" for name, slot, offset in axes)
    lines = [f"body: {spec.name}, {spec.rate_hz:g} Hz; axes and their columns (r: relative to the "
             f"state): {listed}"]  # fmt: skip
    if spec.state_space is not None:
        listed = ", ".join(
            f"{name} {slot}" for name, slot in zip(spec.state_names, spec.state_slots, strict=True)
        )
        lines.append(f"body: state: {listed}")
    views = [f"{c.name} ({c.height} x {c.width}) as {c.view!r}" for c in spec.cameras]
    return [*lines, f"body: cameras: {', '.join(views)}"]


def _train(
    config: FinetuneConfig,
    body: Path,
    data: Path,
    init: Path,
    out: Path,
    settings: Mapping[str, object],
    watch: WatchConfig,
) -> None:
    """One rank. What is refused before the first step leaves the folder free for other settings."""
    from takt.training.finetuning import STAGE, finetune
    from takt.training.measures import Measures

    with Watch(watch, out, out, sys.stderr) as watched:
        measures = Measures(validate_every=watch.validate_every, record=watched.record)
        begin, report = partial(claim, out, settings), partial(watched.report, STAGE)
        finetune(config, body, data, init, out, report, begin, measures)
