"""Bodies by where they stand: in a module, in a Python file, behind a described spec."""

from pathlib import Path

import pytest
from bodies import ARM

from takt.embodiments import embodiment_spec
from takt.embodiments.body_file import load_driver, load_limits
from takt.embodiments.limits import UNLIMITED, AxisBox
from takt.embodiments.reference import is_reference, load_reference
from takt.embodiments.slot_map import EmbodimentFileError
from takt.embodiments.user_code import make
from takt.types import TaktError

CODE = """
from dataclasses import dataclass
from bodies import ARM

MADE = []

@dataclass(slots=True)
class Arm:
    spec: object = ARM
    port: str = "none"

    cameras = connect = read = command = stop = close = None

    def __post_init__(self):
        MADE.append(self)

class Typed:
    spec = ARM
"""
BODY = """
name = "desk-arm"
rate_hz = 20
instruction = "Wave."
axes = [{ name = "shoulder", unit = "rad", low = -1, high = 1, slot = 0 }]
cameras = [{ name = "front", view = "Ego View", height = 8, width = 8 }]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my arm.py"
    path.write_text(CODE)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bodies:ARM", True),
        ("examples/03_new_body.py:Arm", True),
        ("nut-station", False),
        ("ws://robot:8000", False),
        ("ws://robot", False),
        (":ARM", False),
        ("bodies:", False),
    ],
)
def test_what_is_a_reference(text: str, expected: bool) -> None:
    assert is_reference(text) == expected


def test_specs_and_drivers_are_found_in_modules_and_files(file: Path) -> None:
    assert embodiment_spec("bodies:ARM") is ARM
    assert embodiment_spec(f"{file}:Typed") is ARM
    assert load_reference(f"{file}:MADE") == [], "a spec that stands there makes no driver"
    assert embodiment_spec(f"{file}:Arm") is ARM
    assert make(f"{file}:Arm") is not make(f"{file}:Arm")
    assert len(load_reference(f"{file}:MADE")) == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nowhere.at.all:Arm", "no module 'nowhere"),
        ("nowhere.py:Arm", "found none at"),
        ("bodies:Leg", "no 'Leg'; it has .*FakeDriver"),
        ("bodies:image", "expected a spec or a body"),
    ],
)
def test_what_leads_nowhere_is_named(text: str, says: str) -> None:
    with pytest.raises(TaktError, match=says):
        embodiment_spec(text)


def test_a_file_that_fails_is_not_taken_for_missing(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import not_a_module_of_ours")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="not_a_module_of_ours"):
            load_reference(f"{path}:Arm")


def test_a_described_body_names_its_driver(tmp_path: Path, file: Path) -> None:
    body = tmp_path / "body.toml"
    body.write_text(BODY + f'[driver]\nfactory = "{file}:Arm"\nport = "/dev/ttyACM0"\n')
    driver = load_driver(body)
    assert driver.spec.name == "desk-arm"
    assert driver.port == "/dev/ttyACM0"  # pyright: ignore[reportAttributeAccessIssue]
    assert embodiment_spec(str(body)).name == "desk-arm"


@pytest.mark.parametrize(
    ("table", "says"),
    [("", r"add a table \[driver\]"), ("[driver]\nfactory = '{file}:Arm'\nbaud = 9600", "baud")],
)
def test_a_body_without_its_driver_says_what_is_missing(
    tmp_path: Path, file: Path, table: str, says: str
) -> None:
    body = tmp_path / "body.toml"
    body.write_text(BODY + table.replace("{file}", str(file)))
    with pytest.raises(EmbodimentFileError, match=says):
        load_driver(body)


def test_a_described_body_names_its_limits(tmp_path: Path) -> None:
    body = tmp_path / "body.toml"
    spec = embodiment_spec("bodies:ARM")
    body.write_text(
        BODY
        + "[limits]\nvelocity = [1, inf]\nforce = [5]\n"
        + "workspace = { low = [-1, -1], high = [1, 1] }"
    )
    limits = load_limits(body, spec)
    assert limits.velocity is not None
    assert limits.force is not None
    assert limits.velocity.tolist() == [1, float("inf")]
    assert limits.force.tolist() == [5]
    assert limits.acceleration is None
    assert isinstance(limits.workspace, AxisBox)
    body.write_text(BODY)
    assert load_limits(body, spec) == UNLIMITED


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("velocity = [1]", "velocity: expected 2 numbers"),
        ("velocity = [1, true]", "velocity: expected 2 numbers"),
        ("force = 5", "force: expected a list"),
        ("speed = [1, 1]", "unknown.*speed.*velocity"),
        ("workspace = { low = [0, 0] }", "low and high"),
        ("acceleration = [0, 1]", "more than 0"),
    ],
)
def test_limits_that_say_nothing_are_named(tmp_path: Path, line: str, says: str) -> None:
    body = tmp_path / "body.toml"
    body.write_text(BODY + "[limits]\n" + line)
    with pytest.raises(TaktError, match=says):
        load_limits(body, embodiment_spec("bodies:ARM"))
