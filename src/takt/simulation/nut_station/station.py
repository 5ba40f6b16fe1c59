"""The station as a body: `Embodiment` plus the line's view of a cycle."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files

import mujoco
import numpy as np
from jaxtyping import Float32, UInt8

from takt.embodiments.nut_station.cycle import (
    CYCLE_CUT_S,
    SIDES,
    STATION_SHARE_S,
    Outcome,
)
from takt.embodiments.nut_station.spec import GRIPPER_OPEN_M, JOINTS, SPEC
from takt.simulation.nut_station.judge import NutState, SideJudge, observe_nut
from takt.simulation.nut_station.kinematics import joints_from_tip
from takt.simulation.nut_station.randomisation import randomise
from takt.simulation.rendering import CameraRenderer
from takt.types import CameraSpec, EmbodimentSpec, Observation, TaktError

SCENE = files("takt.simulation.nut_station") / "scene" / "scene.xml"
SUBSTEPS = 16
MAGNET_STRIDE = 4  # substeps between updates of the magnet's pull
MAGNET_POLE_M = 0.006  # above the seat and below a seated nut's centre: never lifts it
MAGNET_NEAR_M = 0.02  # full strength within this distance
MAGNET_DECAY_M = 0.03
GAP_AT_ZERO_M = 0.032  # jaw gap where the finger joints read 0
HOME_TIP = (0.33, 0.27, 0.15)  # left; the right arm mirrors y
HOME_JITTER_M = 0.01


class NutStation:
    """Two arms, two nuts, one part. One `act` is one control tick of 1/30 s."""

    def __init__(self, cameras: Sequence[CameraSpec] = SPEC.cameras) -> None:
        """`cameras` are what `observe` renders; none, for players that never look."""
        self._cameras = tuple(cameras)
        self._model = mujoco.MjModel.from_xml_path(str(SCENE))
        self._model.opt.timestep = SPEC.dt / SUBSTEPS
        self._data = mujoco.MjData(self._model)
        self._copy = mujoco.MjData(self._model)
        self._renderer = CameraRenderer(self._model)
        self._joints = [_joint_addresses(self._model, side) for side in SIDES]
        self.reset(0)

    @property
    def spec(self) -> EmbodimentSpec:
        """Fixed facts of the body."""
        return SPEC

    def reset(self, seed: int) -> None:
        """Draw a new cycle: the same seed always gives the same scene."""
        mujoco.mj_resetData(self._model, self._data)
        self._magnets = randomise(self._model, self._data, seed)
        rng = np.random.default_rng([seed, 1])
        for side in SIDES:
            self._place_arm(side, rng)
        mujoco.mj_forward(self._model, self._data)
        self._ticks = 0
        self._judges = {
            side: SideJudge(SPEC.dt, self._model.body(f"{side}_feeder").pos.copy())
            for side in SIDES
        }
        self._refresh()

    def observe(self) -> Observation:
        """Images, joint angles (rad) and jaw gaps (m) of this instant."""
        stamp = self.now
        return Observation(
            stamp=stamp,
            images={c.name: self.render(c.name, c.height, c.width) for c in self._cameras},
            image_stamps={c.name: stamp for c in self._cameras},
            state=self.state(),
            instruction=SPEC.instruction,
        )

    def act(self, action: Float32[np.ndarray, " action"]) -> None:
        """Move the targets linearly to `action` over one tick, as the arms' servo cycle does."""
        if not np.all(np.isfinite(action)):
            raise TaktError(
                "nut-station: expected finite joint targets, got NaN or infinity; stop the body"
            )
        space = SPEC.action_space
        target = np.clip(action.astype(np.float64), space.low, space.high)
        target[6::7] = (target[6::7] - GAP_AT_ZERO_M) / 2
        start = self._data.ctrl.copy()
        for k in range(0, SUBSTEPS, MAGNET_STRIDE):
            self._data.ctrl[:] = start + (target - start) * (k + MAGNET_STRIDE) / SUBSTEPS
            self._pull()
            mujoco.mj_step(self._model, self._data, MAGNET_STRIDE)
        self._ticks += 1
        self._refresh()
        for side in SIDES:
            self._judges[side].update(self._nuts[side])

    def stop(self) -> None:
        """Hold the measured pose."""
        for k in range(2):
            self._data.ctrl[7 * k : 7 * k + 6] = self._data.qpos[self._joints[k][:6]]

    def state(self) -> Float32[np.ndarray, " state"]:
        """Measured joint angles (rad) and jaw gap (m): left, then right."""
        parts = []
        for addresses in self._joints:
            gap = GAP_AT_ZERO_M + self._data.qpos[addresses[6]] + self._data.qpos[addresses[7]]
            parts += [self._data.qpos[addresses[:6]], [gap]]
        return np.concatenate(parts).astype(np.float32)

    @property
    def now(self) -> float:
        """Control clock: seconds since `reset`."""
        return self._ticks * SPEC.dt

    @property
    def cycle_s(self) -> float:
        """Cycle time so far (s), the station's constant included, cut at `CYCLE_CUT_S`."""
        return min(self.now + STATION_SHARE_S, CYCLE_CUT_S)

    @property
    def outcomes(self) -> Mapping[str, Outcome | None]:
        """Outcome per side; None while undecided."""
        return {side: judge.outcome for side, judge in self._judges.items()}

    @property
    def finished(self) -> bool:
        """Both sides decided, or time is up."""
        return self.cycle_s >= CYCLE_CUT_S or all(self.outcomes.values())

    def finish(self) -> Mapping[str, Outcome]:
        """Name every undecided side and return all outcomes."""
        return {side: judge.finish() for side, judge in self._judges.items()}

    def render(self, camera: str, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        """RGB image of a camera at any size."""
        return self._renderer.render(self._data, camera, height, width)

    def close(self) -> None:
        """Free the renderer."""
        self._renderer.close()

    @contextmanager
    def imagine(self) -> Iterator[None]:
        """Inside, the station is a copy of itself: what happens there leaves no trace.

        Outcomes are not judged on the copy's behalf: they are as they were afterwards.
        """
        kept = self._data, self._nuts, self._ticks, self._judges
        mujoco.mj_copyData(self._copy, self._model, self._data)
        self._data, self._judges = self._copy, copy.deepcopy(self._judges)
        try:
            yield
        finally:
            self._data, self._nuts, self._ticks, self._judges = kept

    @property
    def nuts(self) -> Mapping[str, NutState]:
        """Privileged state for experts and judges; never for a policy."""
        return self._nuts

    @property
    def model(self) -> mujoco.MjModel:
        """The compiled scene (privileged)."""
        return self._model

    @property
    def data(self) -> mujoco.MjData:
        """The simulator's state (privileged)."""
        return self._data

    def _refresh(self) -> None:
        self._nuts = {side: observe_nut(self._model, self._data, side) for side in SIDES}

    def _place_arm(self, side: str, rng: np.random.Generator) -> None:
        sign = 1.0 if side == "left" else -1.0
        tip = np.array(HOME_TIP) * [1, sign, 1] + rng.uniform(-HOME_JITTER_M, HOME_JITTER_M, 3)
        addresses = self._joints[SIDES.index(side)]
        joints = joints_from_tip(side, tip, 0.0)
        self._data.qpos[addresses[:6]] = joints
        self._data.qpos[addresses[6:]] = (GRIPPER_OPEN_M - GAP_AT_ZERO_M) / 2
        k = 7 * SIDES.index(side)
        self._data.ctrl[k : k + 7] = [*joints, (GRIPPER_OPEN_M - GAP_AT_ZERO_M) / 2]

    def _pull(self) -> None:
        """Pull the nuts towards their pin's off-axis pole, fading with distance to the fourth."""
        for side in SIDES:
            magnet, pin = self._magnets[side], self._data.body(f"{side}_pin")
            nut = self._data.body(f"{side}_nut")
            pole = pin.xpos + pin.xmat.reshape(3, 3) @ [*magnet.offset_m, MAGNET_POLE_M]
            gap = pole - nut.xipos
            distance = max(float(np.linalg.norm(gap)), 1e-4)
            pull = (
                magnet.strength_n / (1 + max(distance - MAGNET_NEAR_M, 0.0) / MAGNET_DECAY_M) ** 4
            )
            self._data.xfrc_applied[nut.id, :3] = pull * gap / max(distance, 0.005)


def _joint_addresses(model: mujoco.MjModel, side: str) -> np.ndarray:
    names = (*JOINTS, "finger_1", "finger_2")
    return np.array([model.joint(f"{side}_{name}").qposadr[0] for name in names])
