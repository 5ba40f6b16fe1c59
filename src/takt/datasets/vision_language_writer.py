"""Writes the rows of a vision-language set so that a file is complete or not there.

A long set is written as several files in a folder, each on its own: what is there is done, and a
run that was killed goes on with the others.
"""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq

from takt.datasets.atomic import write_atomically
from takt.datasets.errors import CorruptFileError
from takt.datasets.vision_language_row import IMAGE_TAG, Row, image_content
from takt.types import TaktError

QUALITY = 95
_ROWS_A_GROUP = 16  # a random row costs the reading of its group
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("task", pa.string()),
        ("images", pa.list_(_IMAGE)),
        ("conversations", pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))),
    ]
)


def encode_image(image: np.ndarray) -> bytes:
    """A JPEG file of (height, width, 3) uint8 RGB."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def write_rows(path: Path, rows: Sequence[Row], notes: Mapping[str, str] | None = None) -> None:
    """Write `rows` to `path` in the format that its suffix names.

    Parquet holds the image files; beside JSONL they are put into the folder STEM.images first.
    `notes` are kept in a parquet file's metadata (`read_notes`).

    Raises:
        TaktError: another suffix, or notes for a file that has no place for them.
        ValueError: an image is missing, no regular file, or too long.
    """
    match path.suffix:
        case ".parquet":
            records = [_record(row, _struct) for row in rows]
            schema = _SCHEMA.with_metadata(notes)
            buffer = io.BytesIO()
            table = pa.Table.from_pylist(records, schema=schema)
            pq.write_table(table, buffer, row_group_size=_ROWS_A_GROUP)
            write_atomically(path, buffer.getvalue())
        case ".jsonl" if not notes:
            files = _Files(path.with_suffix(".images"))
            records = [_record(row, files.keep) for row in rows]
            text = "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records)
            write_atomically(path, text.encode())
        case _:
            raise TaktError(f"expected a .parquet or .jsonl file to write, got {path}")


def read_notes(path: Path) -> dict[str, str]:
    """The notes of a parquet file.

    Raises:
        CorruptFileError: it is damaged.
    """
    try:
        stored = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise CorruptFileError(path, f"not readable as parquet ({error}); remove it") from error
    return {key.decode(): value.decode() for key, value in stored.items()}


class _Files:
    """Puts image files into a folder and gives their paths from beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0

    def keep(self, content: bytes) -> str:
        suffix = ".jpg" if content.startswith(b"\xff\xd8") else ".png"
        file = self._folder / f"{self._count:08d}{suffix}"
        self._count += 1
        write_atomically(file, content)
        return f"{self._folder.name}/{file.name}"


def _struct(content: bytes) -> object:
    return {"bytes": content, "path": None}


def _record(row: Row, keep: Callable[[bytes], object]) -> dict[str, object]:
    files = [image_content(image) for image in row.images]
    said: list[dict[str, str]] = []
    for number, turn in enumerate(row.turns):
        tags = f"{IMAGE_TAG}\n" * len(files) if number == 0 else ""
        said.append({"from": "human", "value": tags + turn.question})
        said.append({"from": "gpt", "value": turn.answer})
    return {
        "id": row.id,
        "task": row.task,
        "images": [keep(file) for file in files],
        "conversations": said,
    }
