"""A scripted expert with privileged state.

Its feedback law is nearly memoryless, so that imitation sees one action per scene.
"""

from dataclasses import dataclass

import numpy as np

from takt.embodiments.nut_station.cycle import SIDES
from takt.embodiments.nut_station.spec import GRIPPER_CLOSED_M, GRIPPER_OPEN_M, SPEC
from takt.simulation.nut_station.judge import NutState
from takt.simulation.nut_station.kinematics import joints_from_tip, tip_from_joints
from takt.simulation.nut_station.station import HOME_TIP, NutStation
from takt.types import ActionChunk, Observation

GRASP_HEIGHT_M = 0.010  # fingertip above the nut's bottom
HOVER_M = 0.06
INSERT_HEIGHT_M = 0.042  # nut's bottom above the seat before descent; the pin's dome ends at 27 mm
FUNNEL_SLOPE = 3.0
DOME_M = 0.030  # below this the pin's dome guides the nut
ENGAGED_M = 0.010  # teeth between teeth; tooth on tooth rests at 12 mm
NEAR_PIN_M = 0.012
NEAR_M, NEAR_RAD = 0.0015, np.radians(1.5)
ENTER_RAD = np.radians(5.0)  # the spline's play is 6
YAW_AS_M = 0.001 / np.radians(1.0)  # one degree of yaw error counts as 1 mm
# Leads (target ahead of the measured pose, m per tick): the arm's 55 ms lag turns 8 mm into about
# .15 m/s, a calm human reach.
TRANSPORT_M, DESCEND_M, PRESS_M = 0.008, 0.004, 0.003
LEAD_GROWTH_M = 0.001
TURN_RAD = 0.06


@dataclass(frozen=True, slots=True)
class TipGoal:
    """Where one fingertip should go: world metres, jaw yaw (rad), jaw gap (m), largest lead (m)."""

    tip: np.ndarray
    yaw: float
    gap: float
    lead_m: float = TRANSPORT_M


