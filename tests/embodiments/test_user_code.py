"""Code that a user wrote fails by name: what was done with it, its message, its line."""

from pathlib import Path

import numpy as np
import pytest

from takt.commands.run_body import Driven, Simulated, body_named
from takt.embodiments.body_file import load_driver
from takt.embodiments.slot_map import EmbodimentFileError
from takt.embodiments.user_code import failures_named, make, told
from takt.types import ActionChunk, TaktError

CODE = """
from bodies import ARM

class Works:
    spec, cameras = ARM, {}
    def __init__(self, spec=None, port=""):
        self.port = port
    def connect(self): ...
    def read(self): ...
    def command(self, action): ...
    def stop(self): ...
    def close(self): ...

class Unplugged(Works):
    def __init__(self, spec=None, port=""):
        raise OSError("no such port")

class Mistaken(Works):
    def __init__(self, spec=None, port=""):
        len(3)

class Legless(Works):
    stop = property()

class Nameless(Works):
    spec = "arm"

class Boundless(Works):
    limits = {"velocity": [1, 1]}

class World:
    spec = ARM
    def observe(self):
        return "nothing"
    def act(self, action):
        self.motors.move(action)
    def stop(self): ...
    @property
    def finished(self):
        return 1 / 0

class Lost(World):
    spec = "somewhere"

def forgets(spec=None, port=""):
    Works(spec)
"""
BODY = """
name = "desk-arm"
rate_hz = 20
instruction = "Wave."
axes = [{ name = "shoulder", unit = "rad", low = -1, high = 1, slot = 0 }]
cameras = [{ name = "front", view = "Ego View", height = 8, width = 8 }]
[driver]
factory = "{file}:{name}"
port = "/dev/ttyUSB7"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "arms.py"
    path.write_text(CODE)
    return path


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Unplugged", r"making .*arms.py:Unplugged failed with OSError: no such port .*line 16 in"),
        ("Mistaken", r"TypeError: object of type 'int' has no len\(\) \(.*arms.py, line 20 in"),
        ("Legless", r"expected a driver .* got Legless without stop"),
        ("Nameless", "expected its spec to be a takt.types.EmbodimentSpec, got str"),
        ("forgets", "expected a driver .* got NoneType"),
    ],
)
def test_a_driver_that_cannot_be_made_is_named(file: Path, name: str, says: str) -> None:
    with pytest.raises(TaktError, match=says):
        body_named(f"{file}:{name}")
    body = file.with_name("body.toml")
    body.write_text(BODY.replace("{file}", str(file)).replace("{name}", name))
    with pytest.raises(EmbodimentFileError, match=f"body.toml: driver: .*{says}"):
        load_driver(body)


def test_a_simulation_of_ones_own_is_named_whatever_fails_in_it(file: Path) -> None:
    body = body_named(f"{file}:World")
    assert isinstance(body, Simulated)
    with pytest.raises(TaktError, match=r"World.observe\(\): expected a .*Observation, got str"):
        body.body.observe()
    with pytest.raises(TaktError, match=r"World.act\(action\) failed with AttributeError: .*line"):
        body.body.act(np.zeros(2, np.float32))
    with pytest.raises(TaktError, match=r"World.finished failed with ZeroDivisionError"):
        body.finished()
    body.reset(1)  # it has none
    with pytest.raises(TaktError, match="expected its spec"):
        body_named(f"{file}:Lost")


def test_limits_of_another_kind_are_named(file: Path) -> None:
    with pytest.raises(TaktError, match=r"limits\.Limits, got dict"):
        body_named(f"{file}:Boundless")
    assert isinstance(body_named(f"{file}:Works"), Driven)


def test_a_file_that_cannot_be_run_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("\nimport not_a_module_of_ours")
    with pytest.raises(TaktError, match="ModuleNotFoundError.*'not_a_module_of_ours'.*line 2"):
        make(f"{path}:Arm")
    path.write_text("def f(:")
    with pytest.raises(TaktError, match="SyntaxError: invalid syntax .*line 1"):
        make(f"{path}:Arm")


def test_what_a_function_takes_is_said_where_it_is_given_something_else(file: Path) -> None:
    with pytest.raises(TaktError, match=r"Works\(spec=None, port=''\) cannot be called with the"):
        make(f"{file}:Works", "spec", baud=9600)
    assert make(f"{file}:ARM").name == "arm", "what is no function is given as it is"


def test_the_long_tail_of_a_type_check_is_left_out() -> None:
    says = r"i64\[3,2\].*Expected type"
    with pytest.raises(TaktError, match=says) as caught, failures_named("infer"):
        ActionChunk(stamp=0.0, dt=1.0, actions=np.zeros((3, 2), int))
    assert "Called with parameters" not in str(caught.value)
    assert told(KeyError("x")) == "KeyError: 'x'"
