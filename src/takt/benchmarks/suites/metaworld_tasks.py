"""The 50 tasks of MT50: what each is told, its id, and its difficulty group.

Order, sentences and groups are those of lerobot's MetaWorld environment (reference anchors.md, 1.3
and 1.4); the groups that published tables average over.
"""

from collections.abc import Mapping
from types import MappingProxyType

INSTRUCTIONS: Mapping[str, str] = MappingProxyType(
    {
        "assembly": "Pick up a nut and place it onto a peg",
        "basketball": "Dunk the basketball into the basket",
        "bin-picking": "Grasp the puck from one bin and place it into another bin",
        "box-close": "Grasp the cover and close the box with it",
        "button-press-topdown": "Press a button from the top",
        "button-press-topdown-wall": "Bypass a wall and press a button from the top",
        "button-press": "Press a button",
        "button-press-wall": "Bypass a wall and press a button",
        "coffee-button": "Push a button on the coffee machine",
        "coffee-pull": "Pull a mug from a coffee machine",
        "coffee-push": "Push a mug under a coffee machine",
        "dial-turn": "Rotate a dial 180 degrees",
        "disassemble": "Pick a nut out of a peg",
        "door-close": "Close a door with a revolving joint",
        "door-lock": "Lock the door by rotating the lock clockwise",
        "door-open": "Open a door with a revolving joint",
        "door-unlock": "Unlock the door by rotating the lock counter-clockwise",
        "drawer-close": "Push and close a drawer",
        "drawer-open": "Open a drawer",
        "faucet-close": "Rotate the faucet clockwise",
        "faucet-open": "Rotate the faucet counter-clockwise",
        "hammer": "Hammer a screw on the wall",
        "hand-insert": "Insert the gripper into a hole",
        "handle-press-side": "Press a handle down sideways",
        "handle-press": "Press a handle down",
        "handle-pull-side": "Pull a handle up sideways",
        "handle-pull": "Pull a handle up",
        "lever-pull": "Pull a lever down 90 degrees",
        "peg-insert-side": "Insert a peg sideways",
        "peg-unplug-side": "Unplug a peg sideways",
        "pick-out-of-hole": "Pick up a puck from a hole",
        "pick-place": "Pick and place a puck to a goal",
        "pick-place-wall": "Pick a puck, bypass a wall and place the puck",
        "plate-slide-back-side": "Get a plate from the cabinet sideways",
        "plate-slide-back": "Get a plate from the cabinet",
        "plate-slide-side": "Slide a plate into a cabinet sideways",
        "plate-slide": "Slide a plate into a cabinet",
        "push-back": "Push the puck to a goal",
        "push": "Push the puck to a goal",
        "push-wall": "Bypass a wall and push a puck to a goal",
        "reach": "Reach a goal position",
        "reach-wall": "Bypass a wall and reach a goal",
        "shelf-place": "Pick and place a puck onto a shelf",
        "soccer": "Kick a soccer into the goal",
        "stick-pull": "Grasp a stick and pull a box with the stick",
        "stick-push": "Grasp a stick and push a box using the stick",
        "sweep-into": "Sweep a puck into a hole",
        "sweep": "Sweep a puck off the table",
        "window-open": "Push and open a window",
        "window-close": "Push and close a window",
    }
)
"""By task, in the order of lerobot's `task_id`. push and push-back share one sentence."""

PUSH_BACK_AFTER_4410 = "Push the puck back toward the robot to the goal"
"""What lerobot tells push-back since pull request 4410; its data set has the older sentence."""

TASKS: tuple[str, ...] = tuple(INSTRUCTIONS)

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "easy": (
            *("button-press", "button-press-topdown", "button-press-topdown-wall"),
            *("button-press-wall", "coffee-button", "dial-turn", "door-close", "door-lock"),
            *("door-open", "door-unlock", "drawer-close", "drawer-open", "faucet-close"),
            *(
                "faucet-open",
                "handle-press",
                "handle-press-side",
                "handle-pull",
                "handle-pull-side",
            ),
            *("lever-pull", "plate-slide", "plate-slide-back", "plate-slide-back-side"),
            *("plate-slide-side", "reach", "reach-wall", "window-close", "window-open"),
            "peg-unplug-side",
        ),
        "medium": (
            *("basketball", "bin-picking", "box-close", "coffee-pull", "coffee-push", "hammer"),
            *("peg-insert-side", "push-wall", "soccer", "sweep", "sweep-into"),
        ),
        "hard": (
            *("assembly", "hand-insert", "pick-out-of-hole", "pick-place", "push", "push-back"),
        ),
        "very_hard": (
            *("shelf-place", "disassemble", "stick-pull", "stick-push", "pick-place-wall"),
        ),
    }
)
