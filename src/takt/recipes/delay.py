"""The delay benchmark: networks of every method, trained alike, then every strategy at every delay.

Each network and each cell is a file; what is there is not made again, so a killed run goes on.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from takt.benchmarks.delay import Cell, CellKey, run_cell
from takt.benchmarks.delay_copying import following
from takt.benchmarks.delay_strategies import METHODS, STRATEGIES, Strategy, chunking
from takt.datasets.atomic import write_atomically
from takt.policies.track.config import NETWORKS, Network
from takt.recipes.job_pool import Job, run_jobs
from takt.runtime.chunking import Prefixed
from takt.seeds import EVALUATION_BEGIN, VALIDATION_BEGIN, require_split
from takt.simulation.track.demonstrations import demonstrate

if TYPE_CHECKING:
    from takt.training.metrics import StepReport
    from takt.training.track_networks import TrackTraining

DEMONSTRATIONS = 2000
HEAD = "correction_head"
COPYING_SEEDS = VALIDATION_BEGIN + 50_000
_MEASURES = 2
"""Raised with every change of what a cell's numbers mean: cells of another are run anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayBenchmark:
    """What is run.

    Attributes:
        networks: Folder with a folder of networks for each training seed.
        cells: Folder of the results.
        seeds: Training seeds.
        delays: Ticks.
        strategies: By name.
        episodes: Of evaluation, the same for every cell.
        jitter: Scatter the delays by half and make one in a hundred five times as long.
        workers: Processes of one thread each.
    """

    networks: Path
    cells: Path
    seeds: Sequence[int]
    delays: Sequence[int]
    strategies: Sequence[Strategy] = STRATEGIES
    episodes: int = 100
    first_episode: int = EVALUATION_BEGIN
    jitter: bool = False
    workers: int = 1

    def grid(self) -> list[CellKey]:
        """Every cell."""
        return [
            CellKey(strategy=strategy, seed=seed, delay=delay, jitter=self.jitter)
            for delay in self.delays
            for seed in self.seeds
            for strategy in self.strategies
        ]


def shipped_networks() -> Path:
    """Those that come with takt."""
    return Path(str(files("takt.policies.track"))) / "checkpoints"


def default_workers() -> int:
    """One a core."""
    return os.cpu_count() or 1


def train(
    training: "TrackTraining",
    folder: Path,
    seeds: Sequence[int],
    workers: int,
    log: Callable[[str], None],
    demonstrations: int = DEMONSTRATIONS,
) -> None:
    """Every network of every seed into `folder`, and the head behind its network."""
    job = partial(_train_one, training=training, folder=folder, demonstrations=demonstrations)
    networks = [(seed, network) for seed in seeds for network in NETWORKS]
    _perform(job, [pair for pair in networks if not _file(folder, *pair).exists()], workers, log)
    heads = [(seed, HEAD) for seed in seeds]
    _perform(job, [pair for pair in heads if not _file(folder, *pair).exists()], workers, log)


def evaluate(benchmark: DelayBenchmark, log: Callable[[str], None]) -> Mapping[CellKey, Cell]:
    """Run the cells that are not there yet; all of them.

    Raises:
        SeedError: an episode's seed belongs to training.
        TaktError: a network is missing, or a process died.
    """
    require_split(benchmark.first_episode, benchmark.episodes, "evaluation")
    for key in benchmark.grid():  # refused before anything is run
        chunking(key.strategy, key.delay, jitter=key.jitter)
    left = [key for key in benchmark.grid() if _read(benchmark, key) is None]
    _perform(partial(_run_one, benchmark=benchmark), left, benchmark.workers, log)
    cells = {key: _read(benchmark, key) for key in benchmark.grid()}
    return {key: cell for key, cell in cells.items() if cell is not None}


def forget(benchmark: DelayBenchmark) -> None:
    """Drop results of earlier runs: all cells are run anew."""
    for key in benchmark.grid():
        _cell_file(benchmark, key).unlink(missing_ok=True)


def _perform(
    work: Callable[[Job], str], jobs: Sequence[Job], workers: int, log: Callable[[str], None]
) -> None:
    """Each of `jobs`, `workers` at once, in processes of their own where that is more than one."""
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            log(work(job))
        return
    run_jobs(work, jobs, workers, log)


def _train_one(
    job: tuple[int, Network | str], *, training: "TrackTraining", folder: Path, demonstrations: int
) -> str:
    """Train one network, or the head of a seed's plain one; returns a line about it."""
    from takt.training.track_networks import train_head, train_network, windows

    seed, name = job
    path = _file(folder, seed, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    first = seed * demonstrations  # every training seed has demonstrations of its own
    played = demonstrate(range(first, first + demonstrations), "training")
    source = windows(played.states, played.actions, played.slipped)
    last: list[StepReport] = []

    def report(step: "StepReport") -> None:
        last[:] = [step]
        if step.step % 500 == 0:
            print(f"  {name} seed {seed}: {step.step}/{step.steps}", flush=True)

    if name in NETWORKS:
        train_network(name, source, training, seed, path, report)
    else:
        base = _file(folder, seed, "plain")
        train_head(base, source, training, seed, path, report)
    loss = f", loss {last[0].losses['loss']:.4f}" if last else ""
    return f"{name} seed {seed}: trained{loss}"


def _run_one(key: CellKey, *, benchmark: DelayBenchmark) -> str:
    """Run one cell and write its file; returns a line about it."""
    from takt.policies.track.correction import TrackCorrector
    from takt.policies.track.policy import Job, TrackPlanner

    method = METHODS[key.strategy]
    path = _file(benchmark.networks, key.seed, method.network)
    planner = TrackPlanner.load(path, guided=method.guided, guided_steps=method.guided_steps)
    head = _file(benchmark.networks, key.seed, HEAD)
    corrector = TrackCorrector.load(head) if method.corrected else None
    first = benchmark.first_episode
    episodes = range(first, first + benchmark.episodes)
    memories = [planner.begin(seed) for seed in episodes]
    cell = run_cell(
        key,
        lambda asked: planner.plan([Job(memories[n], seen, done) for n, seen, done in asked]),
        episodes,
        corrector,
    )
    made = chunking(key.strategy, key.delay, jitter=key.jitter)
    if isinstance(made, Prefixed) and made.prefix:
        share = following(planner, made.prefix, made.execute, COPYING_SEEDS)
        cell = replace(cell, following_sum=share, following_count=1)
    facts = {"measures": _MEASURES, "key": asdict(key), "cell": cell.to_json()}
    write_atomically(_cell_file(benchmark, key), json.dumps(facts).encode())
    return (
        f"d={key.delay} {key.strategy} seed {key.seed}: {cell.successes}/{cell.episodes}, "
        f"{cell.motion.stalls} stalls"
    )


def _file(folder: Path, seed: int, name: str) -> Path:
    return folder / f"seed-{seed}" / f"{name}.safetensors"


def _cell_file(benchmark: DelayBenchmark, key: CellKey) -> Path:
    jitter = "-jitter" if key.jitter else ""
    return benchmark.cells / f"{key.strategy}-seed{key.seed}-d{key.delay}{jitter}.json"


def _read(benchmark: DelayBenchmark, key: CellKey) -> Cell | None:
    """None where it has not been run as it is measured now."""
    path = _cell_file(benchmark, key)
    facts = json.loads(path.read_text()) if path.exists() else {}
    return Cell.of_json(facts["cell"]) if facts.get("measures") == _MEASURES else None
