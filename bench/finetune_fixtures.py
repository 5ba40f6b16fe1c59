"""`takt train finetune` on each of the eight recorded fixtures, as a new user would run it.

python bench/finetune_fixtures.py [--steps 60] [--batch 16] [--pixels 2048]
    [--lora 16] [--out out/finetune-fixtures]
Prints per dataset: seconds (decoding, training, validation together), samples/s, the first and the
last loss (running mean), the open-loop error of the first planned action on frames trained on and
on the held-out episode (in standard deviations; the mean action's beside it), and the new policy's
chunk.
"""

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from takt.benchmarks.checkpoint import packaged_checkpoint
from takt.datasets.body import BodyEpisodes
from takt.datasets.lerobot import LeRobotDataset
from takt.embodiments import load_embodiment
from takt.policies.xr0.policy import XR0Policy
from takt.recipes.finetune import BODY_FILE, RECIPES, run
from takt.training.finetuning import finetune
from takt.training.loop import StepReport
from takt.types import ActionChunk, Observation

FIXTURES = Path(__file__).parents[1] / "tests" / "data" / "lerobot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Fine-tune the shipped checkpoint on every fixture."""

    steps: int = 60
    """Updates."""
    batch: int = 16
    """Frames an update."""
    pixels: int | None = None
    """Largest image area; None keeps the images whole."""
    lora: int | None = None
    """Rank of adapters; None trains everything."""
    out: Path = Path("out/finetune-fixtures")
    """A run folder per fixture; one that is there is not trained again."""


def main(options: Options) -> None:
    """One line a fixture."""
    print(f"{'dataset':30} {'s':>6} {'1/s':>5} {'loss':>14} {'error (mean)':>19}  chunk")
    for data in sorted(path for path in FIXTURES.iterdir() if path.is_dir()):
        out = options.out / data.name
        config = replace(RECIPES["finetune"], steps=0)
        run(config, data=data, init=None, body=None, out=out, ranks=1, log=lambda line: None)
        area = None if options.pixels is None else (min(1024, options.pixels), options.pixels)
        config = replace(
            config,
            steps=options.steps,
            batch=options.batch,
            lora=options.lora,
            image_pixels=area,
        )
        reports: list[StepReport] = []
        began = time.monotonic()
        init = packaged_checkpoint("nano_station")
        finetune(config, out / BODY_FILE, data, init, out, reports.append)
        seconds = time.monotonic() - began
        found = json.loads((out / "validation.json").read_text())
        names = ("trained_error_by_step_std", "error_by_step_std", "mean_action_error_by_step_std")
        trained, error, mean = (found[name][0] for name in names)
        losses = [report.losses["loss"] for report in (reports[0], reports[-1])]
        chunk = plan(data, out)
        print(
            f"{data.name:30} {seconds:6.1f} {reports[-1].samples_per_s:5.1f} "
            f"{losses[0]:6.2f} ->{losses[1]:5.2f} {trained:6.2f} {error:5.2f} ({mean:.2f})   "
            f"{chunk.actions.shape}, every {chunk.dt:g} s",
            flush=True,
        )


def plan(data: Path, out: Path) -> ActionChunk:
    """What the new policy plans from the first frame of the dataset."""
    spec = load_embodiment(out / BODY_FILE)
    episode = BodyEpisodes.of(LeRobotDataset.open(data), spec).episode(0)
    images = {name: rows[0] for name, rows in episode.images.items()}
    observation = Observation(
        stamp=0.0,
        images=images,
        image_stamps=dict.fromkeys(images, 0.0),
        state=episode.state[0],
        instruction=episode.instruction,
    )
    return XR0Policy.load(out / "policy", spec).infer(observation, None)


if __name__ == "__main__":
    main(tyro.cli(Options))
