"""A small driver whose every device can be told to fail, and a clock that obeys."""

import threading
from collections.abc import Callable, Mapping

import numpy as np

from takt.embodiments.driver import Camera, Frame, JointSample
from takt.types import ActionSpace, CameraSpec, EmbodimentSpec

ARM = EmbodimentSpec(
    name="arm",
    rate_hz=50.0,
    cameras=(
        CameraSpec(name="front", view="Ego View", height=4, width=6),
        CameraSpec(name="wrist", view="Left-Wrist View", height=4, width=6),
    ),
    action_space=ActionSpace(
        names=("shoulder", "elbow"),
        units=("rad", "rad"),
        low=np.full(2, -2, np.float32),
        high=np.full(2, 2, np.float32),
    ),
    slots=(0, 1),
    relative=(True, True),
    instruction="Wave.",
)


def image(value: int = 0) -> np.ndarray:
    return np.full((4, 6, 3), value, np.uint8)


class FakeClock:
    """Stands still until it is moved."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class FakeCamera:
    """Delivers what `see` is given, blocks in between, ends with `close`."""

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._next: list[Frame | Exception] = []
        self.closed = False

    def see(self, *frames: Frame | Exception) -> None:
        with self._ready:
            self._next.extend(frames)
            self._ready.notify()

    def read(self) -> Frame:
        with self._ready:
            self._ready.wait_for(lambda: self._next or self.closed)
            if not self._next:
                raise OSError("camera closed")
            frame = self._next.pop(0)
        if isinstance(frame, Exception):
            raise frame
        return frame

    def close(self) -> None:
        with self._ready:
            self.closed = True
            self._ready.notify()


class SteadyCamera:
    """A frame whenever it is asked, every few milliseconds, until it is unplugged."""

    def __init__(self, clock: Callable[[], float], pause_s: float = 0.005) -> None:
        self._clock, self._pause_s = clock, pause_s
        self._closed = threading.Event()
        self.unplugged = False

    def read(self) -> Frame:
        self._closed.wait(self._pause_s)
        if self.unplugged:
            raise OSError("no such device")
        return Frame(stamp=self._clock(), image=image())

    def close(self) -> None:
        self._closed.set()


class FakeDriver:
    """Joints that jump to their targets; records every command and every stop."""

    def __init__(self, clock: Callable[[], float], cameras: Mapping[str, Camera]) -> None:
        self._clock, self._cameras = clock, cameras
        self.state = np.zeros(2, np.float32)
        self.touch: np.ndarray | None = None
        self.commands: list[np.ndarray] = []
        self.stops, self.closes, self.stop_failures = 0, 0, 0

    @property
    def spec(self) -> EmbodimentSpec:
        return ARM

    @property
    def cameras(self) -> Mapping[str, Camera]:
        return self._cameras

    def connect(self) -> None: ...

    def read(self) -> JointSample:
        return JointSample(stamp=self._clock(), state=self.state, touch=self.touch)

    def command(self, action: np.ndarray) -> None:
        self.commands.append(action)
        self.state = action

    def stop(self) -> None:
        self.stops += 1
        if self.stops <= self.stop_failures:
            raise OSError("bus is busy")

    def close(self) -> None:
        self.closes += 1
