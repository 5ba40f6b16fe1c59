import json
import tomllib
from pathlib import Path

import pytest

from takt.embodiments import embodiment_spec, load_embodiment
from takt.embodiments.layouts import LAYOUTS, released_layout
from takt.embodiments.slot_map import EmbodimentFileError
from takt.transforms.slots import Slots
from takt.types import TaktError

EXAMPLE = Path(__file__).parents[2] / "examples" / "desk_arm.toml"


@pytest.fixture
def body():
    return tomllib.loads(EXAMPLE.read_text())


@pytest.fixture
def load(tmp_path):
    def write_and_load(data):
        path = tmp_path / "body.json"
        path.write_text(json.dumps(data))
        return load_embodiment(path)

    return write_and_load


def test_example_file_maps_an_arm_by_name_and_by_column():
    spec = embodiment_spec(str(EXAMPLE))
    assert spec.slots == (7, 8, 9, 10, 11, 12, 13, 6)
    assert spec.relative == (True,) * 7 + (False,)
    assert [camera.view for camera in spec.cameras] == ["Ego View", "Left-Wrist View"]
    assert spec.action_space.high[-1] == pytest.approx(0.08)
    assert (spec.dt, spec.state_slots) == (0.05, spec.slots)


def test_json_and_toml_say_the_same(body, load):
    ours, theirs = load(body), load_embodiment(EXAMPLE)
    assert (ours.slots, ours.cameras, ours.relative) == (
        theirs.slots,
        theirs.cameras,
        theirs.relative,
    )


def test_a_state_on_other_axes(body, load):
    tool = ("x", "y", "z", "rx", "ry", "rz", "gripper")
    body["layout"] = "libero"
    body["axes"] = [
        {"name": name, "unit": "1", "low": -1, "high": 1, "slot": name} for name in tool
    ]
    body["state"] = [{"name": name, "slot": name} for name in LAYOUTS["libero"].states]
    spec = load(body)
    assert spec.slots == tuple(range(7))
    assert spec.state_slots == tuple(range(8))
    assert spec.state_names[-1] == "finger_2"
    assert not any(spec.relative)
    body["axes"][0]["relative"] = True
    with pytest.raises(TaktError, match="same axes"):
        load(body)


def test_released_layouts_fit_a_32_wide_vector():
    for layout in LAYOUTS.values():
        Slots(tuple(layout.actions.values()), 32)
        Slots(tuple(layout.states.values()), 32)
    bimanual = sorted(released_layout("bimanual").states.values())
    assert bimanual == [*range(6, 13), *range(20, 27)]
    with pytest.raises(TaktError, match="bimanual, libero, calvin, bridge, fractal"):
        released_layout("aloha")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda body: body.pop("rate_hz"), r"missing \['rate_hz'\]"),
        (lambda body: body.update(rate_hz=0), "more than 0"),
        (lambda body: body.update(rate_hz="20"), "rate_hz: expected .*, got '20'"),
        (lambda body: body.update(layout="aloha"), "bimanual"),
        (lambda body: body["axes"][0].update(relativ=True), r"shoulder_pan.*unknown \['relativ'\]"),
        (lambda body: body["axes"][0].update(slot="left_joint_9"), "left_joint_9"),
        (lambda body: body["axes"][0].update(slot=13), "wrist_roll: expected a column of its own"),
        (lambda body: body["axes"][0].update(slot=-1), "shoulder_pan: expected a column"),
        (lambda body: body["axes"][0].update(low=float("nan")), "low < high"),
        (lambda body: body["axes"][1].update(name="elbow"), "distinct names"),
        (lambda body: body.update(axes=[]), "at least one"),
        (lambda body: body.update(cameras=[]), "cameras.*at least one"),
        (lambda body: body["cameras"][0].update(height=0), "size in pixels"),
        (lambda body: body.update(rate_hz=float("inf")), "rate_hz: expected a finite"),
        (lambda body: body.update(rate_hz=True), "rate_hz: expected .*, got True"),
        (lambda body: body["axes"][0].update(slot=True), "slot: expected .*, got True"),
        (lambda body: body["cameras"][0].update(height=True), "height: expected .*, got True"),
        (lambda body: body.update(name=""), "name: expected text"),
        (lambda body: body["axes"][0].update(name=" "), "axes: name: expected text"),
        (lambda body: body.update(state=[{"name": "", "slot": 1}]), "state: name: expected text"),
        (lambda body: body["cameras"][0].update(view="Ego\nView"), "view: expected text"),
        (lambda body: body["axes"].append(3), "axes: expected tables"),
    ],
)
def test_what_is_wrong_is_named(body, load, change, message):
    change(body)
    with pytest.raises(TaktError, match=message):
        load(body)


def test_unreadable_files_are_named(tmp_path):
    for name, text in (("a.toml", "axes = ["), ("a.json", "[1]"), ("a.yaml", "")):
        (tmp_path / name).write_text(text)
        with pytest.raises(EmbodimentFileError, match=name):
            load_embodiment(tmp_path / name)
    with pytest.raises(EmbodimentFileError, match=r"none\.toml"):
        embodiment_spec(str(tmp_path / "none.toml"))
    with pytest.raises(TaktError, match="nut-station"):
        embodiment_spec("none")
