"""A small body, episodes of it, and the datasets that the real lerobot wrote."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from takt.datasets.writer import LeRobotWriter
from takt.types import ActionSpace, CameraSpec, EmbodimentSpec, Episode

FIXTURES = Path(__file__).parents[1] / "data" / "lerobot"
EXTRAS = {"annotation.points": 4, "annotation.phase": 1}


@pytest.fixture
def spec() -> EmbodimentSpec:
    return EmbodimentSpec(
        name="toy",
        rate_hz=30.0,
        cameras=(
            CameraSpec(name="top", view="Ego View", height=32, width=48),
            CameraSpec(name="hand", view="Wrist View", height=32, width=32),
        ),
        action_space=ActionSpace(
            names=("x", "y", "grip"),
            units=("m", "m", "m"),
            low=np.full(3, -1, np.float32),
            high=np.full(3, 1, np.float32),
        ),
        slots=(0, 1, 2),
        relative=(True, True, False),
        instruction="reach",
    )


@pytest.fixture
def make_episode(spec: EmbodimentSpec) -> Callable[..., Episode]:
    """Smooth images whose brightness tells the tick and whose colour tells the seed."""

    def make(seed: int, ticks: int = 12, **changes: Any) -> Episode:
        draw = np.random.default_rng(seed)
        stamps = np.arange(ticks) / spec.rate_hz

        def frames(height: int, width: int) -> np.ndarray:
            images = np.zeros((ticks, height, width, 3), np.uint8)
            images[..., 0] = (np.arange(ticks) * 8 % 256)[:, None, None]
            images[..., 1] = 30 * seed % 256
            images[..., 2] = np.arange(width) * 4
            return images

        content: dict[str, Any] = {
            "embodiment": spec.name,
            "instruction": spec.instruction,
            "rate_hz": spec.rate_hz,
            "stamps": stamps,
            "images": {c.name: frames(c.height, c.width) for c in spec.cameras},
            "image_stamps": {c.name: stamps - 0.001 * k for k, c in enumerate(spec.cameras)},
            "state": draw.normal(size=(ticks, 3)).astype(np.float32),
            "actions": draw.normal(size=(ticks, 3)).astype(np.float32),
            "extras": {
                name: draw.normal(size=(ticks, width)).astype(np.float32)
                for name, width in EXTRAS.items()
            },
        }
        return Episode(**{**content, **changes})

    return make


@pytest.fixture(scope="session")
def expected() -> dict[str, Any]:
    return json.loads((FIXTURES / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture
def copy_fixture(tmp_path: Path) -> Callable[[str], Path]:
    """A dataset of the real lerobot, free to be damaged."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(FIXTURES / name, tmp_path / name))

    return copy


@pytest.fixture
def edit_info() -> Callable[[Path, Callable[[dict[str, Any]], object]], None]:
    """Change a dataset's info.json in place."""

    def edit(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
        path = root / "meta" / "info.json"
        info = json.loads(path.read_text())
        change(info)
        path.write_text(json.dumps(info))

    return edit


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "dataset"


@pytest.fixture
def writer(root: Path, spec: EmbodimentSpec) -> LeRobotWriter:
    return LeRobotWriter(root, spec, extras=EXTRAS)


@pytest.fixture
def expect_same() -> Callable[[Episode, Episode], None]:
    """Compare what was read with what was written; images within the loss of the video."""

    def compare(got: Episode, wanted: Episode) -> None:
        assert got.embodiment == wanted.embodiment
        assert got.instruction == wanted.instruction
        assert got.rate_hz == wanted.rate_hz
        np.testing.assert_array_equal(got.stamps, wanted.stamps)
        np.testing.assert_array_equal(got.state, wanted.state)
        np.testing.assert_array_equal(got.actions, wanted.actions)
        assert set(got.extras) == set(wanted.extras)
        for name, rows in wanted.extras.items():
            np.testing.assert_array_equal(got.extras[name], rows)
        for name, frames in wanted.images.items():
            np.testing.assert_array_equal(got.image_stamps[name], wanted.image_stamps[name])
            assert got.images[name].shape == frames.shape
            # 4:2:0 keeps half the colour resolution; what is smooth survives.
            assert np.abs(got.images[name].astype(int) - frames).mean() < 4

    return compare
