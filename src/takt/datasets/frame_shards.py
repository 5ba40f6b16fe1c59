"""A dataset's frames as JPEG files in a few large ones: any frame at the cost of one decoding.

    index.npy          (frame, camera, 3) int64: shard, first byte, number of bytes
    cameras.json       names in the index's order, with height and width
    shard-00000.bin    JPEG files end to end

A tenth of the size of mapped raw frames, and several times as fast as seeking in video.
"""

import io
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image

from takt.datasets.encoded_image import decode_image
from takt.datasets.errors import CorruptFileError, NotADatasetError
from takt.datasets.metadata import read_json
from takt.types import CameraSpec, TaktError

QUALITY = 90  # 95 takes half as many bytes again
SHARD_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameShards:
    """Frames by row, counted over all episodes. Threads may read at once."""

    folder: Path
    cameras: tuple[CameraSpec, ...]
    index: np.ndarray
    shards: tuple[np.ndarray, ...]

    @classmethod
    def build(
        cls,
        episodes: Iterable[Mapping[str, np.ndarray]],
        cameras: Sequence[str],
        folder: Path,
        shard_bytes: int = SHARD_BYTES,
    ) -> "FrameShards":
        """Write the images of `cameras`, (tick, height, width, 3) uint8 by name for each episode.

        One episode is in memory at a time.

        `folder` appears once all of it is there: what was interrupted is begun again.

        Raises:
            TaktError: `folder` is there already, or there is no frame.
        """
        if folder.exists():
            raise TaktError(f"{folder}: expected a new folder; open the shards there, or remove it")
        draft = folder.with_name(folder.name + ".draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        writer = _ShardWriter(draft, shard_bytes)
        rows: list[list[tuple[int, int, int]]] = []
        sizes: dict[str, list[int]] = {}
        for episode in episodes:
            views = {camera: episode[camera] for camera in cameras}
            sizes = {camera: list(view.shape[1:3]) for camera, view in views.items()}
            for images in zip(*views.values(), strict=True):
                rows.append([writer.add(_jpeg(image)) for image in images])
        writer.close()
        if not rows:
            raise TaktError(f"{folder}: expected frames to keep, got none; record an episode first")
        np.save(draft / "index.npy", np.array(rows, np.int64))
        (draft / "cameras.json").write_text(json.dumps(sizes))
        draft.rename(folder)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> "FrameShards":
        """Map what `build` wrote.

        Raises:
            NotADatasetError: it is not there.
            CorruptFileError: a file is damaged or cut off.
        """
        if not (folder / "index.npy").is_file():
            raise NotADatasetError(folder, "expected frame shards, found none; build them first")
        try:
            index = np.load(folder / "index.npy")
            sizes = read_json(folder / "cameras.json")
            cameras = tuple(
                CameraSpec(name=name, view=name, height=int(height), width=int(width))
                for name, (height, width) in sizes.items()
            )
            paths = [_shard_path(folder, number) for number in range(int(index[..., 0].max()) + 1)]
            shards = tuple(np.memmap(path, np.uint8, mode="r") for path in paths)
        except (OSError, ValueError, TypeError) as error:
            raise CorruptFileError(
                folder, f"frame shards are damaged ({error}); remove it"
            ) from error
        for number, shard in enumerate(shards):
            own = index[index[..., 0] == number]
            if len(own) and (own[:, 1] + own[:, 2]).max() > len(shard):
                raise CorruptFileError(
                    _shard_path(folder, number), "frame shard is cut off; remove the folder"
                )
        return cls(folder=folder, cameras=cameras, index=index, shards=shards)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.index)

    def take(self, rows: np.ndarray) -> Mapping[str, np.ndarray]:
        """The frames `rows` (B,) by camera, (B, height, width, 3) uint8 RGB."""
        images: dict[str, np.ndarray] = {}
        for position, camera in enumerate(self.cameras):
            frames = np.empty((len(rows), camera.height, camera.width, 3), np.uint8)
            for place, (shard, start, count) in enumerate(self.index[rows, position].tolist()):
                try:
                    frames[place] = decode_image(
                        self.shards[shard][start : start + count].tobytes()
                    )
                except ValueError as error:
                    raise CorruptFileError(
                        _shard_path(self.folder, shard),
                        f"frame {rows[place]}, camera {camera.name!r}: {error}; remove the folder",
                    ) from error
            images[camera.name] = frames
        return images


class _ShardWriter:
    """Appends files to shards of about `limit` bytes."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._number, self._position = 0, 0
        self._file = _shard_path(folder, 0).open("wb")

    def add(self, content: bytes) -> tuple[int, int, int]:
        """Shard, first byte and number of bytes."""
        if self._position and self._position + len(content) > self._limit:
            self.close()
            self._number, self._position = self._number + 1, 0
            self._file = _shard_path(self._folder, self._number).open("wb")
        self._file.write(content)
        self._position += len(content)
        return self._number, self._position - len(content), len(content)

    def close(self) -> None:
        self._file.close()


def _shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.bin"


def _jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
