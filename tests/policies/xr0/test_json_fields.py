"""A config whose values have another type or are out of range is refused by their names."""

import json
import shutil
from pathlib import Path

import pytest

from takt.policies.xr0.parity_case import Case
from takt.types import TaktError

DATA = Path(__file__).parents[2] / "data" / "parity" / "xr0_posttrain"


@pytest.mark.parametrize(
    ("name", "wrong", "expected"),
    [
        ("fixture", None, "an object"),
        ("fixture.contract", [], "unknown contract"),
        ("fixture.num_steps", -3, "int of at least 1"),
        ("fixture.num_steps", 0, "int of at least 1"),
        ("fixture.num_steps", "5", "int of at least 1"),
        ("fixture.num_steps", True, "int of at least 1"),
        ("fixture.seed", "1", "int"),
        ("fixture.seed", 2**64, "int"),
        ("fixture.xr0", None, "an object"),
        ("fixture.xr0.local_window", "4", "int"),
        ("fixture.xr0.num_steps", 2.5, "int of at least 1"),
        ("fixture.action_position_offset", "10", "int of at least 0"),
        ("dit_config", None, "an object"),
        ("dit_config.head_dim", 0, "int of at least 1"),
        ("dit_config.head_dim", [], "int of at least 1"),
        ("vlm_config.image_token_id", None, "int"),
        ("vlm_config.text_config", "x", "an object"),
        ("vlm_config.text_config.hidden_size", "64", "int of at least 1"),
        ("vlm_config.text_config.rope_theta", float("nan"), "float"),
        ("vlm_config.text_config.rope_scaling", ["x"], "an object"),
        ("vlm_config.vision_config.deepstack_visual_indexes", [0, "1"], "tuple"),
        ("vlm_config.vision_config.depth", 2.0, "int"),
        ("action_dim", [8], "int"),
        ("takt", None, "an object"),
        ("takt.image_pixels", [1], "tuple"),
        ("takt.rotary", "float64", "Literal"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, name, wrong, expected):
    data = json.loads((DATA / "config.json").read_text())
    *blocks, key = name.split(".")
    inside = data
    for block in blocks:
        inside = inside.setdefault(block, {})
    inside[key] = wrong
    (tmp_path / "config.json").write_text(json.dumps(data))
    with pytest.raises(TaktError, match=f"config.json: {name}: .*{expected}"):
        Case.open(tmp_path)


def test_a_contract_is_read_field_by_field(tmp_path):
    data = json.loads((DATA / "config.json").read_text())
    del data["fixture"]["contract"]
    own = {"name": "mine", "local_window": "2", "rope_offset": 3, "decode_eps": 0, "max_prefix": 1}
    data["takt"] = {"contract": own}
    (tmp_path / "config.json").write_text(json.dumps(data))
    with pytest.raises(TaktError, match=r"takt\.contract\.local_window: expected int \| None"):
        Case.open(tmp_path)


def test_a_whole_number_may_stand_for_a_float(tmp_path):
    data = json.loads((DATA / "config.json").read_text())
    data["vlm_config"]["text_config"]["rms_norm_eps"] = 0
    (tmp_path / "config.json").write_text(json.dumps(data))
    for name in ("inputs", "outputs"):
        shutil.copy(DATA / f"{name}.safetensors", tmp_path)
    assert isinstance(Case.open(tmp_path).config.text.rms_norm_eps, float)
