"""A new body in one file: its spec, its limits, a driver on a serial bus, a camera.

Bus and camera are faked, so that it runs anywhere: put `serial.Serial("/dev/ttyUSB0", 1_000_000)`
and your camera in their places. Run: python examples/03_new_body.py, or

    takt run --body examples/03_new_body.py:DeskArm --policy examples/03_new_body.py:Wave
"""

import struct
import sys
import threading
import time

import numpy as np

from takt.commands import run
from takt.embodiments.driver import DriverError, Frame, JointSample
from takt.embodiments.limits import Limits
from takt.types import ActionChunk, ActionSpace, CameraSpec, EmbodimentSpec, Observation

COUNTS_PER_RAD = 4096 / (2 * np.pi)
READ, WRITE, POSITION, GOAL = 2, 3, 56, 42

SPEC = EmbodimentSpec(
    name="desk-arm",
    rate_hz=30.0,
    cameras=(CameraSpec(name="front", view="Ego View", height=64, width=64),),
    action_space=ActionSpace(
        names=("pan", "lift", "elbow", "gripper"),
        units=("rad",) * 4,
        low=np.array([-1.5, -1.5, -1.5, 0.0], np.float32),
        high=np.array([1.5, 1.5, 1.5, 1.0], np.float32),
    ),
    slots=(7, 8, 9, 6),  # the left arm of the released two-arm layout
    relative=(True, True, True, False),
    instruction="Wave.",
)


def packet(servo: int, code: int, data: bytes) -> bytes:
    """Two 0xff, address, length, code, data, and a checksum: what such servos speak."""
    body = bytes([servo, len(data) + 2, code]) + data
    return b"\xff\xff" + body + bytes([~sum(body) & 0xFF])


class FakeBus:
    """Stands in for `serial.Serial`: four servos that turn at most 2 rad/s."""

    def __init__(self) -> None:
        self._goal, self._position = np.full(4, 2048.0), np.full(4, 2048.0)
        self._moved, self._reply = time.monotonic(), b""

    def write(self, sent: bytes) -> None:
        """Obey one packet; a broken one gets no answer."""
        reach = 2.0 * COUNTS_PER_RAD * (time.monotonic() - self._moved)
        self._moved = time.monotonic()
        self._position += np.clip(self._goal - self._position, -reach, reach)
        servo, code, data = sent[2] - 1, sent[4], sent[5:-1]
        if sent != packet(sent[2], code, data):
            return
        if code == WRITE:
            self._goal[servo] = struct.unpack("<H", data[1:])[0]
        answer = struct.pack("<H", round(self._position[servo])) if code == READ else b""
        self._reply += packet(sent[2], 0, answer)

    def read(self, size: int) -> bytes:
        """At most `size` bytes of the answers."""
        answer, self._reply = self._reply[:size], self._reply[size:]
        return answer


class FakeCamera:
    """Thirty frames a second."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    def read(self) -> Frame:
        """Wait for the next frame."""
        if self._closed.wait(1 / 30):
            raise DriverError("the camera is closed")
        return Frame(stamp=time.monotonic(), image=np.zeros((64, 64, 3), np.uint8))

    def close(self) -> None:
        """No more frames."""
        self._closed.set()


class DeskArm:
    """The driver: takt calls `read` and `command` in two threads, `stop` in any."""

    spec = SPEC
    # rad/s and rad/s^2; a workspace and a force limit can be set as well
    limits = Limits(velocity=np.full(4, 1.5, np.float32), acceleration=np.full(4, 8, np.float32))

    def __init__(self) -> None:
        self.cameras = {"front": FakeCamera()}
        self._lock = threading.Lock()  # one conversation at a time on a serial bus

    def connect(self) -> None:
        """Open the bus."""
        self._bus = FakeBus()

    def read(self) -> JointSample:
        """Ask each servo where it is."""
        stamp = time.monotonic()
        counts = [self._ask(servo, READ, bytes([POSITION, 2])) for servo in range(1, 5)]
        state = [(struct.unpack("<H", count)[0] - 2048) / COUNTS_PER_RAD for count in counts]
        return JointSample(stamp=stamp, state=np.array(state, np.float32))

    def command(self, action: np.ndarray) -> None:
        """Give each servo its goal."""
        for servo, target in enumerate(action, start=1):
            goal = round(2048 + float(target) * COUNTS_PER_RAD)
            self._ask(servo, WRITE, struct.pack("<BH", GOAL, goal))

    def stop(self) -> None:
        """Stay where it is: servos hold their last goal."""
        self.command(self.read().state)

    def close(self) -> None:
        """Nothing to release: a real bus is closed here."""

    def _ask(self, servo: int, code: int, data: bytes) -> bytes:
        with self._lock:
            self._bus.write(packet(servo, code, data))
            head = self._bus.read(4)
            answer = head + self._bus.read(head[3] if len(head) == 4 else 0)
        if answer != packet(servo, 0, answer[5:-1]):
            raise DriverError(f"servo {servo}: expected an answer, got {answer.hex() or 'none'}")
        return answer[5:-1]


class Wave:
    """A policy that needs no training: a sine on the first joint, the others stay."""

    def reset(self, seed: int) -> None:
        """Nothing to forget."""

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        """One second of it."""
        actions = np.tile(observation.state, (30, 1))
        actions[:, 0] = 0.5 * np.sin(2 * (observation.stamp + SPEC.dt * np.arange(30)))
        return ActionChunk(stamp=observation.stamp, dt=SPEC.dt, actions=actions)


if __name__ == "__main__":
    argv = ["--body", f"{__file__}:DeskArm", "--policy", f"{__file__}:Wave", "--seconds", "3"]
    # a busy laptop is no robot's computer: a late thread must not end the example
    sys.exit(run.main([*argv, "--patience-ms", "5000", "--watchdog-ms", "5000", *sys.argv[1:]]))
