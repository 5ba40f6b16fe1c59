"""What a body's axes mean, as far as their names tell."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_GRIPPER = ("grip", "jaw")
_ROTATION = re.compile(r"rot|roll|pitch|yaw|quat|angle|r[xyz]$")
_SIDES = ("left", "right")
_HAND = {
    *("arm", "cartesian", "ee", "eef", "effector", "end", "flange", "gripper", "hand", "p", "pos"),
    *("pose", "position", "state", "tcp", "tool", "wrist", *_SIDES),
}


@dataclass(frozen=True, slots=True)
class Axes:
    """Positions in the state vector: of grippers by name, and of hands' x, y, z by name."""

    grippers: Mapping[str, int]
    hands: Mapping[str, tuple[int, int, int]]

    @classmethod
    def of(cls, names: Sequence[str]) -> "Axes":
        """Read from the names of the state's axes; what they do not tell is left out.

        A hand's are x, y and z alone, or behind words such as "left_ee_"; a gripper's speak of a
        grip, a jaw or a finger. Several fingers on a side are joints of a hand: how far each is
        bent does not tell whether the hand is open.
        """
        places: dict[str, dict[str, int]] = {}
        grippers: dict[str, int] = {}
        fingers: dict[str, list[int]] = {}
        for k, name in enumerate(name.lower() for name in names):
            *stem, last = re.split(r"[^a-z0-9]+", name)
            side = next((word for word in _SIDES if word in name), "")
            if last in ("x", "y", "z") and set(stem) <= _HAND:
                places.setdefault(f"{side} hand".strip(), {}).setdefault(last, k)
            elif _ROTATION.search(name):
                continue
            elif "finger" in name:
                fingers.setdefault(f"{side} gripper".strip(), []).append(k)
            elif any(part in name for part in _GRIPPER):
                number = re.search(r"\d+", name)
                words = [side, "gripper", number.group() if number else ""]
                grippers.setdefault(" ".join(filter(None, words)), k)
        for name, found in fingers.items():
            if len(found) == 1:
                grippers.setdefault(name, found[0])
        hands = {
            hand: (found["x"], found["y"], found["z"])
            for hand, found in places.items()
            if len(found) == 3
        }
        return cls(grippers, hands)
