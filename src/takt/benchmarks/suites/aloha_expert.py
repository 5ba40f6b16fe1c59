"""Scripts for gym-aloha's two tasks, whose package has none: both hands on timed tracks.

They read where the objects lie when a trial begins. Joints come in closed form: with its forearm
unrolled a ViperX is a planar arm on a turning waist. Metres, radians, ticks of 20 ms.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

SHOULDER_HEIGHT = 0.12705  # this and the other lengths are those of the package's MJCF
UPPER_ARM = (0.05955, 0.3)  # forward and up, with every joint at 0
FOREARM = 0.3
HAND = 0.2  # from the wrist to between the finger tips
BASE_X = {"left": -0.469, "right": 0.469}
BASE_Y = 0.5
START = (0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 1.0)
TICKS = 300

OPEN, CLOSED = 1.0, 0.0
SLANTED = -math.pi / 3
ON_EDGE = math.pi / 2

Side = Literal["left", "right"]
Place = tuple[float, float, float]
Script = Callable[[np.ndarray], np.ndarray]
"""From the objects' poses, 7 numbers each, to actions (tick, 14)."""


@dataclass(frozen=True, slots=True)
class Hand:
    """Where a hand is to be at a tick: its finger tips, its slope, its roll, its fingers."""

    tick: int
    place: Place
    elevation: float = SLANTED
    roll: float = 0.0
    gripper: float = CLOSED


def transfer(cube: np.ndarray) -> np.ndarray:
    """The right hand holds the cube up half-way, the left closes on it from the side."""
    meet, aside = (0.0, BASE_Y, 0.3), (-0.15, BASE_Y, 0.3)
    left = (
        Hand(150, aside, 0.0, ON_EDGE, OPEN),
        Hand(220, aside, 0.0, ON_EDGE, OPEN),
        Hand(260, meet, 0.0, ON_EDGE, OPEN),
        Hand(290, meet, 0.0, ON_EDGE, CLOSED),
    )
    right = (*_pick(cube, 0.015), Hand(210, meet))
    return np.hstack([_track("left", left), _track("right", right)])


def insertion(peg_and_socket: np.ndarray) -> np.ndarray:
    """Each hand lifts its own; the right one pushes the peg in before it slips in the fingers."""
    left = (*_pick(peg_and_socket[7:], 0.022), Hand(220, (-0.05, BASE_Y, 0.3)))
    right = (
        *_pick(peg_and_socket[:7], 0.03),
        Hand(220, (0.13, BASE_Y, 0.308)),
        Hand(225, (0.13, BASE_Y, 0.308)),
        Hand(280, (0.035, BASE_Y, 0.308)),
    )
    return np.hstack([_track("left", left), _track("right", right)])


def reach(side: Side, hand: Hand) -> np.ndarray:
    """Joints and gripper (7,); what is out of reach is pointed at."""
    forward = 1.0 if side == "left" else -1.0
    ahead = forward * (hand.place[0] - BASE_X[side])
    beside = forward * (hand.place[1] - BASE_Y)
    out = math.hypot(ahead, beside) - HAND * math.cos(hand.elevation)
    up = hand.place[2] - SHOULDER_HEIGHT - HAND * math.sin(hand.elevation)
    upper = math.hypot(*UPPER_ARM)
    distance = min(math.hypot(out, up), upper + FOREARM)
    inner = (upper**2 + distance**2 - FOREARM**2) / (2 * upper * distance)
    raised = math.atan2(up, out) + math.acos(min(inner, 1.0))  # elevation of the upper arm
    forearm = math.atan2(up - upper * math.sin(raised), out - upper * math.cos(raised))
    shoulder = math.atan2(UPPER_ARM[1], UPPER_ARM[0]) - raised
    waist, elbow, wrist = math.atan2(beside, ahead), -forearm - shoulder, forearm - hand.elevation
    return np.array([waist, shoulder, elbow, 0.0, wrist, hand.roll, hand.gripper])


def _pick(pose: np.ndarray, height: float) -> tuple[Hand, ...]:
    """Onto what lies there, and up with it once the slow fingers have closed."""
    x, y = float(pose[0]), float(pose[1])
    over, on = (x, y, 0.12), (x, y, height)
    return (
        Hand(60, over, gripper=OPEN),
        Hand(100, on, gripper=OPEN),
        Hand(120, on),
        Hand(135, on),
        Hand(170, over),
    )


def _track(side: Side, hands: Sequence[Hand]) -> np.ndarray:
    """Straight lines between the joints of `hands`: (tick, 7)."""
    ticks = [0, *(hand.tick for hand in hands)]
    keys = np.array([START, *(reach(side, hand) for hand in hands)])
    return np.stack([np.interp(np.arange(TICKS), ticks, axis) for axis in keys.T], axis=1)
