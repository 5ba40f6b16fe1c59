"""A human can push, help and hand back; keys and sticks say what they mean."""

import errno
import io
import os
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from fakes import SPEC, WIDTH

from takt.runtime.gamepad import Gamepad
from takt.runtime.jog import SHARE_OF_RANGE, Jog
from takt.runtime.keyboard import FIRST_HOLD_S, HOLD_S, Keyboard
from takt.types import TaktError

SPACE = SPEC.action_space
FULL_STEP = SHARE_OF_RANGE * SPEC.dt * (SPACE.high - SPACE.low)


def deflected(axis: int, by: float) -> np.ndarray:
    deflection = np.zeros(WIDTH, np.float32)
    deflection[axis] = by
    return deflection


def test_takeover_moves_from_where_the_body_is_and_assist_adds_to_the_plan() -> None:
    jog = Jog(SPACE, SPEC.dt)
    planned, last = np.full(WIDTH, 0.3, np.float32), np.full(WIDTH, 0.1, np.float32)
    jog.deflect(deflected(2, 0.5))
    assert (jog.decide(0.0, planned, last).action == planned).all(), "the policy decides"
    jog.authority = "takeover"
    action = jog.decide(0.0, planned, last).action
    np.testing.assert_allclose(action - last, deflected(2, 0.5) * FULL_STEP, atol=1e-7)
    jog.authority = "assist"
    for count in (1, 2, 3):
        command = jog.decide(0.0, planned, last)
        added = count * deflected(2, 0.5) * FULL_STEP
        np.testing.assert_allclose(command.action - planned, added, atol=1e-6)
        assert command.authority == "assist"
    jog.authority = "policy"
    jog.decide(0.0, planned, last)
    jog.deflect(deflected(2, 0.0))
    jog.authority = "assist"
    assert (jog.decide(0.0, planned, last).action == planned).all(), "let go is forgotten"
    jog.deflect(deflected(2, 1.0))
    jog.decide(0.0, planned, last)
    jog.verdict = True
    jog.new_episode("assist")
    assert (jog.decide(0.0, planned, last).action == planned).all(), "so is the last episode"
    assert jog.verdict is None


def test_keys_push_an_axis_until_they_are_let_go() -> None:
    jog = Jog(SPACE, SPEC.dt)
    keys = Keyboard(jog, SPACE.names)
    for key in "tnn":
        keys.press(key, 0.0)
    assert keys.axis == SPACE.names[2]
    assert jog.authority == "takeover"
    keys.press("-", 1.0)
    np.testing.assert_array_equal(jog.deflection, deflected(2, -1.0))
    keys.release_if_due(1.0 + FIRST_HOLD_S - 0.01)
    assert jog.deflection.any(), "a terminal has not repeated it yet"
    keys.press("-", 1.5)
    keys.release_if_due(1.5 + HOLD_S)
    assert not jog.deflection.any()
    keys.press("x", 2.0)
    assert jog.verdict is False


def test_a_pipe_is_no_keyboard(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        with pytest.raises(TaktError, match="a terminal"):
            Keyboard(Jog(SPACE, SPEC.dt), SPACE.names).__enter__()


def test_a_terminal_that_hangs_up_pushes_no_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, terminal = os.openpty()
    with os.fdopen(terminal) as keys_of:
        monkeypatch.setattr("sys.stdin", keys_of)
        jog = Jog(SPACE, SPEC.dt, "takeover")
        keys = Keyboard(jog, SPACE.names)
        with keys:
            keys.press("+", time.monotonic() + 60)  # held for a minute
            os.close(ours)
            keys._thread.join(5)  # noqa: SLF001 - it ends by itself
            assert not keys._thread.is_alive()  # noqa: SLF001
        assert not jog.deflection.any()
    assert "the terminal is gone" in capsys.readouterr().err


def test_a_keyboard_that_fails_pushes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, terminal = os.openpty()
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with os.fdopen(terminal) as keys_of, os.fdopen(ours, "wb", buffering=0) as typed:
        monkeypatch.setattr("sys.stdin", keys_of)
        jog = Jog(SPACE, SPEC.dt, "takeover")
        keys = Keyboard(jog, SPACE.names)
        with keys:
            keys.press("+", time.monotonic() + 60)  # held for a minute
            monkeypatch.setattr(keys, "_names", ())  # what comes next is a bug
            typed.write(b"n")
            keys._thread.join(5)  # noqa: SLF001 - it ends by itself
        assert not jog.deflection.any()


class Unplugged(io.RawIOBase):
    """The kernel's joystick device after its pad was pulled out: readable, and every read fails."""

    def __init__(self) -> None:
        ours, self._end = os.pipe()
        os.write(self._end, b"!")
        self._fd = ours

    def fileno(self) -> int:
        return self._fd

    def read(self, size: int = -1) -> bytes:
        raise OSError(errno.ENODEV, "No such device")

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
            os.close(self._end)
        super().close()


def test_a_gamepad_that_is_pulled_out_pushes_no_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jog = Jog(SPACE, SPEC.dt, "takeover")
    jog.deflect(deflected(0, 1.0))
    monkeypatch.setattr(Path, "open", lambda *_, **__: Unplugged())
    with Gamepad(jog, SPACE.names) as pad:
        pad._thread.join(5)  # noqa: SLF001 - it ends by itself
        assert not pad._thread.is_alive()  # noqa: SLF001
    assert not jog.deflection.any()
    assert "js0 is gone ([Errno 19] No such device); nobody pushes" in capsys.readouterr().err


def test_sticks_push_and_buttons_hand_over() -> None:
    jog = Jog(SPACE, SPEC.dt)
    pad = Gamepad(jog, SPACE.names)

    def event(value: int, kind: int, number: int) -> None:
        pad.event(struct.pack("<IhBB", 0, value, kind, number))

    event(1000, 2, 1)
    assert not jog.deflection.any(), "within the dead zone"
    event(-32767, 2 | 0x80, 2)
    assert not jog.deflection.any(), "a trigger at rest"
    event(-32767, 2, 1)
    np.testing.assert_array_equal(jog.deflection, deflected(1, -1.0))
    event(1, 1, 4)
    np.testing.assert_array_equal(jog.deflection, deflected(5, -1.0))
    event(1, 1, 0)
    assert jog.authority == "takeover"
    event(0, 1, 3)
    assert jog.authority == "takeover", "a button that is let go says nothing"
    event(1, 1, 7)
    assert jog.verdict is True


def test_an_unplugged_gamepad_pushes_no_more(tmp_path: Path) -> None:
    device = tmp_path / "js0"
    device.write_bytes(struct.pack("<IhBB", 0, 32767, 2, 0))
    jog = Jog(SPACE, SPEC.dt, "takeover")
    with Gamepad(jog, SPACE.names, device) as pad:
        pad._thread.join(5)  # noqa: SLF001 - it ends by itself
        assert not pad._thread.is_alive()  # noqa: SLF001
    assert not jog.deflection.any()
    with pytest.raises(TaktError, match="plug it in"):
        Gamepad(jog, SPACE.names, tmp_path / "js1").__enter__()
