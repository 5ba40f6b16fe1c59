"""A gamepad as a jog, through the kernel's joystick device: sticks push, buttons hand over."""

import select
import struct
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from takt.runtime.jog import Jog
from takt.runtime.tick import Authority
from takt.types import TaktError

# struct js_event of linux/joystick.h: time in ms, value, type, number
_EVENT = struct.Struct("<IhBB")
_BUTTON, _AXIS, _INITIAL = 0x01, 0x02, 0x80
_FULL = 32767
DEAD_ZONE = 0.1  # sticks do not return to zero exactly
STICKS = (0, 1, 3, 4)  # 2 and 5 are triggers, which rest at full deflection
AUTHORITIES: dict[int, Authority] = {0: "takeover", 1: "assist", 3: "policy"}  # A, B, Y
GOOD, BAD, PAGE = 7, 6, 4  # start, back, left bumper


class Gamepad:
    """Feeds a jog from `device` while the `with` block runs.

    Its k-th stick pushes body axis `page * len(sticks) + k`; the left bumper turns the page.
    """

    def __init__(
        self,
        jog: Jog,
        names: tuple[str, ...],
        device: Path = Path("/dev/input/js0"),
        sticks: tuple[int, ...] = STICKS,
    ) -> None:
        """`names` are the body's axes in order, `sticks` the device's axes that push."""
        self._jog, self._names, self._device, self._sticks = jog, names, device, sticks
        self._page = 0
        self._tilt = np.zeros(len(sticks), np.float32)
        self._stopping = threading.Event()

    def __enter__(self) -> Self:
        """Listen.

        Raises:
            TaktError: there is no such device, or it may not be read.
        """
        try:
            self._file: BinaryIO = self._device.open("rb", buffering=0)
        except OSError as error:
            raise TaktError(
                f"expected a gamepad at {self._device}, got {error}; plug it in, and let your user "
                "read it (group input)"
            ) from error
        self._thread = threading.Thread(target=self._listen, name="gamepad", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Release the device."""
        self._stopping.set()
        self._thread.join()
        self._file.close()

    def event(self, data: bytes) -> None:
        """One joystick event as the kernel writes it."""
        _, value, kind, number = _EVENT.unpack(data)
        if kind & ~_INITIAL == _AXIS and number in self._sticks:
            tilt = value / _FULL
            self._tilt[self._sticks.index(number)] = tilt if abs(tilt) > DEAD_ZONE else 0.0
            self._deflect()
        elif kind == _BUTTON and value:
            self._button(number)

    def _button(self, number: int) -> None:
        authority = AUTHORITIES.get(number)
        if authority is not None:
            self._jog.authority = authority
        elif number == PAGE:
            self._page = (self._page + 1) % -(-len(self._names) // len(self._sticks))
            self._deflect()
        elif number in (GOOD, BAD):
            self._jog.verdict = number == GOOD

    def _deflect(self) -> None:
        first = self._page * len(self._sticks)
        deflection = np.zeros(len(self._names), np.float32)
        reached = deflection[first : first + len(self._sticks)]
        reached[:] = self._tilt[: len(reached)]
        self._jog.deflect(deflection)

    def _listen(self) -> None:
        try:
            while not self._stopping.is_set():
                ready, _, _ = select.select([self._file], [], [], 0.05)
                if not ready:
                    continue
                data = self._file.read(_EVENT.size)
                if len(data) < _EVENT.size:
                    self._tell_gone("it ended")
                    return
                self.event(data)
        except OSError as error:
            self._tell_gone(error)
        finally:
            self._jog.let_go()  # whatever ended it, nobody pushes any more

    def _tell_gone(self, why: object) -> None:
        text = f"gamepad: {self._device} is gone ({why}); nobody pushes, who decides still does"
        print(text, file=sys.stderr, flush=True)
