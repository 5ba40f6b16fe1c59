"""A bridge to the robots of lerobot, which is imported only when one is made.

lerobot needs Python >= 3.12 and older versions of torch than takt's training: install the extra
`lerobot` in an environment of its own, run the body there, and the policy elsewhere (`takt serve`).
`examples/so101.toml` is a body of this kind.
"""

import importlib
import math
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np

from takt.embodiments.driver import Camera, DriverError, Frame, JointSample
from takt.types import EmbodimentSpec, Seconds

FRAME_TIMEOUT_MS = 500.0
LOCK_TIMEOUT_S = 0.2  # `stop` does not wait longer for a caller who is stuck on the bus
FRESH_S = 0.1  # a body in motion must not be sent back to where it was before


class LeRobotCamera(Protocol):
    """What is used of lerobot's `Camera`."""

    def async_read(self, timeout_ms: float = ...) -> np.ndarray:
        """Wait for a frame that nobody has seen yet: (height, width, 3) uint8 RGB."""
        ...


class LeRobot(Protocol):
    """What is used of lerobot's `Robot`."""

    cameras: dict[str, Any]

    @property
    def action_features(self) -> Mapping[str, Any]:
        """Keys of an action."""
        ...

    @property
    def observation_features(self) -> Mapping[str, Any]:
        """Keys of an observation."""
        ...

    @property
    def is_calibrated(self) -> bool:
        """Whether joints read what they are."""
        ...

    def connect(self, calibrate: bool = ...) -> None:
        """Open motors and cameras."""

    def get_observation(self) -> Mapping[str, Any]:
        """Read motors, then wait for cameras."""
        ...

    def send_action(self, action: dict[str, float]) -> Mapping[str, Any]:
        """Command motors."""
        ...

    def disconnect(self) -> None:
        """Close motors and cameras."""


def lerobot_driver(
    spec: EmbodimentSpec,
    *,
    robot: Mapping[str, Any],
    modules: Sequence[str] = (),
    angle: Literal["deg", "rad"] = "deg",
) -> "LeRobotDriver":
    """The driver of a robot that lerobot knows.

    Args:
        spec: Its axes are named as lerobot's features, with or without ".pos".
        robot: lerobot's configuration, as its command line takes it; `type` names the class.
        modules: Modules that register the types of robot and cameras.
        angle: What the robot counts joints in; axes of the spec in "rad" are converted.

    Raises:
        DriverError: lerobot is not installed, or the spec's axes are not the robot's.
    """
    try:
        import draccus  # pyright: ignore[reportMissingImports]
        from lerobot.robots import (  # pyright: ignore[reportMissingImports]
            RobotConfig,
            make_robot_from_config,
        )

        for module in modules:
            importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise DriverError(
            f"a lerobot body needs {error.name}, not installed here; in an environment of its own "
            "(Python >= 3.12), in takt's source folder: pip install '.[lerobot]'"
        ) from error
    return LeRobotDriver(
        make_robot_from_config(draccus.decode(RobotConfig, dict(robot))), spec, angle=angle
    )


