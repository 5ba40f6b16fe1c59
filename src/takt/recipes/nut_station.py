"""The nut station's policy: XR-0 nano from demonstrations, trained to act while it thinks."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from takt.policies.xr0.checkpoint_files import is_complete
from takt.processes import require_processes
from takt.recipes.watch import STANDARD, Watch, WatchConfig
from takt.seeds import VALIDATION_BEGIN

if TYPE_CHECKING:
    from takt.training.measures import Measures
    from takt.training.pipeline import TrainingConfig

EPISODES = 430
ROUNDS = 3
CORRECTIONS = 100  # a round
CORRECTIONS_SEED = 50_000
ContractName = Literal["xr0_posttrain", "training_time_rtc"]
VALIDATION = "validation"  # folder
VALIDATION_EPISODES = 4  # demonstrations that are never trained on


def nut_station(contract: ContractName = "xr0_posttrain") -> "TrainingConfig":
    """What `takt train nut-station` trains; the shipped checkpoint came of an earlier form.

    T = 16 actions (.53 s), T_e = 6: with d = 3 ticks (80 ms), d <= T_e <= T - d. `contract` is how
    the policy goes on from committed actions; nothing else differs.
    """
    from takt.policies.xr0.config import CONTRACTS
    from takt.policies.xr0.presets import nano
    from takt.training.loop import LoopConfig
    from takt.training.pipeline import Grounding, TrainingConfig

    return TrainingConfig(
        model=nano(CONTRACTS[contract]),
        horizon=16,
        execute=6,
        candidates=4,
        draws=4,
        grounding=Grounding(
            key="annotation.points",
            points_per_view=4,
            # Ego: left nut, left pin, right nut, right pin; then each wrist's four points.
            mirror=(2, 3, 0, 1, 8, 9, 10, 11, 4, 5, 6, 7),
            names=("left nut", "left pin", "right nut", "right pin"),
        ),
        plan_key="annotation.plan",
        choice=LoopConfig(steps=3000, batch_size=64, bf16=True, seed=0),
        expert=LoopConfig(steps=500, batch_size=64, bf16=True, seed=1),
        post=LoopConfig(steps=1300, batch_size=64, bf16=True, seed=2, lr=6e-4),
        refine=LoopConfig(steps=2000, batch_size=64, bf16=True, seed=3, lr=4e-4),
        words_weight=1 / 6,  # at 1 the action error was a quarter higher (LOG)
    )


def scaled(config: "TrainingConfig", scale: float) -> "TrainingConfig":
    """The same recipe with `scale` times the steps in every stage."""
    from takt.training.pipeline import STAGES

    loops = {name: getattr(config, name) for name in (*STAGES, "refine")}
    shorter = {
        name: replace(loop, steps=max(1, round(loop.steps * scale)))
        for name, loop in loops.items()
        if loop
    }
    return replace(config, **shorter)


def run(
    config: "TrainingConfig",
    out: Path,
    *,
    episodes: int,
    corrections: int,
    ranks: int,
    log: Callable[[str], None],
    watch: WatchConfig = STANDARD,
    asked: Mapping[str, object] | None = None,
) -> Path:
    """Demonstrate, train, then correct and refine in rounds; returns the last checkpoint's folder.

    Each round's corrections come from the round before. Resumes where it was, on any number of
    ranks. Under torchrun every rank calls it. `asked` are the options that `config` follows from,
    for messages.
    """
    from takt.recipes.corrections import correct
    from takt.recipes.run_folder import claim
    from takt.training.parallel import join, launch, on_first_rank

    require_processes("--ranks", ranks)
    watch.require()
    join()
    counts = {"episodes": episodes, "corrections": corrections}
    on_first_rank(claim, out, {**counts, "training": asdict(config), "asked": asked or {}})
    data, cache = [out / "data"], out / "frames"
    log(f"demonstrations: {episodes} in {data[0]}")
    _record(data[0], episodes, 0, ranks, log)
    if watch.validate_every:
        unseen = out / VALIDATION
        _record(unseen, VALIDATION_EPISODES, VALIDATION_BEGIN, ranks, log, split="validation")
    policy = out / "first" / "policy"
    if not is_complete(policy):
        launch(_train, ranks, config, watch, data[0], cache, out / "first")
    for number in range(1, ROUNDS + 1):
        folder = out / f"round-{number}"
        data.append(folder / "corrections")
        log(f"round {number}: {corrections} corrections in {data[-1]}")
        attempt = partial(correct, checkpoint=policy)
        seed = CORRECTIONS_SEED + corrections * (number - 1)  # each attempt is kept
        _record(data[-1], corrections, seed, ranks, log, attempt=attempt)
        if not is_complete(folder / "policy"):
            launch(_refine, ranks, config, watch, tuple(data), cache, policy, folder)
        policy = folder / "policy"
    return policy


def _record(
    root: Path,
    episodes: int,
    seed: int,
    ranks: int,
    log: Callable[[str], None],
    **options: Any,  # noqa: ANN401
) -> None:
    """On one rank, with the options of `record`; the others wait."""
    from takt.recipes.demonstrations import record
    from takt.training.parallel import on_first_rank

    def show(done: int, seed: int) -> None:
        if done % 10 == 0:
            log(f"  {done} episodes (seed {seed})")

    on_first_rank(partial(record, **options), root, episodes, seed, ranks, show)


def _train(
    config: "TrainingConfig", watch: WatchConfig, data: Path, cache: Path, out: Path
) -> None:
    """One rank."""
    from takt.embodiments.nut_station.spec import SPEC
    from takt.training.pipeline import train

    with Watch(watch, out.parent, out) as watched:
        measures = _measures(config, watch, cache, watched)
        train(config, SPEC, data, cache, out, watched.report, measures)


def _refine(
    config: "TrainingConfig",
    watch: WatchConfig,
    data: tuple[Path, ...],
    cache: Path,
    start: Path,
    out: Path,
) -> None:
    """One rank."""
    from takt.embodiments.nut_station.spec import SPEC
    from takt.training.pipeline import refine

    with Watch(watch, out.parent, out) as watched:
        measures = _measures(config, watch, cache, watched)
        refine(config, SPEC, data, cache, start, out, watched.report, measures)


def _measures(
    config: "TrainingConfig", watch: WatchConfig, cache: Path, watched: Watch
) -> "Measures":
    """Of validation's demonstrations and cycles."""
    from takt.embodiments.nut_station.spec import SPEC
    from takt.recipes.station_rollouts import work
    from takt.training.frame_cache import load_frames
    from takt.training.measures import Measures

    held_out = None
    if watch.validate_every:
        keys = config.grounding.key, config.plan_key
        (held_out,) = load_frames([cache.parent / VALIDATION], cache, SPEC, *keys)
    return Measures(
        held_out=held_out,
        validate_every=watch.validate_every,
        attempts=partial(work, watch.rollouts),
        rollout_every=watch.rollout_every,
        record=watched.record,
    )
