"""Other formats and other datasets become LeRobot v3.0, whatever comes in between."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rlds_files as files

from takt.cli import main
from takt.commands import data_build
from takt.datasets.conversion import JOURNAL, convert
from takt.datasets.errors import EpisodeError
from takt.datasets.fit import sound_episode
from takt.datasets.inspection import inspect
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.lerobot_source import LeRobotSource
from takt.datasets.merging import Chosen, Merged, split_episodes
from takt.datasets.rlds import RldsDataset
from takt.types import Episode, TaktError

FIXTURES = Path(__file__).parents[1] / "data" / "lerobot"
IMAGES, VIDEO = FIXTURES / "v21_image_0.3.2", FIXTURES / "v30_video_0.6.1"
NAME = "fractal20220817_data"


@pytest.fixture
def fractal(tmp_path: Path) -> Path:
    """Four episodes; the second has a bad frame, the last is cut off."""
    bad = [files.jpeg(files.picture(32, 48, 0))] * 3 + [b"junk"] * 3
    payloads = [files.fractal_example(seed) for seed in range(4)]
    payloads[1] = files.fractal_example(1, image=bad)
    (path,) = files.write_rlds(tmp_path / "fractal", NAME, files.FRACTAL_SHAPES, [payloads])
    path.write_bytes(path.read_bytes()[:-100])
    return path.parent


def run(argv: Sequence[object], capsys: pytest.CaptureFixture[str]) -> tuple[int, dict, str]:
    status = main(["data", *map(str, argv), "--json"])
    shown = capsys.readouterr()
    return status, json.loads(shown.out.splitlines()[-1]) if status == 0 else {}, shown.err


def test_bad_episodes_are_counted_and_named(
    fractal: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, found, shown = run(["convert", fractal, root, "--skip-bad"], capsys)
    assert status == 0
    (written,) = found["written"]
    assert written["episodes"] == 2
    assert [(fault["episode"], fault["frame"]) for fault in written["faults"]] == [
        (1, 3),
        (3, None),
    ]
    assert all("tfrecord-00000-of-00001" in fault["path"] for fault in written["faults"])
    assert "episode 1, frame 3: camera 'ego': expected a JPEG or PNG, got 4 bytes" in shown
    dataset, source = LeRobotDataset.open(root), RldsDataset.open(fractal)
    assert inspect(dataset, decode=True).problems == ()
    for got, index in zip(dataset, (0, 2), strict=True):
        wanted = source.episode(index)
        np.testing.assert_array_equal(got.state, wanted.state)
        np.testing.assert_array_equal(got.actions, wanted.actions)
        assert (got.instruction, got.rate_hz) == (wanted.instruction, 3)
        assert np.abs(got.images["ego"].astype(int) - wanted.images["ego"]).mean() < 4
    names = {feature.key: feature.names for feature in dataset.metadata.features}
    assert names["observation.state"] == ("x", "y", "z", "qx", "qy", "qz", "qw", "gripper")
    assert names["action"] == ("x", "y", "z", "rx", "ry", "rz", "gripper")


def test_a_bad_episode_stops_and_says_how_to_go_on(
    fractal: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, shown = run(["convert", fractal, root], capsys)
    assert status == 2
    assert "episode 1, frame 3" in shown
    assert "--skip-bad" in shown
    assert len(LeRobotDataset.open(root)) == 1
    status, found, _ = run(["convert", fractal, root, "--skip-bad"], capsys)
    assert (status, found["written"][0]["episodes"]) == (0, 2)


def test_the_same_command_goes_on_after_ctrl_c(
    fractal: Path, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = RldsDataset.episode

    def interrupted(self: RldsDataset, index: int) -> Episode:
        if index == 2:
            raise KeyboardInterrupt
        return read(self, index)

    argv = ["convert", fractal, root, "--skip-bad"]
    with monkeypatch.context() as patch:
        patch.setattr(RldsDataset, "episode", interrupted)
        status, _, shown = run(argv, capsys)
    assert status == 130
    assert "Run the same command again" in shown
    assert len(LeRobotDataset.open(root)) == 1
    for _ in range(2):
        status, found, _ = run(argv, capsys)
        assert [fault["episode"] for fault in found["written"][0]["faults"]] == [1, 3]
    assert [e.instruction for e in LeRobotDataset.open(root)] == ["pick can 0", "pick can 2"]


def test_a_folder_of_something_else_is_left_alone(
    fractal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, recorded = tmp_path / "out", tmp_path / "recorded"
    convert(LeRobotSource.open(IMAGES), out, "mine")
    convert(LeRobotSource.open(IMAGES), recorded, "mine")
    (recorded / JOURNAL).unlink()
    before = {p: p.read_bytes() for p in recorded.rglob("*") if p.is_file()}
    for target, message in ((out, "begun from 'mine'"), (recorded, "no conversion wrote")):
        status, _, shown = run(["convert", IMAGES, target], capsys)
        assert status == 2
        assert message in shown
    assert main(["data", "align", str(IMAGES), str(recorded)]) == 2
    shown = capsys.readouterr()
    assert "no conversion wrote" in shown.err
    assert "skew" not in shown.out
    assert {p: p.read_bytes() for p in recorded.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("fixture", [IMAGES, VIDEO])
def test_lerobot_keeps_every_column(
    fixture: Path, root: Path, expect_same: Callable[[Episode, Episode], None]
) -> None:
    convert(LeRobotSource.open(fixture), root, "test")
    for got, wanted in zip(LeRobotDataset.open(root), LeRobotDataset.open(fixture), strict=True):
        expect_same(got, replace(wanted, images={}))
        assert got.instructions == wanted.instructions
    assert len(set(LeRobotDataset.open(root).episode(3).instructions)) == 2


def test_columns_by_other_names(
    copy_fixture: Callable[[str], Path], edit_info: Callable[..., None]
) -> None:
    import pyarrow.parquet as pq

    root = copy_fixture(IMAGES.name)
    renamed = {"observation.state": "state", "action": "actions"}
    for path in root.glob("data/*/*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.rename_columns([renamed.get(n, n) for n in table.column_names]), path)
    edit_info(
        root,
        lambda info: info.update(
            features={renamed.get(key, key): value for key, value in info["features"].items()}
        ),
    )
    got, wanted = LeRobotSource.open(root).episode(1), LeRobotDataset.open(IMAGES).episode(1)
    np.testing.assert_array_equal(got.state, wanted.state)
    np.testing.assert_array_equal(got.actions, wanted.actions)
    assert "state" not in got.extras


def test_a_lost_episode_is_a_fault(copy_fixture: Callable[[str], Path], root: Path) -> None:
    source = copy_fixture(IMAGES.name)
    lines = (source / "meta" / "episodes.jsonl").read_text().splitlines()
    (source / "meta" / "episodes.jsonl").write_text("\n".join(lines[:-1]))
    result = convert(LeRobotSource.open(source), root, "test", skip_bad=True)
    assert result.episodes == 3
    assert "expected 4 episodes" in result.faults[0].message


def test_merge(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found, _ = run(["merge", IMAGES, VIDEO, "--out", root], capsys)
    assert (status, found["written"][0]["episodes"]) == (0, 8)
    lengths = [record.length for record in LeRobotDataset.open(root).metadata.episodes]
    assert lengths == [12, 15, 9, 20] * 2


def test_merge_refuses_other_layouts(
    copy_fixture: Callable[[str], Path],
    edit_info: Callable[..., None],
    root: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = copy_fixture(IMAGES.name)

    def rename(info: dict) -> None:
        info["features"]["action"]["names"][-1] = "claw"
        info["robot_type"] = "toy_arm_2"

    edit_info(other, rename)
    status, _, shown = run(["merge", IMAGES, other, "--out", root], capsys)
    assert status == 2
    rows = [line.split() for line in shown.splitlines()]
    assert ["body", "toy_arm", "toy_arm_2"] in rows
    assert ["action[6]", "gripper", "claw"] in rows
    assert "action[5]" not in shown
    assert not root.exists()


def test_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outs = [tmp_path / "train", tmp_path / "rest"]
    argv = ["split", IMAGES, "--share", ".75", "--seed", "3", "--out", *outs]
    status, found, _ = run(argv, capsys)
    assert status == 0
    assert [part["episodes"] for part in found["written"]] == [3, 1]
    lengths = [r.length for out in outs for r in LeRobotDataset.open(out).metadata.episodes]
    assert sorted(lengths) == [9, 12, 15, 20]
    twice = ["split", IMAGES, "--out", tmp_path / "one", tmp_path / "here" / ".." / "one"]
    status, _, shown = run(twice, capsys)
    assert (status, (tmp_path / "one").exists()) == (2, False)
    assert "expected two folders" in shown


@pytest.mark.parametrize("command", [["merge", IMAGES], ["split"]])
def test_a_source_that_has_grown_is_not_gone_on_with(
    copy_fixture: Callable[[str], Path],
    edit_info: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: list[object],
) -> None:
    """The episodes that are still to be written are others, or elsewhere."""
    source, begun = copy_fixture(IMAGES.name), list[list[str]]()
    outs = [tmp_path / part for part in ("one", "two")][: 1 + (command[0] == "split")]
    monkeypatch.setattr(
        data_build,
        "_write",
        lambda targets, _: begun.append([origin for *_, origin in targets]) or 0,
    )
    path = source / "meta" / "episodes.jsonl"
    whole = path.read_text()
    for lines, total in ((whole.splitlines()[:-1], 3), (whole.splitlines(), 4)):
        path.write_text("\n".join(lines))
        edit_info(source, lambda info, total=total: info.update(total_episodes=total))
        main(["data", *map(str, [*command, source, "--out", *outs])])
    before, after = begun
    assert not set(before) & set(after)


@pytest.mark.parametrize("kind", [Chosen, Merged])
def test_an_episode_that_does_not_fit_is_named_as_in_its_own_dataset(
    kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = LeRobotSource.open(IMAGES)

    def episode(self: LeRobotSource, index: int) -> Episode:
        read = self.dataset.episode(index)
        read.actions[4] = np.nan
        return read

    monkeypatch.setattr(LeRobotSource, "episode", episode)
    whole = (
        Chosen(source=source, indices=(3, 2)) if kind is Chosen else Merged(parts=(source, source))
    )
    position = 1 if kind is Chosen else 6
    with pytest.raises(EpisodeError, match="episode 2, frame 4: actions: .* finite"):
        sound_episode(whole, position)


def test_split_is_by_seed() -> None:
    first, rest = split_episodes(100, 0.9, 0)
    assert sorted([*first, *rest]) == list(range(100))
    assert len(first) == 90
    assert split_episodes(100, 0.9, 0) == (first, rest)
    assert split_episodes(100, 0.9, 1) != (first, rest)
    assert [len(part) for part in split_episodes(2, 0.99, 0)] == [1, 1]
    for count, share in ((1, 0.5), (10, 0.0), (10, 1.0)):
        with pytest.raises(TaktError, match="share between"):
            split_episodes(count, share, 0)


def test_faults_of_a_part_have_their_own_number(fractal: Path, root: Path) -> None:
    source = Chosen(source=RldsDataset.open(fractal), indices=(2, 1))
    result = convert(source, root, "test", skip_bad=True)
    assert result.episodes == 1
    assert [fault.episode for fault in result.faults] == [1]
