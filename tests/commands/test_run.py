"""`takt run`: simulated and driven bodies, policies by name and by where they stand."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from bodies import ARM, FakeDriver, SteadyCamera, image
from interrupts import hear_interrupts

from takt.cli import main
from takt.embodiments.driver import Camera
from takt.embodiments.limits import Limits
from takt.runtime.real_time import real_time
from takt.types import ActionChunk, EmbodimentSpec, Observation

CALM = ["--patience-ms", "9000", "--watchdog-ms", "5000"]
EXAMPLE = Path(__file__).parents[2] / "examples" / "03_new_body.py"


@pytest.fixture(autouse=True)
def _children_find_this(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))


def steady() -> dict[str, Camera]:
    return {name: SteadyCamera(time.monotonic) for name in ("front", "wrist")}


class Arm(FakeDriver):
    """A fake arm that takes no arguments."""

    limits = Limits(velocity=np.full(2, 0.5, np.float32))

    def __init__(self, cameras: Mapping[str, Camera] | None = None) -> None:
        super().__init__(time.monotonic, cameras or steady())


class FadingArm(Arm):
    """Loses a camera after a while."""

    def connect(self) -> None:
        camera = self.cameras["wrist"]
        assert isinstance(camera, SteadyCamera)
        threading.Timer(0.4, lambda: setattr(camera, "unplugged", True)).start()


class Pressing(Arm):
    """Touches something at once."""

    limits = Limits(force=np.ones(1, np.float32))

    def __init__(self) -> None:
        super().__init__()
        self.touch = np.array([2.0], np.float32)


class Clinging(Arm):
    """Never lets go of its devices."""

    def close(self) -> None:
        threading.Event().wait()


class Still:
    """A simulated arm that does not move."""

    spec = ARM

    def observe(self) -> Observation:
        images = {camera.name: image() for camera in ARM.cameras}
        return Observation(
            stamp=0.0,
            images=images,
            image_stamps=dict.fromkeys(images, 0.0),
            state=np.zeros(2, np.float32),
            instruction=ARM.instruction,
        )

    def act(self, action: np.ndarray) -> None: ...

    def stop(self) -> None: ...


class Reach:
    """Plans ten steps of 0.1 rad: ten times as fast as the arm may go."""

    def reset(self, seed: int) -> None: ...

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        actions = observation.state + np.arange(10)[:, None] * 0.1
        actions = np.clip(actions, -2, 2).astype(np.float32)
        return ActionChunk(stamp=observation.stamp, dt=ARM.dt, actions=actions)


def run(capsys: pytest.CaptureFixture[str], *options: str, status: int = 0) -> dict:
    assert main(["run", "--json", *options]) == status
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_driven_body_runs_on_the_wall_clock(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--body", "test_run:Arm", "--policy", "test_run:Reach", "--seconds", "0.5"]
    options += ["--latency-ms", "20", *CALM]
    found = run(capsys, *options)
    assert (found["body"], found["clock"], found["ticks"]) == ("arm", "wall", 25)
    assert found["strategy"] == "naive asynchronous, executes 5"
    assert found["interventions"]["step"] > 10, "the arm's own velocity limit holds"
    assert set(found["sensors"]) == {"joints", "front", "wrist"}
    assert found["sensors"]["front"]["received"] > 5
    assert found["stopped"] is None
    with real_time() as granted:
        assert found["scheduling"] == granted.scheduling


def test_a_simulation_runs_on_the_virtual_clock_and_repeats(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--body", "fakes:FakeStation", "--policy", "fakes:make_policy"]
    first, second = (run(capsys, *options, "--seconds", "9", "--episodes", "2") for _ in range(2))
    assert first["clock"] == "virtual"
    assert first["episodes"] == 2
    assert 2 * 44 < first["ticks"] < 2 * 61, "the body ends its episodes itself"
    assert first["delay_ticks"]["max"] == 3
    for key in ("ticks", "seam_ratio", "jerk_rms", "age_ms", "interventions"):
        assert first[key] == second[key]


def test_hold_and_modes(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--body", "fakes:FakeStation", "--seconds", "1", "--execute", "10"]
    assert run(capsys, *options)["strategy"] == "Λ-prefix, executes 10, prefix up to 3"
    assert run(capsys, *options, "--mode", "sync")["strategy"] == "synchronous, executes 10"


def test_episodes_are_recorded(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from takt.datasets.lerobot import LeRobotDataset

    options = ["--body", "test_run:Still", "--seconds", "0.5", "--episodes", "2"]
    run(capsys, *options, "--record", str(tmp_path / "set"))
    recorded = LeRobotDataset.open(tmp_path / "set")
    assert len(recorded) == 2
    assert len(recorded.episode(1).stamps) == 25


class StopButton:
    """A board whose button is pressed at once."""

    wants_observations, stop_requested, url = False, True, "http://here"

    def __init__(self, title: str, spec: EmbodimentSpec) -> None: ...

    def __enter__(self) -> "StopButton":
        return self

    def __exit__(self, *error: object) -> None: ...

    def on_tick(self, tick: object) -> None: ...


def test_the_button_of_the_board_ends_the_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("takt.commands.run_session.Board", StopButton)
    found = run(capsys, "--body", "test_run:Still", "--board", status=130)
    assert found["stopped"] == "the board's stop button"


def test_a_lost_sensor_ends_the_run_with_its_cause(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--body", "test_run:FadingArm", "--policy", "hold", "--seconds", "60"]
    found = run(capsys, *options, "--patience-ms", "600", "--watchdog-ms", "5000", status=2)
    assert "expected a sample at least every 600 ms" in found["stopped"], "which one is told, too"
    assert found["ticks"] < 500, "of 1800; a host that stood still may lose another sensor first"
    assert found["sensors"]["wrist"]["worst_age_ms"] < 700


def test_force_ends_the_run_before_it_moves(capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, "--body", "test_run:Pressing", *CALM, status=2)
    assert "measured forces" in found["stopped"]
    assert (found["ticks"], found["interventions"]) == (0, {"force": 1})


def test_a_device_that_is_never_released_is_named_and_tells_in_the_exit_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("takt.runtime.robot.CLOSE_TIMEOUT_S", 0.1)
    assert main(["run", "--body", "test_run:Clinging", "--seconds", "0.2", *CALM]) == 2
    told = capsys.readouterr()
    assert "driver: TimeoutError: it did not return within 0.1 s" in told.err
    assert "1 episodes, 10 ticks" in told.out, "what was done is told all the same"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--body", "blocks"], "has no simulation here"),
        (["--body", "test_run:CALM"], "expected a driver"),
        (["--body", "test_run:Nobody"], "no 'Nobody'"),
        (["--body", "fakes:FakeStation", "--policy", "nowhere"], "FILE.py:NAME or ws://"),
        (["--body", "fakes:FakeStation", "--policy", str(EXAMPLE.parent)], "or ws://HOST:PORT"),
        (["--body", "test_run:Arm", "--policy", "nano", *CALM], "checkpoint for 'arm'"),
        (["--body", "fakes:FakeStation", "--policy", "hold", "--device", "cuda"], "leave them out"),
        (["--body", "fakes:FakeStation", "--latency-ms", "900"], "d <= T_e"),
        (["--body", "fakes:FakeStation", "--seconds", "0"], "--seconds"),
        (["--body", "fakes:FakeStation", "--episodes", "0"], "--episodes"),
        (["--body", "test_run:Arm", "--watchdog-ms", "1"], "two ticks"),
        (["--body", "fakes:FakeStation", "--priority", "100"], "--priority"),
        (["--body", "test_run:Arm", "--clock", "virtual"], "expected a simulation"),
    ],
)
def test_bad_input_is_named(
    capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    assert main(["run", *options]) == 2
    assert says in capsys.readouterr().err


def test_a_server_plans_for_the_body_it_serves_and_for_no_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    served = ["serve", "--body", "test_run:Arm", "--policy", "test_run:Reach", "--port", "0"]
    child = subprocess.Popen(
        [
            sys.executable,
            "-u",
            "-c",
            f"from takt.cli import main; main({served})",
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert child.stdout is not None
        address = child.stdout.readline().split()[-1]
        options = ["--policy", address, "--seconds", "0.5", "--latency-ms", "20", *CALM]
        found = run(capsys, "--body", "test_run:Arm", *options)
        assert found["ticks"] == 25
        assert found["policy"] == address
        assert main(["run", "--body", "fakes:FakeStation", *options]) == 2
        assert "for 'nut-station', it serves 'arm'" in capsys.readouterr().err
    finally:
        child.terminate()
        child.wait(20)


def test_sigterm_stops_the_body_and_still_tells(tmp_path: Path) -> None:
    argv = ["run", "--body", f"{EXAMPLE}:DeskArm", "--seconds", "600", "--json", *CALM]
    child = subprocess.Popen(
        [sys.executable, "-u", "-c", f"from takt.cli import main; raise SystemExit(main({argv}))"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        preexec_fn=hear_interrupts,
    )
    assert child.stderr is not None
    assert child.stderr.readline() == "body: connecting desk-arm\n"
    assert "desk-arm · hold" in child.stderr.readline(), "it runs"
    os.kill(child.pid, signal.SIGTERM)
    out, _ = child.communicate(timeout=30)
    assert child.returncode == 143
    found = json.loads(out.splitlines()[-1])
    assert "143" in found["stopped"]
