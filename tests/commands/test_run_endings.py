"""Why a run ended early is told once, whoever else hears of it."""

import json
import time

import numpy as np
import pytest
from bodies import FakeDriver, SteadyCamera

from takt.cli import main
from takt.commands.run_body import Body, Driven
from takt.embodiments.limits import UNLIMITED

CALM = ["--body", "arm", "--seconds", "0.2", "--patience-ms", "9000", "--watchdog-ms", "9000"]


class Arm(FakeDriver):
    def __init__(self) -> None:
        cameras = {name: SteadyCamera(time.monotonic) for name in ("front", "wrist")}
        super().__init__(time.monotonic, cameras)


class Unplugged(Arm):
    """Loses its bus on the third tick."""

    def command(self, action: np.ndarray) -> None:
        super().command(action)
        if len(self.commands) == 3:
            raise OSError("bus is gone")


class Runaway(Arm):
    def stop(self) -> None:
        raise OSError("bus is busy")


class Interrupted(Arm):
    """Somebody presses Ctrl-C on the third tick."""

    def command(self, action: np.ndarray) -> None:
        super().command(action)
        if len(self.commands) == 3:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("arm", "status", "cause"),
    [
        (Unplugged, 2, "bus is gone"),
        (Runaway, 2, "CUT ITS POWER"),
        (Interrupted, 130, "interrupted"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_the_cause_is_told_once(
    arm: type[Arm],
    status: int,
    cause: str,
    as_json: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body: Body = Driven(arm(), UNLIMITED)
    monkeypatch.setattr("takt.commands.run.body_named", lambda name: body)
    assert main(["run", *CALM, *(["--json"] if as_json else [])]) == status
    told = capsys.readouterr()
    assert told.err.count(cause) == 1
    assert "takt run: ended early: " in told.err
    if as_json:
        assert cause in json.loads(told.out)["stopped"]
    else:
        assert cause not in told.out
        assert "1 episodes" in told.out