class ScriptedExpert:
    """Installs both nuts from privileged state. As a `Policy` it plans one step at a time.

    Args:
        station: the body whose simulator state it reads.
        align_yaw: False ignores every yaw error (a control).
        yaw_offset: forces the nut this far (rad) off the spline match (a control).
    """

    def __init__(
        self, station: NutStation, *, align_yaw: bool = True, yaw_offset: float = 0.0
    ) -> None:
        self._station = station
        self._align_yaw = align_yaw
        self._yaw_offset = yaw_offset
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start a cycle; the expert draws nothing."""
        self._lead: dict[str, float] = dict.fromkeys(SIDES, 0.0)

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        """One step from the station's state now; the observation only gives the stamp."""
        return ActionChunk(stamp=observation.stamp, dt=SPEC.dt, actions=self.action()[None])

    def action(self) -> np.ndarray:
        """Joint targets (14,) float32 for the coming tick."""
        state = self._station.state()
        parts = []
        for k, side in enumerate(SIDES):
            tip, yaw = tip_from_joints(side, state[7 * k : 7 * k + 6].astype(np.float64))
            goal = self.goal(side, tip, yaw, float(state[7 * k + 6]))
            target = tip + self._limited(side, goal.tip - tip, goal.lead_m)
            turn = np.clip(goal.yaw - yaw, -TURN_RAD, TURN_RAD)
            parts += [joints_from_tip(side, target, yaw + turn), [goal.gap]]
        return np.concatenate(parts).astype(np.float32)

    def plan(self, horizon: int) -> np.ndarray:
        """(horizon, 14): what it will do from here on if nothing disturbs it; row 0 is `action()`.

        Like `action`, to be asked once a tick. Nothing moves.
        """
        actions = [self.action()]
        ramp = dict(self._lead)
        with self._station.imagine():
            while len(actions) < horizon:
                self._station.act(actions[-1])
                actions.append(self.action())
        self._lead = ramp
        return np.stack(actions)

    def goal(self, side: str, tip: np.ndarray, yaw: float, gap: float) -> TipGoal:
        """The feedback law of one side."""
        nut = self._station.nuts[side]
        pin = self._station.data.body(f"{side}_pin").xpos
        if nut.seated or (not nut.gripped and nut.offset < 0.01 and nut.height < 0.03):
            return self._leave(side, nut, tip, yaw, gap, pin)
        if nut.gripped:
            return self._install(nut, tip, yaw, pin)
        return self._pick(nut, tip, yaw)

    def _pick(self, nut: NutState, tip: np.ndarray, yaw: float) -> TipGoal:
        goal_yaw = nut.yaw if self._align_yaw else 0.0
        error = nut.position[:2] - tip[:2]
        off = self._off(error, goal_yaw - yaw)
        grasp = nut.position[2] + GRASP_HEIGHT_M
        height = grasp + min(HOVER_M, FUNNEL_SLOPE * max(0.0, off - NEAR_M))
        above = tip[2] - grasp
        closing = off < 0.004 and above < 0.004
        lead = TRANSPORT_M if above > HOVER_M / 2 or off > 0.02 else DESCEND_M
        goal = np.array([*nut.position[:2], height])
        return TipGoal(goal, goal_yaw, GRIPPER_CLOSED_M if closing else GRIPPER_OPEN_M, lead)

    def _install(self, nut: NutState, tip: np.ndarray, yaw: float, pin: np.ndarray) -> TipGoal:
        error = pin[:2] - nut.position[:2]
        turn = self._turn_left(nut) if self._align_yaw else 0.0
        off = self._off(error, turn)
        carried = tip[2] - nut.position[2]
        height = pin[2] + carried + self._height(nut, float(np.hypot(*error)), off, turn)
        # Low and far: rise first, so that the nut never drags over feeder or part.
        free = np.clip((nut.height + 0.005) / 0.02, 0.15, 1.0) if off > NEAR_PIN_M else 1.0
        lead = TRANSPORT_M if np.hypot(*error) > 0.02 else DESCEND_M
        if nut.height < DOME_M + 0.002 and off < NEAR_PIN_M:
            lead = PRESS_M
        goal = np.array([*(tip[:2] + free * error), height])
        return TipGoal(goal, yaw - turn, GRIPPER_CLOSED_M, lead)

    def _height(self, nut: NutState, offset: float, off: float, turn: float) -> float:
        """Where the nut's bottom should be, above the seat: a funnel, and back out of a jam."""
        if nut.height < ENGAGED_M and offset < NEAR_PIN_M:
            return -PRESS_M
        if nut.height < DOME_M and offset < NEAR_PIN_M:
            return -PRESS_M if abs(turn) < ENTER_RAD else INSERT_HEIGHT_M
        if off < NEAR_M:
            return -PRESS_M
        return min(INSERT_HEIGHT_M, DOME_M + FUNNEL_SLOPE * (off - NEAR_M))

    def _leave(
        self, side: str, nut: NutState, tip: np.ndarray, yaw: float, gap: float, pin: np.ndarray
    ) -> TipGoal:
        near = np.hypot(*(tip[:2] - pin[:2])) < 0.03 and tip[2] < pin[2] + 0.06
        if near and (nut.gripped or gap < GRIPPER_OPEN_M - 0.008):
            return TipGoal(tip.copy(), yaw, GRIPPER_OPEN_M, DESCEND_M)
        if near:
            return TipGoal(np.array([*tip[:2], pin[2] + 0.09]), yaw, GRIPPER_OPEN_M)
        home = np.array(HOME_TIP) * [1, 1 if side == "left" else -1, 1]
        return TipGoal(home, 0.0, GRIPPER_OPEN_M)

    def _turn_left(self, nut: NutState) -> float:
        """Yaw that still parts the nut's paint mark from the pin's line, plus the control's offset.

        Marks, not the nearest of the twelve matches: that one jumps at half a tooth pitch, and a
        policy that imitates a jump averages it.
        """
        return nut.mark_error - self._yaw_offset

    def _off(self, error: np.ndarray, turn: float) -> float:
        yaw = max(0.0, abs(turn) - NEAR_RAD) if self._align_yaw else 0.0
        return float(np.hypot(*error)) + YAW_AS_M * yaw

    def _limited(self, side: str, step: np.ndarray, lead_m: float) -> np.ndarray:
        length = float(np.linalg.norm(step))
        self._lead[side] = min(lead_m, length, self._lead[side] + LEAD_GROWTH_M)
        return step * (self._lead[side] / max(length, 1e-9))
