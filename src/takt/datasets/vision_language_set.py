"""Vision-language sets on disk: rows of JSON, JSONL and parquet files as conversations, lazily."""

import bisect
import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from takt.datasets.errors import CorruptFileError, NotADatasetError
from takt.datasets.vision_language_row import Row, parse_row
from takt.types import Conversation

SUFFIXES = (".parquet", ".jsonl", ".json")
"""Of the files that are read; of a folder, those with the first of these that occurs."""

MAX_ROW_GROUP_BYTES = 1 << 30  # parquet is read by row group
_KEPT_GROUPS = 4
_MOST_DRAWS = 1000


class RowError(CorruptFileError):
    """A row of a vision-language set is damaged."""

    def __init__(self, path: Path, row: int, message: str) -> None:
        """Name the file and the row, counted from 0, in front of the message."""
        super().__init__(path, f"row {row}: {message}")
        self.row = row


class _File(Protocol):
    """One file's rows as they are stored; ValueError where one cannot be read."""

    path: Path

    def __len__(self) -> int: ...

    def raw(self, row: int) -> object: ...


class VisionLanguageSet:
    """Conversations by position, over several files; nothing but a row is read at a time.

    A JSON file, which is one array, is the exception: it is held in memory without its images.
    """

    def __init__(
        self, files: Sequence[_File], *, skip_bad: bool = False, reserved: Sequence[str] = ()
    ) -> None:
        """See `open`."""
        self._files = tuple(files)
        self._ends = list(accumulate(len(file) for file in files))
        self._skip_bad, self._reserved = skip_bad, tuple(reserved)
        self.skipped: set[int] = set()
        """Damaged rows that `draw` came upon."""

    @classmethod
    def open(
        cls, paths: Sequence[Path], *, skip_bad: bool = False, reserved: Sequence[str] = ()
    ) -> "VisionLanguageSet":
        """Find the rows of files, and of the files in folders.

        Args:
            paths: Files, or folders with files of one format.
            skip_bad: `draw` draws another row where one is damaged.
            reserved: What no text may hold, such as a tokenizer's special tokens.

        Raises:
            NotADatasetError: there is no such file, or it has no rows.
            CorruptFileError: a file is no JSON or parquet.
        """
        files = [_open(file) for path in paths for file in set_files(path)]
        if not sum(map(len, files)):
            named = ", ".join(map(str, paths))
            raise NotADatasetError(Path(named), "expected rows of conversations, got none")
        return cls(files, skip_bad=skip_bad, reserved=reserved)

    def __len__(self) -> int:
        """Number of rows, damaged ones among them."""
        return self._ends[-1]

    def __getitem__(self, index: int) -> Conversation:
        """The conversation in row `index`, counted over all files; RowError if it is damaged."""
        file, row = self._locate(index)
        try:
            return self._row(file, row).conversation()
        except ValueError as error:
            raise RowError(file.path, row, str(error)) from error

    def row(self, index: int) -> Row:
        """Row `index` as it is stored, its images not decoded; RowError if it is damaged."""
        file, row = self._locate(index)
        try:
            return self._row(file, row)
        except ValueError as error:
            raise RowError(file.path, row, str(error)) from error

    def draw(self, rng: np.random.Generator) -> Conversation:
        """Any row with the same chance; damaged ones raise, or are drawn again and noted."""
        for _ in range(_MOST_DRAWS):
            index = int(rng.integers(len(self)))
            try:
                return self[index]
            except RowError:
                if not self._skip_bad:
                    raise
                self.skipped.add(index)
        raise NotADatasetError(
            self._files[0].path, f"{_MOST_DRAWS} rows in a row are damaged; mend the set"
        )

    def _locate(self, index: int) -> tuple[_File, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"expected a row in [0, {len(self)}), got {index}")
        number = bisect.bisect_right(self._ends, index)
        file = self._files[number]
        return file, index - self._ends[number] + len(file)

    def _row(self, file: _File, row: int) -> Row:
        found = parse_row(file.raw(row), file.path.parent)
        for turn in found.turns:
            for token in self._reserved:
                if token in turn.question or token in turn.answer:
                    raise ValueError(f"expected words without the special token {token!r}")
        return found


def set_files(path: Path) -> list[Path]:
    """The files that `path` names: itself, or the sorted ones of a folder.

    Raises:
        NotADatasetError: there are none.
    """
    if path.is_file() and path.suffix in SUFFIXES:
        return [path]
    for suffix in SUFFIXES:
        if found := sorted(path.glob(f"*{suffix}")):
            return found
    raise NotADatasetError(
        path, f"expected a file or a folder of files that end in {', '.join(SUFFIXES)}"
    )


def _open(path: Path) -> _File:
    match path.suffix:
        case ".parquet":
            return _Parquet(path)
        case ".jsonl":
            return _JsonLines(path)
    return _JsonArray(path)


class _JsonArray:
    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._rows = json.loads(path.read_bytes())
        except ValueError as error:
            raise CorruptFileError(path, f"not readable as JSON ({error})") from error
        if not isinstance(self._rows, list):
            raise CorruptFileError(path, "expected a JSON array of rows; one a line is .jsonl")

    def __len__(self) -> int:
        return len(self._rows)

    def raw(self, row: int) -> object:
        return self._rows[row]


class _JsonLines:
    def __init__(self, path: Path) -> None:
        self.path = path
        starts, position = [], 0
        with path.open("rb") as file:
            for line in file:
                if line.strip():
                    starts.append((position, len(line)))
                position += len(line)
        self._spans = np.array(starts, np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self._spans)

    def raw(self, row: int) -> object:
        start, size = self._spans[row].tolist()
        with self.path.open("rb") as file:
            file.seek(start)
            line = file.read(size)
        try:
            return json.loads(line)
        except ValueError as error:
            raise ValueError(f"not readable as JSON ({error})") from error


class _Parquet:
    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._metadata = pq.read_metadata(path)
        except (pa.ArrowException, OSError) as error:
            raise CorruptFileError(path, f"not readable as parquet ({error})") from error
        groups = [self._metadata.row_group(k) for k in range(self._metadata.num_row_groups)]
        self._ends = list(accumulate(group.num_rows for group in groups))
        self._bytes = [group.total_byte_size for group in groups]

    def __len__(self) -> int:
        return self._metadata.num_rows

    def raw(self, row: int) -> object:
        number = bisect.bisect_right(self._ends, row)
        if self._bytes[number] > MAX_ROW_GROUP_BYTES:
            raise ValueError(
                f"expected row groups of at most {MAX_ROW_GROUP_BYTES} bytes, got "
                f"{self._bytes[number]}; write the file with fewer rows a group"
            )
        first = self._ends[number] - self._metadata.row_group(number).num_rows
        return (
            _group(self.path, self.path.stat().st_mtime_ns, number)
            .slice(row - first, 1)
            .to_pylist()[0]
        )


@lru_cache(maxsize=_KEPT_GROUPS)
def _group(path: Path, stamp: int, number: int) -> pa.Table:
    """`stamp` tells a file that was written anew from the one before."""
    try:
        with pq.ParquetFile(path) as file:
            return file.read_row_group(number, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"not readable as parquet ({error})") from error
