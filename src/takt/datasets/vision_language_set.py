"""Vision-language sets on disk: rows of JSON, JSONL and parquet files as conversations, lazily."""

import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from takt.datasets.errors import CorruptFileError, DatasetError, NotADatasetError
from takt.datasets.vision_language_files import RowFile, open_file, set_files
from takt.datasets.vision_language_row import Row, parse_row
from takt.types import Conversation, TaktError

Require = Callable[[Conversation], None]
"""Raises a TaktError where a conversation cannot be learnt, whatever its file is like."""

_MOST_DRAWS = 1000


class RowError(CorruptFileError):
    """A row of a vision-language set is damaged."""

    def __init__(self, path: Path, row: int, message: str) -> None:
        """Name the file and the row, counted from 1, in front of the message."""
        super().__init__(path, f"row {row}: {message}")
        self.row = row


class BadRowError(DatasetError):
    """A drawn row is damaged, and such rows are not to be skipped."""

    def __init__(self, error: RowError) -> None:
        """Say what is wrong and how to go on."""
        advice = "mend it, or run again with --skip-bad to leave such rows out"
        super().__init__(error.path, f"{error.reason}; {advice}")


class VisionLanguageSet:
    """Conversations by position, over several files; nothing but a row is read at a time.

    A JSON file, which is one array, is the exception: it is held in memory without its images.
    """

    def __init__(
        self,
        files: Sequence[RowFile],
        *,
        skip_bad: bool = False,
        reserved: Sequence[str] = (),
        require: Require | None = None,
    ) -> None:
        """See `open`."""
        self._files = tuple(files)
        self._ends = list(accumulate(len(file) for file in files))
        self._skip_bad, self._reserved, self._require = skip_bad, tuple(reserved), require
        self.skipped: dict[int, str] = {}
        """Damaged rows that `draw` came upon, counted from 0 over all files, and what is wrong."""

    @classmethod
    def open(
        cls,
        paths: Sequence[Path],
        *,
        skip_bad: bool = False,
        reserved: Sequence[str] = (),
        require: Require | None = None,
    ) -> "VisionLanguageSet":
        """Find the rows of files, and of the files in folders.

        Args:
            paths: Files, or folders with files of one format.
            skip_bad: `draw` draws another row where one is damaged.
            reserved: What no text may hold, such as a tokenizer's special tokens.
            require: Of every conversation; one that it refuses counts as damaged.

        Raises:
            NotADatasetError: there is no such file, or it has no rows.
            CorruptFileError: a file is no JSON or parquet.
        """
        files = [open_file(file) for path in paths for file in set_files(path)]
        if not sum(map(len, files)):
            named = ", ".join(map(str, paths))
            raise NotADatasetError(Path(named), "expected rows of conversations, got none")
        return cls(files, skip_bad=skip_bad, reserved=reserved, require=require)

    def __len__(self) -> int:
        """Number of rows, damaged ones among them."""
        return self._ends[-1]

    def __getitem__(self, index: int) -> Conversation:
        """The conversation in row `index`, counted over all files; RowError if it is damaged."""
        row = self.row(index)
        try:
            conversation = row.conversation()
            if self._require is not None:
                self._require(conversation)
            return conversation
        except (ValueError, TaktError) as error:
            file, number = self._locate(index)
            raise RowError(file.path, number + 1, str(error)) from error

    def row(self, index: int) -> Row:
        """Row `index` as it is stored, its images not decoded; RowError if it is damaged."""
        file, number = self._locate(index)
        try:
            return self._row(file, number)
        except (ValueError, OSError, RecursionError) as error:
            raise RowError(file.path, number + 1, str(error)) from error

    def left_out(self) -> str:
        """How many damaged rows `draw` came upon, and the first of them; "" for none."""
        if not self.skipped:
            return ""
        first = next(iter(self.skipped.values()))
        return f"{len(self.skipped)} damaged rows were drawn and left out; the first: {first}"

    def draw(self, rng: np.random.Generator) -> Conversation:
        """Any row with the same chance.

        Where a row is damaged another one is drawn, and it is noted, if such rows are skipped.

        Raises:
            BadRowError: a row is damaged and not to be skipped.
            NotADatasetError: there are hardly any others.
        """
        for _ in range(_MOST_DRAWS):
            index = int(rng.integers(len(self)))
            try:
                return self[index]
            except RowError as error:
                if not self._skip_bad:
                    raise BadRowError(error) from error
                self.skipped.setdefault(index, str(error))
        raise NotADatasetError(
            self._files[0].path, f"{_MOST_DRAWS} rows in a row are damaged; mend the set"
        )

    def _locate(self, index: int) -> tuple[RowFile, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"expected a row in [0, {len(self)}), got {index}")
        number = bisect.bisect_right(self._ends, index)
        file = self._files[number]
        return file, index - self._ends[number] + len(file)

    def _row(self, file: RowFile, row: int) -> Row:
        found = parse_row(file.raw(row), file.path.parent)
        for turn in found.turns:
            for token in self._reserved:
                if token in turn.question or token in turn.answer:
                    raise ValueError(f"expected words without the special token {token!r}")
        return found
