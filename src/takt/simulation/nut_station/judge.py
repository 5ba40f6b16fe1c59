"""Names how each side of a cycle ends. Every threshold's reason: docs/station.md."""

from dataclasses import dataclass

import mujoco
import numpy as np

from takt.embodiments.nut_station.cycle import Outcome

SEATED_DEPTH_M = 0.0015  # nut's bottom above the seat; tooth-on-tooth rests at 12 mm
SEATED_OFFSET_M = 0.0010
SEATED_TILT_RAD = np.radians(4.0)
TOOTH_TOP_M = 0.012
TOOTH_BAND_M = 0.003
JAM_FORCE_N = 4.0  # well above the nut's weight of .6 N
JAM_S = 2.0
RELEASED_S = 0.3
LOST_S = 1.0
FORCE_LIMIT_N = 60.0
FORCE_LIMIT_S = 0.1
ON_PIN_M = 0.006
FEEDER_RADIUS_M = 0.05
FEEDER_DEPTH_M = 0.005  # a nut lower than this under the feeder's top has fallen off it


@dataclass(frozen=True, slots=True, kw_only=True)
class NutState:
    """One side's nut at one tick, privileged: m, rad, in the pin's frame unless named otherwise."""

    position: np.ndarray  # world, bottom centre
    yaw: float  # world
    height: float  # bottom above the seat
    offset: float  # axis from the pin's axis
    mark_error: float  # yaw of the nut's paint mark from the pin's line
    tilt: float
    gripped: bool  # touched by both jaws
    pin_force_n: float
    touches_pin: bool

    @property
    def seated(self) -> bool:
        """Deep enough, on axis, upright and in contact."""
        return (
            self.height < SEATED_DEPTH_M
            and self.offset < SEATED_OFFSET_M
            and self.tilt < SEATED_TILT_RAD
            and self.touches_pin
        )

    @property
    def on_teeth(self) -> bool:
        """Resting tooth on tooth."""
        near_top = abs(self.height - TOOTH_TOP_M) < TOOTH_BAND_M
        return near_top and self.offset < ON_PIN_M and self.touches_pin


class SideJudge:
    """Watches one side tick by tick until its outcome is certain."""

    def __init__(self, dt: float, feeder: np.ndarray) -> None:
        """`dt` (s) is the control tick, `feeder` (3,) the centre of the feeder's top, world, m."""
        self._dt = dt
        self._feeder = feeder
        self._held = {"released": 0.0, "jam": 0.0, "unseated": 0.0, "lost": 0.0, "force": 0.0}
        self.lifted = False
        self.outcome: Outcome | None = None

    def update(self, nut: NutState) -> None:
        """Account for one control tick."""
        if self.outcome is not None:
            return
        place = nut.position - self._feeder
        on_feeder = np.hypot(*place[:2]) < FEEDER_RADIUS_M and place[2] > -FEEDER_DEPTH_M
        self.lifted |= nut.gripped and nut.position[2] > 0.045
        loose = not nut.gripped
        if self._lasts("released", loose and nut.seated, RELEASED_S):
            self.outcome = "installed"
        elif self._lasts("force", nut.pin_force_n > FORCE_LIMIT_N, FORCE_LIMIT_S):
            self.outcome = "force_limit"
        elif self._lasts("jam", nut.on_teeth and (loose or nut.pin_force_n > JAM_FORCE_N), JAM_S):
            self.outcome = "spline_jam"
        elif self._lasts("unseated", loose and nut.offset < ON_PIN_M and not nut.seated, LOST_S):
            self.outcome = "spline_jam" if nut.on_teeth else "not_seated"
        elif self._lasts("lost", loose and nut.offset >= ON_PIN_M and not on_feeder, LOST_S):
            self.outcome = "dropped"

    def finish(self) -> Outcome:
        """The outcome at the cycle's cut."""
        if self.outcome is None:
            self.outcome = "timeout" if self.lifted else "missed_pick"
        return self.outcome

    def _lasts(self, name: str, holds: bool, seconds: float) -> bool:
        self._held[name] = self._held[name] + self._dt if holds else 0.0
        return self._held[name] > seconds - self._dt / 2  # ticks do not sum to seconds exactly


def observe_nut(model: mujoco.MjModel, data: mujoco.MjData, side: str) -> NutState:
    """Read one side's nut from the simulator."""
    nut, pin = data.body(f"{side}_nut"), data.body(f"{side}_pin")
    pin_rotation, rotation = pin.xmat.reshape(3, 3), nut.xmat.reshape(3, 3)
    local = pin_rotation.T @ (nut.xpos - pin.xpos)
    relative = pin_rotation.T @ rotation
    mark_error = np.arctan2(relative[1, 0], relative[0, 0])
    jaws, force = set(), np.zeros(3)
    touches_pin = False
    for k in range(data.ncon):
        contact = data.contact[k]
        names = {model.body(model.geom_bodyid[g]).name for g in contact.geom}
        if f"{side}_nut" not in names or contact.efc_address < 0:
            continue
        jaws |= names & {f"{side}_finger_1", f"{side}_finger_2"}
        if f"{side}_pin" in names:
            touches_pin = True
            force += _contact_force(model, data, k)
    return NutState(
        position=nut.xpos.copy(),
        yaw=float(np.arctan2(rotation[1, 0], rotation[0, 0])),
        height=float(local[2]),
        offset=float(np.hypot(local[0], local[1])),
        mark_error=float(mark_error),
        tilt=float(np.arccos(np.clip(relative[2, 2], -1, 1))),
        gripped=len(jaws) == 2,
        pin_force_n=float(np.linalg.norm(force)),
        touches_pin=touches_pin,
    )


def _contact_force(model: mujoco.MjModel, data: mujoco.MjData, index: int) -> np.ndarray:
    """World-frame force on the nut, up to the sign that all nut-pin contacts share."""
    wrench = np.zeros(6)
    mujoco.mj_contactForce(model, data, index, wrench)
    contact = data.contact[index]
    sign = 1.0 if model.body(model.geom_bodyid[contact.geom1]).name.endswith("pin") else -1.0
    return sign * contact.frame.reshape(3, 3).T @ wrench[:3]
