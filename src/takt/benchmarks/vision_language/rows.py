"""Rows of a benchmark on disk: parquet as Hugging Face's datasets are, TSV as VLMEvalKit's are.

The TSV's facts are those of VLMEvalKit, vlmeval/dataset/image_base.py: images are base64 text,
several of them a list; a cell of at most 64 characters names the row whose image is meant.
"""

import ast
import base64
import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from takt.benchmarks.vision_language.question import RowError
from takt.datasets.errors import CorruptFileError, MissingDataError

REFERENCE_CHARACTERS = 64
MISSING = (None, "", "nan")
_BATCH_ROWS = 16  # of parquet, held at once: images are in them


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row; `key` is its number over all files, counted from 1, `where` its file and number."""

    key: str
    where: str
    cells: Mapping[str, object]
    problem: str = ""

    def error(self, message: str) -> RowError:
        """An error that names this row."""
        return RowError(self.where, message)

    def _cell(self, name: str) -> object:
        if self.problem:
            raise self.error(self.problem)
        value = self.cells.get(name)
        return None if isinstance(value, str | None) and value in MISSING else value

    def maybe(self, name: str) -> str:
        """The text in a column, "" where there is none."""
        value = self._cell(name)
        return "" if value is None else str(value)

    def text(self, name: str) -> str:
        """The text in a column that must hold one."""
        value = self.maybe(name)
        if not value.strip():
            known = ", ".join(self.cells)
            raise self.error(f"expected text in the column {name!r}, got none; columns: {known}")
        return value

    def number(self, name: str) -> int:
        """The whole number in a column."""
        value = self.text(name)
        try:
            return int(value)
        except ValueError as error:
            raise self.error(f"{name}: expected a whole number, got {value!r}") from error

    def texts(self, name: str) -> tuple[str, ...]:
        """The list in a column, written as one or as Python's text of one; of one text, just it.

        For columns that are lists only: a label may well be "[2014, 2016]".
        """
        value = self._cell(name)
        if isinstance(value, str) and value.startswith("["):
            try:
                value = ast.literal_eval(value)
            except (ValueError, SyntaxError) as error:
                raise self.error(f"{name}: expected a list, got {value[:60]!r}") from error
        if not isinstance(value, list):
            return (self.text(name),)
        if not value:
            raise self.error(f"{name}: expected a list, got an empty one")
        return tuple(map(str, value))

    def images(self, *names: str) -> tuple[bytes, ...]:
        """The encoded images of columns that hold one, or a list of them."""
        found: list[bytes] = []
        for name in names:
            value = self._cell(name)
            if isinstance(value, str) and value.startswith("["):
                value = value.strip("[]").replace("'", "").replace('"', "").split(",")
            for part in value if isinstance(value, list) else [value]:
                found.append(self._image(name, part))
        return tuple(found)

    def _image(self, name: str, value: object) -> bytes:
        match value:
            case {"bytes": bytes(encoded)} | bytes(encoded) if encoded:
                return encoded
            case str():
                try:
                    return base64.b64decode(value.strip(), validate=True)
                except ValueError as error:
                    raise self.error(f"{name}: not readable as base64 ({error})") from error
        raise self.error(f"expected an image in the column {name!r}, got none")


@dataclass(frozen=True, slots=True)
class Table:
    """Benchmark data: files of one kind, and how many rows they have together."""

    paths: tuple[Path, ...]
    count: int

    @property
    def is_tsv(self) -> bool:
        """Of VLMEvalKit, else parquet."""
        return self.paths[0].suffix == ".tsv"

    def rows(self) -> Iterator[Row]:
        """Every row, in order.

        Raises:
            CorruptFileError: a file cannot be read any further.
        """
        before = 0
        for path in self.paths:
            number = 0
            for number, (cells, problem) in enumerate((_tsv if self.is_tsv else _parquet)(path), 1):
                yield Row(
                    key=str(before + number),
                    where=f"{path}, row {number}",
                    cells=cells,
                    problem=problem,
                )
            before += number

    def digest(self) -> str:
        """Short SHA-256 over the files' bytes: the same wherever they lie."""
        digest = hashlib.sha256()
        for path in self.paths:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()[:16]


def open_table(data: Path) -> Table:
    """Find the rows: a .parquet or .tsv file, or a folder of parquet files.

    Raises:
        MissingDataError: there are none.
        CorruptFileError: a file is damaged.
    """
    if not data.exists():
        raise MissingDataError(data, "there is no such file or folder; see --data")
    paths = tuple(sorted(data.glob("*.parquet"))) if data.is_dir() else (data,)
    if not paths or not paths[0].is_file() or paths[0].suffix not in (".parquet", ".tsv"):
        raise MissingDataError(
            data, "expected a .parquet or .tsv file, or a folder of .parquet files; see --data"
        )
    if paths[0].suffix == ".tsv":
        return Table(paths, sum(1 for _ in _records(paths[0])) - 1)
    return Table(paths, sum(_open_parquet(path).metadata.num_rows for path in paths))


def _open_parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise CorruptFileError(path, f"not readable as parquet ({error}); copy it again") from error


def _parquet(path: Path) -> Iterator[tuple[Mapping[str, object], str]]:
    try:
        for batch in _open_parquet(path).iter_batches(_BATCH_ROWS, use_threads=False):
            for cells in batch.to_pylist():
                yield cells, ""
    except (pa.ArrowException, OSError) as error:
        raise CorruptFileError(path, f"damaged ({error}); copy it again") from error


def _tsv(path: Path) -> Iterator[tuple[Mapping[str, object], str]]:
    lent = _lent_images(path)
    records = _records(path)
    names = next(records, [])
    for record in records:
        if len(record) != len(names):
            yield {}, f"expected {len(names)} cells, got {len(record)}"
            continue
        cells = dict(zip(names, record, strict=True))
        reference = cells.get("image", "")
        yield {**cells, "image": lent.get(reference, reference)}, ""


def _lent_images(path: Path) -> dict[str, str]:
    """Images that other rows refer to, by the `index` of the row that has them."""
    names = next(_records(path), [])
    if not {"image", "index"} <= set(names):
        return {}
    image, index = names.index("image"), names.index("index")

    def whole() -> Iterator[list[str]]:
        return (record for record in _records(path) if len(record) == len(names))

    wanted = {record[image] for record in whole() if len(record[image]) <= REFERENCE_CHARACTERS}
    if not wanted - {"", "image"}:
        return {}
    return {
        record[index]: record[image]
        for record in whole()
        if record[index] in wanted and len(record[image]) > REFERENCE_CHARACTERS
    }


def _records(path: Path) -> Iterator[list[str]]:
    csv.field_size_limit(2**31 - 1)  # the default is shorter than an image
    try:
        with path.open(newline="", encoding="utf-8") as file:
            yield from csv.reader(file, delimiter="\t")
    except (csv.Error, UnicodeDecodeError) as error:
        raise CorruptFileError(path, f"not readable as TSV ({error}); copy it again") from error
