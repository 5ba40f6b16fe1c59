"""All sensors of a body, resampled to the control tick without ever waiting for one of them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from takt.embodiments.driver import Camera, DriverError, Frame, JointSample
from takt.runtime.sensor_feed import Reading, SensorFeed
from takt.transforms.alignment import align
from takt.types import CameraSpec, EmbodimentSpec, Observation, Seconds

JOINTS = "joints"
JOINT_SAMPLES, FRAMES = 64, 8  # kept of each sensor; a policy needs the newest few
JOINT_READS_PER_TICK = 4  # held between them, they err by less than a quarter of a tick's motion


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a silent sensor's last sample is held before the body is stopped.

    `first_s` is for the first sample after connecting: cameras need a while to begin.
    """

    joints_s: Seconds = 0.3
    cameras_s: Seconds = 0.3
    first_s: Seconds = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorTiming:
    """When the sample of an observation was captured.

    `age_s`: observation stamp minus capture. `skew_s`: capture minus that of the newest joint
    sample, negative for an image older than the joints. The worst of the run beside the last one.
    """

    age_s: Seconds
    skew_s: Seconds
    worst_age_s: Seconds
    worst_skew_s: Seconds
    reading: Reading


class Synchroniser:
    """Observations from sensors that run at their own rates."""

    def __init__(
        self,
        spec: EmbodimentSpec,
        read_joints: Callable[[], JointSample],
        cameras: Mapping[str, Camera],
        *,
        patience: Patience | None = None,
        clock: Callable[[], Seconds] = time.monotonic,
    ) -> None:
        """Nothing is read before `start`.

        Raises:
            DriverError: the cameras are not those of the spec.
        """
        wanted = {camera.name for camera in spec.cameras}
        if wanted != set(cameras):
            raise DriverError(
                f"{spec.name}: expected the spec's cameras {sorted(wanted)}, the driver has "
                f"{sorted(cameras)}; name them alike"
            )
        self._spec, self._clock = spec, clock
        self._patience = patience or Patience()
        self._joints = SensorFeed(
            JOINTS,
            lambda: _stamped(read_joints(), spec),
            patience_s=self._patience.joints_s,
            capacity=JOINT_SAMPLES,
            clock=clock,
            period_s=spec.dt / JOINT_READS_PER_TICK,
        )
        self._cameras = {c.name: self._camera_feed(c, cameras[c.name]) for c in spec.cameras}
        self._timing: dict[str, SensorTiming] = {}

    @property
    def feeds(self) -> tuple[SensorFeed, ...]:
        """One for each sensor, the joints first."""
        return self._joints, *self._cameras.values()

    def start(self) -> None:
        """Start every sensor's thread and wait for the first samples.

        Raises:
            SensorLostError: a sensor did not begin in time.
        """
        for feed in self.feeds:
            feed.start()
        deadline = time.monotonic() + self._patience.first_s
        for feed in self.feeds:
            feed.wait_first(max(0.0, deadline - time.monotonic()))

    def require_alive(self, now: Seconds) -> None:
        """Raise a `SensorLostError` if a sensor was silent for too long; never waits."""
        for feed in self.feeds:
            feed.require_alive(now)

    def touch(self) -> np.ndarray | None:
        """Newest measured forces (touch,); None for a body without."""
        newest = self._joints.buffer.newest()
        return newest[1].touch if newest else None

    def observation(self, now: Seconds) -> Observation:
        """What was sensed at `now`: the latest image not after it, joints interpolated at it.

        Raises:
            SensorLostError: a sensor was silent for longer than its last sample may be held.
        """
        self.require_alive(now)
        joint_stamps, samples = self._joints.buffer.snapshot()
        frames = {name: feed.buffer.snapshot() for name, feed in self._cameras.items()}
        aligned = align(
            now,
            {name: stamps for name, (stamps, _) in frames.items()},
            joint_stamps,
            np.stack([sample.state for sample in samples]),
        )
        chosen = {name: frames[name][1][index] for name, index in aligned.frames.items()}
        stamps = {name: frame.stamp for name, frame in chosen.items()}
        newest = min(float(joint_stamps[-1]), now)
        self._note(now, newest, {JOINTS: newest, **stamps})
        return Observation(
            stamp=now,
            images={name: frame.image for name, frame in chosen.items()},
            image_stamps=stamps,
            state=aligned.joints,
            instruction=self._spec.instruction,
            touch=samples[-1].touch,
        )

    def timing(self) -> Mapping[str, SensorTiming]:
        """By sensor, as of the last observation; empty before the first."""
        return dict(self._timing)

    def close(self) -> None:
        """End every thread. Idempotent."""
        for feed in self.feeds:
            feed.close()

    def _camera_feed(self, spec: CameraSpec, camera: Camera) -> SensorFeed[Frame]:
        def read() -> tuple[Seconds, Frame]:
            frame = camera.read()
            expected = (spec.height, spec.width, 3)
            if frame.image.shape != expected:
                raise DriverError(
                    f"camera {spec.name!r}: expected images of {expected}, got "
                    f"{frame.image.shape}; resize them in the driver"
                )
            return frame.stamp, frame

        return SensorFeed(
            spec.name,
            read,
            patience_s=self._patience.cameras_s,
            capacity=FRAMES,
            clock=self._clock,
        )

    def _note(self, now: Seconds, joints: Seconds, captured: Mapping[str, Seconds]) -> None:
        for feed in self.feeds:
            age, skew = now - captured[feed.name], captured[feed.name] - joints
            before = self._timing.get(feed.name)
            self._timing[feed.name] = SensorTiming(
                age_s=age,
                skew_s=skew,
                worst_age_s=max(age, before.worst_age_s if before else 0.0),
                worst_skew_s=max(skew, before.worst_skew_s if before else 0.0, key=abs),
                reading=feed.reading,
            )


def _stamped(sample: JointSample, spec: EmbodimentSpec) -> tuple[Seconds, JointSample]:
    if len(sample.state) != len(spec.state_names) or not np.isfinite(sample.state).all():
        raise DriverError(
            f"{spec.name}: expected {len(spec.state_names)} finite joint values, "
            f"got {sample.state.tolist()}"
        )
    return sample.stamp, sample
