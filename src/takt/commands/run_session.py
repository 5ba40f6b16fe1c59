"""Everything that `takt run` needs before the first tick, connected and known to fit together."""

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from takt.benchmarks.checkpoint import CheckpointChunking
from takt.benchmarks.player import chain
from takt.benchmarks.shift_config import Mode
from takt.commands.run_body import Body, Driven, Simulated
from takt.commands.run_human import Human, human_at
from takt.commands.run_options import Config
from takt.commands.run_policy import Planner, known_facts, planner_named
from takt.commands.run_probe import Probe, complete_facts, probe
from takt.commands.run_summary import RunSummary
from takt.extras import require_extra
from takt.runtime.board import Board
from takt.runtime.chunking import Chunking, title
from takt.runtime.clock import Clock, VirtualClock, WallClock
from takt.runtime.executor import Executor
from takt.runtime.latency import PAPER_LATENCY_MS, Injected, Latency, Measured, delay_ticks
from takt.runtime.rerun_viewer import RerunViewer
from takt.runtime.robot import Robot
from takt.runtime.safety import Governor, Touch
from takt.runtime.supervision import Supervision
from takt.runtime.synchroniser import Patience
from takt.types import Embodiment, TaktError

if TYPE_CHECKING:
    from takt.runtime.recorder import Recorder


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A body, a policy and how they go together; `robot` only where the body is driven."""

    body: Body
    embodiment: Embodiment
    planner: Planner
    chunking: Chunking
    wall: bool
    robot: Robot | None
    board: Board | None
    recorder: "Recorder | None"
    human: Human | None
    viewer: RerunViewer | None
    summary: RunSummary

    def executor(self, seed: int) -> Executor:
        """Of a new episode: body and policy are reset."""
        if isinstance(self.body, Simulated):
            self.body.reset(seed)
        self.planner.worker.reset(seed)
        if self.human is not None:
            self.human.new_episode()
        clock, latency = self._timing()
        return Executor(
            self.embodiment,
            self.planner.worker,
            self.chunking,
            clock=clock,
            latency=latency,
            governor=Governor.of(self.body.spec, self.body.limits, self._touch()),
            operator=self.human.jog if self.human else None,
            listeners=[each for each in (self.board, self.recorder, self.viewer) if each],
        )

    def _timing(self) -> tuple[Clock, Latency]:
        dt = self.body.spec.dt
        if self.wall:
            return WallClock(dt), Measured()
        return VirtualClock(dt), Injected(self.summary.planned_delay)

    def _touch(self) -> Touch | None:
        """Forces are asked for only where they are limited."""
        limited = self.robot is not None and self.body.limits.force is not None
        return self.robot.touch if self.robot is not None and limited else None


def open_session(config: Config, body: Body, stack: ExitStack) -> Session:
    """Load the policy, connect the body, ask for a few plans; nothing moves yet.

    Raises:
        TaktError: a part is missing or silent, or policy, body and latency do not fit.
    """
    _require_clock(config, body)
    supervision = Supervision(watchdog_s=config.watchdog_ms * 1e-3, priority=config.priority)
    planner = planner_named(config, body.spec)
    stack.callback(planner.worker.close)
    planner.worker.reset(config.seed)  # waits until it can plan; only then is the body bothered
    known = known_facts(planner, body.spec)
    embodiment, robot = _connect(config, body, stack)
    human = human_at(config.operator, config.authority, body.spec, stack)
    real = robot is not None or human is not None
    wall = config.clock == "wall" or (config.clock == "auto" and real)
    found = probe(config.policy, planner.worker, embodiment, known)
    facts = complete_facts(known, found, config.execute)
    delay = delay_ticks(_latency_ms(config, found, wall), body.spec.rate_hz)
    chunking = chain(_mode(config, facts, delay), facts, delay)
    summary = RunSummary(
        spec=body.spec,
        policy=config.policy,
        strategy=title(chunking),
        clock="wall" if wall else "virtual",
        planned_delay=delay,
    )
    board, viewer = _board(config, summary, stack), _viewer(config, body, stack)
    recorder = _recorder(config, embodiment, stack)
    if wall:  # last of all: what is started now is not collected, and priority is for the loop
        embodiment, summary.scheduling = stack.enter_context(supervision.of(embodiment))
    return Session(
        body=body,
        embodiment=embodiment,
        planner=planner,
        chunking=chunking,
        wall=wall,
        robot=robot,
        board=board,
        recorder=recorder,
        human=human,
        viewer=viewer,
        summary=summary,
    )


def _require_clock(config: Config, body: Body) -> None:
    if config.clock == "virtual" and isinstance(body, Driven):
        raise TaktError(
            f"--clock virtual: expected a simulation, got the driven {body.spec.name!r}, which "
            "would be moved as fast as this machine computes; leave --clock out"
        )


def _connect(config: Config, body: Body, stack: ExitStack) -> tuple[Embodiment, Robot | None]:
    match body:
        case Driven(driver=driver):
            print(f"body: connecting {body.spec.name}", file=sys.stderr, flush=True)
            held = config.patience_ms * 1e-3
            patience = Patience(joints_s=held, cameras_s=held)
            robot = stack.enter_context(Robot(driver, patience=patience))
            return robot, robot
        case Simulated(simulation):
            body.reset(config.seed)
            return simulation, None


def _board(config: Config, summary: RunSummary, stack: ExitStack) -> Board | None:
    if not config.board:
        return None
    board = stack.enter_context(Board(summary.title, summary.spec))
    print(f"board: {board.url}", file=sys.stderr, flush=True)
    return board


def _recorder(config: Config, body: Embodiment, stack: ExitStack) -> "Recorder | None":
    if config.record is None:
        return None
    require_extra("data", "takt run --record")
    from takt.runtime.recorder import Recorder

    touch = body.observe().touch
    recorder = Recorder(config.record, body.spec, touch=0 if touch is None else len(touch))
    return stack.enter_context(recorder)


def _viewer(config: Config, body: Body, stack: ExitStack) -> RerunViewer | None:
    if config.rerun is None:
        return None
    return stack.enter_context(RerunViewer(config.rerun, body.spec))


def _latency_ms(config: Config, found: Probe, wall: bool) -> float:
    if config.latency_ms is not None:
        return config.latency_ms
    return 1e3 * found.latency_s if wall else PAPER_LATENCY_MS


def _mode(config: Config, facts: CheckpointChunking, delay: int) -> Mode:
    if config.mode != "auto":
        return config.mode
    return "async" if delay <= facts.max_prefix and facts.max_prefix > 0 else "naive"
