"""`takt run`: any body with any policy."""

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack

from takt.commands.run_body import Simulated, body_named
from takt.commands.run_options import Config
from takt.commands.run_session import Session, open_session
from takt.commands.run_summary import RunSummary
from takt.runtime.signals import Ending, ending_by_signals
from takt.types import TaktError


def main(argv: list[str]) -> int:
    """Run what the command line says."""
    import tyro

    return drive(tyro.cli(Config, args=argv, prog="takt run"))


def drive(config: Config) -> int:
    """Run the episodes, print the summary.

    Returns:
        0, 2 if a failure ended the run early, or 130 if somebody did: the body was stopped and the
        summary is of what was done.
    """
    body = body_named(config.body)
    told: str | None = None
    try:
        with ExitStack() as stack:
            ending = stack.enter_context(ending_by_signals())
            session = open_session(config, body, stack)
            try:
                with ending.deferred():
                    print(f"takt run: {session.summary.title}", file=sys.stderr, flush=True)
                    return _run(config, session, ending)
            finally:
                _tell(config, session.summary)
                told = session.summary.stopped
    except TaktError as error:
        if str(error) != told:  # a body that does not stop says so again when it is let go of
            raise
        return 2


def _run(config: Config, session: Session, ending: Ending) -> int:
    for episode in range(config.episodes):
        try:
            _run_episode(config, session, config.seed + episode, ending)
        except BaseException as error:
            session.summary.stopped = _cause(error)
            match error:
                case TaktError():
                    return 2
                case KeyboardInterrupt():
                    return 130
            raise
    return 0


def _run_episode(config: Config, session: Session, seed: int, ending: Ending) -> None:
    executor, recorder = session.executor(seed), session.recorder
    if recorder is not None:
        recorder.begin()
    try:
        executor.run(_finished(config, session, ending))
    finally:
        session.summary.traces.append(executor.trace())
        if session.robot is not None:
            session.summary.sensors = session.robot.timing()
        if recorder is not None:
            recorder.end(session.human.jog.verdict if session.human else None)


def _finished(config: Config, session: Session, ending: Ending) -> Callable[[], bool]:
    """Asked once before each tick."""
    body, board = session.body, session.board
    left = round(config.seconds * body.spec.rate_hz)

    def finished() -> bool:
        nonlocal left
        ending.check()
        if board is not None and board.stop_requested:
            raise KeyboardInterrupt("the board's stop button")
        left -= 1
        if session.human is not None and session.human.jog.verdict is not None:
            return True
        return left < 0 or (isinstance(body, Simulated) and body.finished())

    return finished


def _cause(error: BaseException) -> str:
    match error:
        case KeyboardInterrupt():
            return str(error) or "interrupted"
        case SystemExit():
            return f"ended by a signal (exit status {error.code})"
        case TaktError():
            return str(error)
        case _:
            return f"{type(error).__name__}: {error}"


def _tell(config: Config, summary: RunSummary) -> None:
    for line in summary.lines():
        print(line, file=sys.stderr if config.json else sys.stdout, flush=True)
    if summary.stopped:
        print(f"takt run: ended early: {summary.stopped}", file=sys.stderr, flush=True)
    if config.json:
        print(json.dumps(summary.to_json()))
