"""What the ranks of a group do in tests; torch alone is imported before they start."""

import os
import signal
from pathlib import Path

import torch

from takt.training.engine import Engine, Replicated, Sharded, ZeRO2
from takt.training.loop import LoopConfig, StepReport, train_stage
from takt.training.parallel import barrier, gathered, rank
from takt.types import TaktError

COMPARISONS: dict[str, tuple[str, Engine]] = {
    "the released objective": ("released", Replicated()),
    "replicated": ("post", Replicated()),
    "sharded, words beside": ("choice", Sharded()),
    "words": ("words", Replicated()),
    "sharded, recomputing": ("post", Sharded(recompute=True)),
    "replicas of shards": ("post", Sharded(replicas=2)),
}
DEEPSPEED: dict[str, tuple[str, Engine]] = {
    "VLM frozen": ("expert", ZeRO2()),
    "words beside, recomputing": ("choice", ZeRO2(recompute=True)),
}
# SGD: AdamW turns a rounding of a gradient near 0 into a step of the learning rate.
COMPARED = LoopConfig(
    steps=10, batch_size=8, accumulate=2, optimiser="sgd", lr=0.1, warmup=1, ema_decay=0.0
)
STOPPED = LoopConfig(steps=8, batch_size=4, warmup=2, save_every_s=-1.0)
KILLED_AT = 5


def train(
    name: str, loop: LoopConfig, folder: Path, engine: Engine, killed_at: int | None = None
) -> tuple[dict[str, torch.Tensor], dict[int, float]]:
    """Train a tiny stage; its weights and the running loss after every step."""
    import tiny

    losses: dict[int, float] = {}

    def report(report: StepReport) -> None:
        losses[report.step] = report.losses["loss"]
        if report.step == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

    stage, source = tiny.course(name)
    train_stage(stage, source, loop, folder, report, engine)
    return stage.state_dict(), losses


def compare_then_die(
    folder: Path, comparisons: dict[str, tuple[str, Engine]], killed: Engine
) -> None:
    """Every comparison's weights, then a training that is killed at `KILLED_AT`."""
    for name, (stage, engine) in comparisons.items():
        weights, _ = train(stage, COMPARED, folder / name, engine)
        torch.save(weights, folder / f"{name}.{rank()}")
    barrier()
    train("post", STOPPED, folder / "stopped", killed, KILLED_AT if rank() == 0 else None)


def finish(folder: Path, engine: Engine) -> None:
    """The killed training's other steps."""
    weights, losses = train("post", STOPPED, folder / "stopped", engine)
    if rank() == 0:
        torch.save((weights, losses), folder / "finished")


def complain() -> None:
    """A rank that hears all of them and gives up while the other waits for it."""
    heard = gathered(3 * rank() * "é")
    if rank() == 0:
        raise TaktError(f"rank 0 is tired of {heard}")
    barrier()


def read_what_is_damaged(data: Path, cache: Path) -> None:
    """Each rank's answer where every episode held out is damaged; then none may be skipped."""
    import tiny

    from takt.datasets.body import BodyEpisodes
    from takt.datasets.lerobot import LeRobotDataset
    from takt.training.frame_cache import held_out_frames

    source = BodyEpisodes.of(LeRobotDataset.open(data), tiny.BODY)
    found = held_out_frames(source, (0,), cache, tiny.MODEL, skip_bad=True)
    (cache / f"rank-{rank()}").write_text(repr(found))
    held_out_frames(source, (0,), cache, tiny.MODEL, skip_bad=False)


def enter(folder: Path) -> None:
    """A run's folder, which the first rank alone asks for."""
    from takt.recipes.run_folder import only_run

    try:
        with only_run(folder):
            (folder / f"entered-{rank()}").touch()
    except TaktError as error:
        (folder / f"refused-{rank()}").write_text(str(error))
        raise
