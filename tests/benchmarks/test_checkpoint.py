"""A shift asks of a checkpoint what loading it would find."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from takt.benchmarks.checkpoint import (
    UnusableCheckpointError,
    packaged_checkpoint,
    read_chunking,
)

BODY = "nut-station"
CONFIG, STATISTICS = "config.json", "preprocessor_config.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (CONFIG, STATISTICS):
        shutil.copy(packaged_checkpoint("nano_station") / name, tmp_path)
    return tmp_path


def change(path: Path, *keys: str, value: object) -> None:
    """Set one entry of a JSON file, or take it out (None)."""
    data = json.loads(path.read_text())
    entry: dict[str, Any] = data
    for key in keys[:-1]:
        entry = entry[key]
    entry.pop(keys[-1])
    if value is not None:
        entry[keys[-1]] = value
    path.write_text(json.dumps(data))


def test_a_contract_may_be_given_by_name(folder: Path) -> None:
    written_out = read_chunking(folder, BODY)
    change(folder / CONFIG, "takt", "contract", value="xr0_posttrain")
    assert read_chunking(folder, BODY) == written_out
    change(folder / CONFIG, "takt", "contract", value="hf_release")
    assert read_chunking(folder, BODY).max_prefix == 0


@pytest.mark.parametrize(
    ("file", "keys", "value", "says"),
    [
        (CONFIG, ("takt", "contract"), "mine", "one of hf_release"),
        (CONFIG, ("takt", "contract"), None, "names no forward contract"),
        (STATISTICS, ("action_config", BODY, "std"), None, BODY),
        (STATISTICS, ("action_config", BODY, "mean"), [[0.0]], "shape"),
        (STATISTICS, ("action_config", BODY, "execute_horizon"), 99, "execute_horizon"),
        (STATISTICS, ("action_config",), {}, "nut-station.*no body"),
    ],
)
def test_what_would_not_load_is_refused(
    folder: Path, file: str, keys: tuple[str, ...], value: object, says: str
) -> None:
    change(folder / file, *keys, value=value)
    with pytest.raises(UnusableCheckpointError, match=says):
        read_chunking(folder, BODY)


def test_what_is_no_checkpoint_is_named(folder: Path) -> None:
    (folder / STATISTICS).unlink()
    for wrong, says in (
        (folder, STATISTICS),
        (folder / "nowhere", "nowhere is not there"),
        (folder / CONFIG, "is a file, not a folder"),
        (Path(__file__).parents[1] / "data/lerobot/v21_image_0.3.2", "is a LeRobot dataset"),
    ):
        with pytest.raises(UnusableCheckpointError, match=f"{says}.*--policy takes"):
            read_chunking(wrong, BODY)
