"""Rows of JSON, JSONL and parquet files, one at a time by number.

Files are opened for each row, and only what is needed of them is kept, so that a set can be forked
and sent to other processes.
"""

import bisect
import json
from array import array
from collections import OrderedDict
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from takt.datasets.errors import CorruptFileError, NotADatasetError

SUFFIXES = (".parquet", ".jsonl", ".json")
"""Of the files that are read; of a folder, those with the first of these that occurs."""

MAX_ROW_GROUP_BYTES = 1 << 30  # parquet is read by row group
KEPT_BYTES = 256 << 20  # of row groups read before, in each process


class RowFile(Protocol):
    """One file's rows as they are stored; ValueError or OSError where one cannot be read."""

    path: Path

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def raw(self, row: int) -> object:
        """What JSON or parquet hold."""
        ...


def set_files(path: Path) -> list[Path]:
    """The files that `path` names: itself, or the sorted ones of a folder.

    Raises:
        NotADatasetError: there are none.
    """
    if not path.exists():
        raise NotADatasetError(path, "there is no such file or folder")
    if path.is_file() and path.suffix in SUFFIXES:
        return [path]
    for suffix in SUFFIXES:
        if found := sorted(path.glob(f"*{suffix}")):
            return found
    raise NotADatasetError(
        path, f"expected a file or a folder of files that end in {', '.join(SUFFIXES)}"
    )


def open_file(path: Path) -> RowFile:
    """Find the rows of a file.

    Raises:
        CorruptFileError: it is no JSON or parquet, or cannot be read.
    """
    try:
        match path.suffix:
            case ".parquet":
                return _Parquet(path)
            case ".jsonl":
                return _JsonLines(path)
        return _JsonArray(path)
    except (OSError, ValueError, RecursionError, pa.ArrowException) as error:
        raise CorruptFileError(path, f"not readable as {path.suffix[1:]} ({error})") from error


class _JsonArray:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows = json.loads(path.read_bytes())
        if not isinstance(self._rows, list):
            raise CorruptFileError(path, "expected a JSON array of rows; one a line is .jsonl")

    def __len__(self) -> int:
        return len(self._rows)

    def raw(self, row: int) -> object:
        return self._rows[row]


class _JsonLines:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._starts, self._sizes = array("q"), array("q")
        position = 0
        with path.open("rb") as file:
            for line in file:
                if line.strip():
                    self._starts.append(position)
                    self._sizes.append(len(line))
                position += len(line)

    def __len__(self) -> int:
        return len(self._starts)

    def raw(self, row: int) -> object:
        with self.path.open("rb") as file:
            file.seek(self._starts[row])
            line = file.read(self._sizes[row])
        try:
            return json.loads(line)
        except ValueError as error:
            raise ValueError(f"not readable as JSON ({error})") from error


class _Parquet:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp = _stamp(path)
        self._metadata = pq.read_metadata(path)
        groups = [self._metadata.row_group(k) for k in range(self._metadata.num_row_groups)]
        self._ends = array("q", accumulate(group.num_rows for group in groups))
        self._bytes = array("q", (group.total_byte_size for group in groups))

    def __len__(self) -> int:
        return self._metadata.num_rows

    def raw(self, row: int) -> object:
        number = bisect.bisect_right(self._ends, row)
        if self._bytes[number] > MAX_ROW_GROUP_BYTES:
            raise ValueError(
                f"expected row groups of at most {MAX_ROW_GROUP_BYTES} bytes, got "
                f"{self._bytes[number]}; write the file with fewer rows a group"
            )
        first = self._ends[number - 1] if number else 0
        return self._group(number).slice(row - first, 1).to_pylist()[0]

    def _group(self, number: int) -> pa.Table:
        """The metadata read once is handed on: a footer can take longer than its rows."""
        if _stamp(self.path) != self._stamp:
            raise ValueError("the file has changed since it was opened; begin again")
        key = (self.path, self._stamp, number)
        if (kept := _RECENT.find(key)) is not None:
            return kept
        try:
            with pq.ParquetFile(self.path, metadata=self._metadata) as file:
                table = file.read_row_group(number, use_threads=False)
        except pa.ArrowException as error:
            raise ValueError(f"not readable as parquet ({error})") from error
        _RECENT.keep(key, table)
        return table


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


_Key = tuple[Path, tuple[int, int], int]


class _Recent:
    """The row groups used last, of at most KEPT_BYTES in all; for one thread of each process."""

    def __init__(self) -> None:
        self._tables: OrderedDict[_Key, pa.Table] = OrderedDict()
        self._bytes = 0

    def find(self, key: _Key) -> pa.Table | None:
        if key not in self._tables:
            return None
        self._tables.move_to_end(key)
        return self._tables[key]

    def keep(self, key: _Key, table: pa.Table) -> None:
        if table.nbytes > KEPT_BYTES:
            return
        self._tables[key] = table
        self._bytes += table.nbytes
        while self._bytes > KEPT_BYTES:
            _, oldest = self._tables.popitem(last=False)
            self._bytes -= oldest.nbytes


_RECENT = _Recent()
