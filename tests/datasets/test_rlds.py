"""RLDS without TensorFlow, against files that another writer made."""

from pathlib import Path

import numpy as np
import pytest
import rlds_files as files

from takt.datasets.crc32c import crc32c
from takt.datasets.errors import EpisodeError, MissingDataError, NotADatasetError
from takt.datasets.rlds import RldsDataset
from takt.datasets.rlds_layouts import LAYOUTS, rlds_layout
from takt.datasets.tf_example import WireError, parse_example
from takt.types import TaktError


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    """Two files of two and one episodes."""
    payloads = [files.fractal_example(seed, 4 + seed) for seed in range(3)]
    groups = [payloads[:2], payloads[2:]]
    return files.write_rlds(tmp_path, "fractal20220817_data", files.FRACTAL_SHAPES, groups)


@pytest.mark.parametrize("size", [0, 1, 3, 4, 63, 64, 1023, 1024, 1025, 3000, 4096, 9999])
def test_checksum(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    assert crc32c(data) == files.crc32c(data)


def test_checksum_of_the_standard() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720's polynomial, its usual check value


def test_episodes(shards: list[Path]) -> None:
    dataset = RldsDataset.open(shards[0].parent)
    assert len(dataset) == 3
    assert [dataset.path(index) for index in range(3)] == [shards[0], shards[0], shards[1]]
    episode = dataset.episode(2)
    assert episode.embodiment == "fractal"
    assert episode.instruction == "pick can 2"
    assert episode.rate_hz == 3
    np.testing.assert_allclose(episode.stamps, np.arange(6) / 3)
    assert episode.state.shape == (6, 8)
    np.testing.assert_array_equal(episode.state[1], [3 + a / 8 for a in range(7)] + [1])
    np.testing.assert_array_equal(episode.actions[1], [0.75, 1, 1.25, -0.75, -1, -1.25, 1])
    frame = episode.images["ego"][5].astype(int)
    assert np.abs(frame - files.picture(32, 48, 7)).mean() < 3
    spec = dataset.schema.spec
    assert spec.state_names[-2:] == ("qw", "gripper")
    assert spec.action_space.names == ("x", "y", "z", "rx", "ry", "rz", "gripper")


def test_a_folder_above_its_only_version(shards: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "dataset" / "0.1.0"
    folder.mkdir(parents=True)
    for path in [*shards, tmp_path / "features.json", tmp_path / "dataset_info.json"]:
        path.rename(folder / path.name)
    assert len(RldsDataset.open(folder.parent)) == 3


def test_a_flipped_bit(shards: list[Path]) -> None:
    content = bytearray(shards[0].read_bytes())
    content[200] ^= 1
    shards[0].write_bytes(content)
    dataset = RldsDataset.open(shards[0].parent)
    with pytest.raises(EpisodeError, match=f"{shards[0].name}: episode 0: .* checksum"):
        dataset.episode(0)
    assert len(dataset.episode(1).stamps) == 5


@pytest.mark.parametrize("damage", ["cut", "length", "gone"])
def test_lost_episodes_are_counted(shards: list[Path], damage: str) -> None:
    content = bytearray(shards[0].read_bytes())
    match damage:
        case "cut":
            shards[0].write_bytes(content[:300])
        case "length":
            content[0] ^= 1
            shards[0].write_bytes(content)
        case "gone":
            shards[0].unlink()
    dataset = RldsDataset.open(shards[0].parent)
    assert len(dataset) == 3
    for lost in (0, 1):
        with pytest.raises(EpisodeError, match=f"episode {lost}: "):
            dataset.episode(lost)
    assert dataset.episode(2).instruction == "pick can 2"


@pytest.mark.parametrize(
    ("changes", "frame", "message"),
    [
        (
            {"image": [files.jpeg(files.picture(32, 48, 0))] * 2 + [b"\xff\xd8junk"] * 4},
            2,
            "a JPEG or PNG",
        ),
        ({"image": [files.jpeg(files.picture(32, 64, 0))] * 6}, 0, "expected 32 x 48 .* 32 x 64"),
        ({"image": [files.jpeg(files.picture(32, 48, 0))] * 5}, None, "6 images, got 5"),
        ({"world_vector": [0.0] * 12 + [float("nan")] + [0.0] * 5}, 4, "not finite"),
        ({"gripper_closed": [0.0] * 5}, None, "6 steps of 1 numbers, got 5"),
    ],
)
def test_faults_name_the_frame(
    tmp_path: Path, changes: dict, frame: int | None, message: str
) -> None:
    payload = files.fractal_example(0, 6, **changes)
    files.write_rlds(tmp_path, "fractal20220817_data", files.FRACTAL_SHAPES, [[payload]])
    with pytest.raises(EpisodeError, match=message) as caught:
        RldsDataset.open(tmp_path).episode(0)
    assert caught.value.frame == frame


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_every_layout(tmp_path: Path, layout: str) -> None:
    fields, shapes, features = LAYOUTS[layout], {}, {}
    for key in fields.cameras.values():
        shapes[key] = ("image", 0, 0, 3)  # TFDS leaves sizes open that differ
        features[f"steps/{key}"] = [files.jpeg(files.picture(20, 24, 1))] * 2
    for part in (*fields.state, *fields.actions):
        shapes[part.key] = (len(part.axes),)
        features[f"steps/{part.key}"] = [0.5] * 2 * len(part.axes)
    for key in fields.instruction:
        shapes[key] = "text"
        features[f"steps/{key}"] = [b"" if key == "language_instruction" else b"go"] * 2
    files.write_rlds(tmp_path, "mine", shapes, [[files.example(features)]])
    dataset = RldsDataset.open(tmp_path, layout=layout)
    episode = dataset.episode(0)
    assert episode.state.shape == (2, len(dataset.schema.spec.state_names))
    assert episode.images.keys() == fields.cameras.keys()
    assert dataset.schema.spec.cameras[0].height == 20
    assert episode.instruction == ("" if layout == "bridge" else "go")


def test_what_does_not_fit(shards: list[Path], tmp_path: Path) -> None:
    with pytest.raises(TaktError, match="image_0: not there.*--layout"):
        RldsDataset.open(tmp_path, layout="bridge")
    with pytest.raises(TaktError, match="among droid, .*got 'sponge'"):
        RldsDataset.open(tmp_path, layout="sponge")
    with pytest.raises(MissingDataError, match="'val', got none; known splits: train"):
        RldsDataset.open(tmp_path, split="val")
    with pytest.raises(NotADatasetError, match=r"features\.json"):
        RldsDataset.open(tmp_path / "nowhere")


OWN = """
rate_hz = 12.5
instruction = []
cameras = { eye = "observation/image" }
state = [{ key = "observation/gripper_closed", axes = ["grip"] }]
actions = [
    { key = "action/world_vector", axes = ["x", "y", "z"] },
    { key = "action/gripper_closedness_action", axes = ["grip"] },
]
"""


def test_a_layout_of_ones_own(shards: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "desk-arm.toml"
    path.write_text(OWN)
    episode = RldsDataset.open(tmp_path, layout=str(path)).episode(0)
    assert (episode.embodiment, episode.rate_hz) == ("desk-arm", 12.5)
    assert (episode.state.shape, episode.actions.shape) == ((4, 1), (4, 4))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("rate_hz = 12.5", "rate_hz = 0", "wrong: rate_hz or cameras"),
        ("cameras =", "camera =", "wrong: cameras, camera"),
        ('axes = ["grip"] },\n]', 'axes = ["x"] },\n]', "names of their own"),
        ('key = "observation/gripper_closed"', "keys = 3", "parts with `key`"),
        ("[", "", "readable TOML"),
    ],
)
def test_a_layout_file_that_is_none(tmp_path: Path, before: str, after: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(OWN.replace(before, after, 1))
    with pytest.raises(TaktError, match=f"mine.toml: .*{message}"):
        rlds_layout(str(path))


def test_damaged_messages() -> None:
    payload = files.example({"a": [1.0], "b": [-2, 300], "c": [b"x"]})
    found = parse_example(payload, {"b", "c"})
    assert set(found) == {"b", "c"}
    np.testing.assert_array_equal(found["b"], [-2, 300])
    for cut in (1, len(payload) // 2, len(payload) - 1):
        with pytest.raises(WireError):
            parse_example(payload[:cut], {"a", "b", "c"})


def test_a_number_of_three_bytes() -> None:
    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    floats = field(2, field(2, field(1, b"abc")))
    with pytest.raises(WireError, match="cut off"):
        parse_example(field(1, field(1, field(1, b"a") + floats)), {"a"})
