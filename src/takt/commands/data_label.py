"""`takt data label`: a vision-language set from a LeRobot dataset."""

import json as json_format
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from takt.commands.data_build import SKIP_BAD
from takt.datasets.labelling.config import LabelConfig
from takt.recipes.label_models import ModelFolders
from takt.types import TaktError

if TYPE_CHECKING:
    from takt.recipes.executors import Executor
    from takt.recipes.labelling import Labelled


@dataclass(frozen=True)
class Label:
    """Make a vision-language set of a LeRobot dataset; the same command goes on where it ended.

    Questions that the trajectories answer need no model; grounding needs detectors that agree,
    captions and visual questions a vision-language model. Models are read from folders, nothing
    is downloaded. Every episode becomes one parquet file in --out, for `takt train finetune
    --conversations OUT`.
    """

    dataset: Positional[Annotated[Path, arg(metavar="DATASET")]]
    """The LeRobot dataset's folder."""

    out: Path
    """Folder of the set."""

    config: Annotated[LabelConfig, arg(name="")] = LabelConfig()

    models: Annotated[ModelFolders, arg(name="")] = ModelFolders()

    executor: Literal["in-process", "processes", "ray"] = "in-process"
    """Where episodes are labelled; ray: on the cluster of RAY_ADDRESS, else on this machine."""

    workers: int = 2
    """Processes, or actors of Ray; each loads the models."""

    gpus: float = 0.0
    """GPUs for each actor of Ray; models need some, or --device cpu."""

    skip_bad: Annotated[bool, arg(help=SKIP_BAD)] = False

    json: bool = False
    """Print one JSON object as the last line."""


def run_label(command: Label) -> int:
    """Label, and say what came of it and what was left out."""
    from takt.datasets.lerobot_source import LeRobotSource
    from takt.recipes.labelling import LabelJob, label, left_out
    from takt.recipes.progress import Progress

    command.models.require_use(command.config)
    _require_device(command)
    job = LabelJob(
        dataset=command.dataset, out=command.out, config=command.config, models=command.models
    )
    for line in left_out(job):
        print(f"takt data: not asked about: {line}", file=sys.stderr)
    episodes = len(LeRobotSource.open(command.dataset))
    try:
        with Progress(sys.stderr) as progress:
            show = partial(progress.show, str(command.out), episodes)
            made = label(job, _executor(command), skip_bad=command.skip_bad, report=show)
    except KeyboardInterrupt:
        print(
            f"takt data: interrupted; finished episodes are kept in {command.out}. "
            "Run the same command again to go on.",
            file=sys.stderr,
        )
        return 130
    _tell(made, command)
    return 0


def _require_device(command: Label) -> None:
    """Ray hides the GPUs from actors that ask for none: models would run on CPUs unnoticed."""
    models = command.models
    looks = models.detectors or models.vlm is not None
    if command.executor == "ray" and looks and not command.gpus and models.device is None:
        raise TaktError(
            "expected --gpus for each actor of Ray, whose models see no GPU without it, got none; "
            "or say --device cpu"
        )


def _executor(command: Label) -> "Executor":
    from takt.recipes.executors import InProcess, Processes, Ray

    match command.executor:
        case "in-process":
            return InProcess()
        case "processes":
            return Processes(command.workers)
        case "ray":
            return Ray(command.workers, command.gpus)


def _tell(made: "Labelled", command: Label) -> None:
    tally = made.tally
    print(
        f"{command.out}: {tally.rows} rows of {made.episodes} episodes ({tally.grounding} "
        f"grounding, {tally.captioning} captioning, {tally.vqa} VQA, {tally.embodied_qa} embodied "
        f"QA, {tally.planning} planning, {tally.trajectory} trajectory); {len(made.faults)} "
        "episodes left out"
    )
    if command.models.detectors:
        print(
            f"phrases: {tally.phrases_kept} kept, {tally.phrases_dropped} dropped for want of "
            f"consensus of {command.config.votes} detectors; {tally.boxes_dropped} boxes beside "
            "kept ones dropped"
        )
    if tally.names_dropped:
        print(f"names by the VLM that no detector can look for: {tally.names_dropped}")
    if tally.answers_dropped:
        print(f"answers of the VLM that could not be used: {tally.answers_dropped}")
    for fault in made.faults:
        print(f"takt data: left out: {fault}", file=sys.stderr)
    if command.json:
        found = {
            "directory": str(command.out),
            "episodes": made.episodes,
            "rows": tally.rows,
            "tally": asdict(tally),
            "faults": [asdict(fault) for fault in made.faults],
        }
        print(json_format.dumps(found, ensure_ascii=False))
