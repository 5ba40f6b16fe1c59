"""A long run as it is shown."""

import io
from types import SimpleNamespace

import pytest

from takt.recipes import progress
from takt.recipes.progress import LOG_EVERY_S, Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Time that a test makes."""
    clock = SimpleNamespace(now=5.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_a_file_gets_a_line_every_half_minute_and_at_the_end(clock):
    stream = io.StringIO()
    with Progress(stream) as shown:
        for done in range(7):
            shown.show("episodes", 6, done, f"(seed {done})")
            clock.now += LOG_EVERY_S / 2 + 1
        shown.show("rows", None, 8)
        shown.show("rows", None, 9)
    lines = ["episodes 1/6 (seed 1)", "episodes 3/6 (seed 3)", "episodes 5/6 (seed 5)"]
    assert stream.getvalue().splitlines() == [*lines, "episodes 6/6 (seed 6)"]


def test_a_terminal_gets_a_bar_for_each_task():
    stream = Terminal()
    with Progress(stream) as shown:
        shown.show("[choice]", 4, 3, "loss 0.5")
        shown.show("post", None, 7)
    last = [line for line in stream.getvalue().splitlines() if "7/?" in line or "3/4" in line]
    assert any("[choice]" in line and "loss 0.5" in line for line in last)
    assert any("post" in line for line in last)
