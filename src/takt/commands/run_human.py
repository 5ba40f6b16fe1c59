"""A human beside the policy: `takt run --operator` and `takt record --teleop`."""

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

from takt.runtime.gamepad import Gamepad
from takt.runtime.jog import Jog
from takt.runtime.keyboard import HELP, Keyboard
from takt.runtime.tick import Authority
from takt.types import EmbodimentSpec

Device = Literal["keyboard", "gamepad"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Human:
    """What the executor asks, and who decides when an episode begins."""

    jog: Jog
    authority: Authority

    def new_episode(self) -> None:
        """Hand the body to whom it belongs at first; nobody has judged yet."""
        self.jog.new_episode(self.authority)


def human_at(
    device: Device | None, authority: Authority, spec: EmbodimentSpec, stack: ExitStack
) -> Human | None:
    """Someone at `device`, listening until `stack` closes.

    Raises:
        TaktError: there is no such device, or an axis of the body has no bounds.
    """
    if device is None:
        return None
    jog, names = Jog(spec.action_space, spec.dt, authority), spec.action_space.names
    match device:
        case "keyboard":
            stack.enter_context(Keyboard(jog, names))
            print(f"keys: {HELP}", file=sys.stderr, flush=True)
        case "gamepad":
            stack.enter_context(Gamepad(jog, names))
            print("pad: A takes over, B assists, Y policy, left bumper next axes, "
                  "start good and end, back bad and end", file=sys.stderr, flush=True)  # fmt: skip
    return Human(jog=jog, authority=authority)
