"""The keyboard of a terminal as a jog: single keys, no window, no extra package."""

import contextlib
import os
import select
import sys
import termios
import threading
import time
import tty
from types import TracebackType
from typing import Self

import numpy as np

from takt.runtime.jog import Jog
from takt.types import Seconds, TaktError

HOLD_S = 0.15  # terminals tell of presses only, repeated some thirty times a second
FIRST_HOLD_S = 0.6  # a terminal waits that long before it repeats
HELP = (
    "t take over, a assist, p policy, n next axis, b axis before, + and - push, space let go, "
    "g good and end, x bad and end"
)


class Keyboard:
    """Feeds a jog from the terminal while the `with` block runs."""

    def __init__(self, jog: Jog, names: tuple[str, ...]) -> None:
        """`names` are the axes in the order of the action space."""
        self._jog, self._names = jog, names
        self._axis, self._until, self._pressed_at = 0, 0.0, -1.0
        self._stopping = threading.Event()

    @property
    def axis(self) -> str:
        """The axis that + and - push."""
        return self._names[self._axis]

    def __enter__(self) -> Self:
        """Listen.

        Raises:
            TaktError: standard input is no terminal.
        """
        if not sys.stdin.isatty():
            raise TaktError(
                "expected a terminal to read keys from, got a pipe or a file; start it in a "
                "terminal or use a gamepad"
            )
        self._fd = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._fd)
        tty.setcbreak(self._fd)  # Ctrl-C still interrupts
        self._thread = threading.Thread(target=self._listen, name="keyboard", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Give the terminal back."""
        self._stopping.set()
        self._thread.join()
        with contextlib.suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    def press(self, key: str, at: Seconds) -> None:
        """A key that came at monotonic time `at`."""
        match key:
            case "t":
                self._jog.authority = "takeover"
            case "a":
                self._jog.authority = "assist"
            case "p":
                self._jog.authority = "policy"
            case "n" | "b":
                self._axis = (self._axis + (1 if key == "n" else -1)) % len(self._names)
                self._let_go()
            case "+" | "=" | "-":
                self._push(-1.0 if key == "-" else 1.0, at)
            case " ":
                self._let_go()
            case "g" | "x":
                self._jog.verdict = key == "g"
            case _:
                pass

    def release_if_due(self, at: Seconds) -> None:
        """A key that was not repeated in time was let go."""
        if self._until and at >= self._until:
            self._let_go()

    def _push(self, direction: float, at: Seconds) -> None:
        repeated = at - self._pressed_at < FIRST_HOLD_S and self._until > 0
        self._until = at + (HOLD_S if repeated else FIRST_HOLD_S)
        self._pressed_at = at
        deflection = np.zeros(len(self._names), np.float32)
        deflection[self._axis] = direction
        self._jog.deflect(deflection)

    def _let_go(self) -> None:
        self._until = 0.0
        self._jog.let_go()

    def _listen(self) -> None:
        try:
            while not self._stopping.is_set():
                ready, _, _ = select.select([self._fd], [], [], 0.02)
                now = time.monotonic()
                if ready:
                    keys = os.read(self._fd, 64).decode(errors="ignore")
                    if not keys:
                        self._tell_gone("it hung up")
                        return
                    for key in keys:
                        self.press(key, now)
                self.release_if_due(now)
        except OSError as error:
            self._tell_gone(error)
        finally:
            self._let_go()  # whatever ended it, nobody pushes any more

    def _tell_gone(self, why: object) -> None:
        text = f"keyboard: the terminal is gone ({why}); nobody pushes, who decides still does"
        with contextlib.suppress(OSError):  # it may be where this would be read
            print(text, file=sys.stderr, flush=True)