class LeRobotDriver:
    """Drives a lerobot robot; whoever reads its joints does not wait for its cameras."""

    def __init__(
        self, robot: LeRobot, spec: EmbodimentSpec, *, angle: Literal["deg", "rad"] = "deg"
    ) -> None:
        """Checks the names; nothing is opened before `connect`."""
        self._robot, self._spec = robot, spec
        names = spec.action_space.names
        self._actions = _keys(names, robot.action_features, f"{spec.name}: action")
        self._states = _keys(spec.state_names, robot.observation_features, f"{spec.name}: state")
        if rest := sorted(set(robot.action_features) - set(self._actions)):
            raise DriverError(
                f"{spec.name}: expected an axis for each of lerobot's {rest}, got none"
            )
        turns = math.radians(1.0) if angle == "deg" else 1.0
        scale = dict(
            zip(names, (turns if u == "rad" else 1.0 for u in spec.action_space.units), strict=True)
        )
        self._action_scale = np.array([scale[name] for name in names])
        self._state_scale = np.array([scale.get(name, 1.0) for name in spec.state_names])
        self._cameras = {name: _Camera(robot.cameras[name]) for name in robot.cameras}
        self._bus = threading.Lock()
        self._observed: tuple[Seconds, Mapping[str, Any]] = (-math.inf, {})
        self._commanded: dict[str, float] = {}
        self._hidden: list[tuple[LeRobot, dict[str, Any]]] = []
        self._connected = False

    @property
    def spec(self) -> EmbodimentSpec:
        """Its fixed facts."""
        return self._spec

    @property
    def cameras(self) -> Mapping[str, Camera]:
        """Those of the robot, by lerobot's names."""
        return self._cameras

    def connect(self) -> None:
        """Open motors and cameras; a robot without calibration is refused, for it would ask."""
        self._robot.connect(calibrate=False)
        self._connected = True
        if not self._robot.is_calibrated:
            raise DriverError(
                f"{self._spec.name}: expected a calibrated robot; run lerobot-calibrate for it"
            )
        # get_observation waits for every camera the robot has; the joints must not
        parts = [self._robot, *(p for p in vars(self._robot).values() if _is_robot(p))]
        self._hidden = [(part, part.cameras) for part in parts]
        for part in parts:
            part.cameras = {}

    def read(self) -> JointSample:
        """Measure the joints."""
        with self._bus:
            stamp = time.monotonic()
            observed = self._robot.get_observation()
            self._observed = stamp, observed
        state = np.array([observed[key] for key in self._states], np.float64) * self._state_scale
        return JointSample(stamp=stamp, state=state.astype(np.float32))

    def command(self, action: np.ndarray) -> None:
        """Send targets."""
        targets = (action / self._action_scale).tolist()
        wanted = dict(zip(self._actions, targets, strict=True))
        with self._bus:
            self._robot.send_action(wanted)
            self._commanded = wanted

    def stop(self) -> None:
        """Hold the measured pose, else the last target; stand still on speeds (".vel")."""
        if not self._connected:
            return
        held = self._bus.acquire(timeout=LOCK_TIMEOUT_S)
        try:
            self._robot.send_action(self._rest())
        finally:
            if held:
                self._bus.release()

    def close(self) -> None:
        """Disconnect; whether the motors keep their torque is lerobot's configuration."""
        for part, cameras in self._hidden:
            part.cameras = cameras
        self._hidden = []
        if self._connected:
            self._connected = False
            self._robot.disconnect()

    def _rest(self) -> dict[str, float]:
        """The measured pose where it is known by now, else the last target; and no speed."""
        stamp, seen = self._observed
        if time.monotonic() - stamp > FRESH_S:
            seen = {} if self._commanded else self._robot.get_observation()
        measured = {key: float(seen[key]) for key in self._actions if key in seen}
        known = {key: value for key, value in measured.items() if math.isfinite(value)}
        speeds = {key: 0.0 for key in self._actions if key.endswith(".vel")}
        return self._commanded | known | speeds


class _Camera:
    """A camera of lerobot's, which has a reading thread of its own."""

    def __init__(self, camera: LeRobotCamera) -> None:
        self._camera, self._closed = camera, False

    def read(self) -> Frame:
        if self._closed:
            raise DriverError("the camera is closed")
        image = self._camera.async_read(timeout_ms=FRAME_TIMEOUT_MS)
        # of its arrival: lerobot does not know when the shutter was open
        return Frame(stamp=time.monotonic(), image=np.asarray(image))

    def close(self) -> None:
        self._closed = True


def _is_robot(part: object) -> bool:
    """An arm of a bimanual robot, which reads its own cameras."""
    return callable(getattr(part, "get_observation", None)) and hasattr(part, "cameras")


def _keys(names: Sequence[str], features: Mapping[str, Any], where: str) -> tuple[str, ...]:
    keys = [name if name in features else f"{name}.pos" for name in names]
    if missing := [name for name, key in zip(names, keys, strict=True) if key not in features]:
        raise DriverError(
            f"{where}: expected axes named as lerobot's features {sorted(features)} "
            f"(with or without .pos), got {missing}; rename them in the spec"
        )
    return tuple(keys)
