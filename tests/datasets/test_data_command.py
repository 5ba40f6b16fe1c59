"""`takt data inspect` and `takt data stats` as a user sees them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from takt.cli import main

FIXTURES = Path(__file__).parents[1] / "data" / "lerobot"
NAMES = sorted(path.name for path in FIXTURES.iterdir() if path.is_dir())


@pytest.mark.parametrize("name", NAMES)
def test_inspect_json(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect", str(FIXTURES / name), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["version"] == ("v2.1" if name.startswith("v21") else "v3.0")
    assert (found["episodes"], found["frames"], found["fps"]) == (4, 56, 10)
    assert found["lengths"] == [12, 15, 9, 20]
    assert found["tasks"][2] == "把毛巾对折"
    assert {camera["name"] for camera in found["cameras"]} == {"front", "wrist"}
    assert found["statistics"]["state"]["max"][0] == 4.1875
    assert found["problems"] == []


def test_inspect_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect", str(FIXTURES / "v30_video_0.6.1")]) == 0
    shown = capsys.readouterr().out
    for text in ("v3.0", "toy_arm", "56 frames", "front 96x128", "把毛巾对折", "joint_5"):
        assert text in shown


def test_bad_files_are_listed_by_name(
    copy_fixture: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root = copy_fixture("v21_video_0.3.2")
    video, rows = sorted(root.rglob("*.mp4"))[0], sorted(root.rglob("*.parquet"))[1]
    video.unlink()
    rows.write_bytes(rows.read_bytes()[:100])
    assert main(["data", "inspect", str(root), "--json"]) == 1
    shown = capsys.readouterr()
    problems = json.loads(shown.out)["problems"]
    assert {problem["path"]: problem["kind"] for problem in problems} == {
        str(video): "MissingVideoError",
        str(rows): "CorruptFileError",
    }
    assert video.name in shown.err
    assert "Traceback" not in shown.err


def test_no_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect", str(tmp_path)]) == 2
    assert "no meta/info.json" in capsys.readouterr().err


def test_stats_pools_datasets(capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(FIXTURES / name) for name in NAMES[:2]]
    assert main(["data", "stats", *folders, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["toy_arm"]
    assert found["episodes"] == 8
    assert found["state"]["count"] == 112
    assert found["state"]["q50"][0] == pytest.approx(2.03125)
    assert found["touch"] is None
    assert found["extras"]["next.reward"]["count"] == 112
    assert found["extras"]["next.reward"]["mean"] == [pytest.approx(4 / 56)]
    assert main(["data", "stats", *folders]) == 0
    shown = capsys.readouterr().out
    assert "8 episodes, 112 frames" in shown
    assert "next.reward" in shown
