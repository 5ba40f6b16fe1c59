"""Answers on disk: a line of JSON each, written as they come, safe against any kill."""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO

from takt.benchmarks.vision_language.question import Answered
from takt.datasets.atomic import write_atomically
from takt.folder_lock import FolderLock
from takt.types import TaktError

RUN, ANSWERS, SUMMARY = "run.json", "answers.jsonl", "summary.json"


class AnswersError(TaktError):
    """A folder of answers that is damaged, of another run, or not finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What fixes every answer: `run.json`. The digests are of bytes, wherever the files lie."""

    benchmark: str
    policy: str
    checkpoint_digest: str
    data: str
    data_digest: str
    answer_tokens: int

    def differences(self, other: "Run") -> list[str]:
        """What makes answers of the two incomparable."""
        return [
            f"{name.removesuffix('_digest')}: {self._told(name)}, now {other._told(name)}"
            for name in ("benchmark", "checkpoint_digest", "data_digest", "answer_tokens")
            if getattr(self, name) != getattr(other, name)
        ]

    def _told(self, name: str) -> str:
        """A digest decides, and the path beside it says what it is of."""
        path = {"checkpoint_digest": self.policy, "data_digest": self.data}.get(name)
        return f"{path} ({getattr(self, name)})" if path else str(getattr(self, name))

    @classmethod
    def read(cls, folder: Path) -> "Run":
        """The run in `folder`.

        Raises:
            AnswersError: there is none, or its file is damaged.
        """
        path = folder / RUN
        try:
            raw = json.loads(path.read_text())
            return cls(**{field.name: raw[field.name] for field in fields(cls)})
        except FileNotFoundError as error:
            raise AnswersError(
                f"expected answers in {folder}, found no {RUN}; run `takt eval vl --out` first"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise AnswersError(
                f"{path}: damaged ({error!r}); move the folder away and run it again"
            ) from error


class AnswerStore:
    """The folder of one run, and the right to write to it until `close`.

    It is the run's from the first answer on: what ends before leaves it free for another.
    """

    def __init__(self, folder: Path, run: Run) -> None:
        """Open or begin `run`.

        Raises:
            AnswersError: the folder holds answers of another checkpoint, benchmark or data.
            FolderInUseError: another process is at work on it.
        """
        self.folder, self._run = folder, run
        self._file: IO[str] | None = None
        self._lock = FolderLock(folder)
        try:
            self.answers = self._known()
        except BaseException:
            self._lock.release()
            raise

    def _known(self) -> dict[str, Answered]:
        path = self.folder / ANSWERS
        if not path.exists() or b"\n" not in path.read_bytes():
            return {}
        if differing := Run.read(self.folder).differences(self._run):
            raise AnswersError(
                f"{self.folder} holds answers of another run ({'; '.join(differing)}); "
                "choose a new --out"
            )
        _cut_torn_line(path)
        return read_answers(self.folder)

    def add(self, answer: Answered) -> None:
        """Keep an answer; of two to the same question, the later one."""
        if self._file is None:
            self._file = self._begin()
        self._file.write(json.dumps(asdict(answer), ensure_ascii=False) + "\n")
        self._file.flush()
        self.answers[answer.key] = answer

    def _begin(self) -> IO[str]:
        if self.answers:
            return (self.folder / ANSWERS).open("a", encoding="utf-8")
        write_atomically(self.folder / RUN, json.dumps(asdict(self._run), indent=2).encode())
        return (self.folder / ANSWERS).open("w", encoding="utf-8")

    def close(self) -> None:
        """Let another process write."""
        if self._file is not None:
            self._file.close()
        self._lock.release()


def read_answers(folder: Path) -> dict[str, Answered]:
    """The last answer to each question in `folder`, by its key, in the order they first came.

    Raises:
        AnswersError: a line is damaged.
    """
    found: dict[str, Answered] = {}
    path = folder / ANSWERS
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                raw = {"rules": 1} | json.loads(line)
                values = {field.name: raw[field.name] for field in fields(Answered)}
                values["categories"] = tuple(values["categories"])
                found[values["key"]] = Answered(**values)
            except (ValueError, KeyError, TypeError) as error:
                raise AnswersError(
                    f"{path}, line {number}: expected an answer ({error!r}); "
                    "take the line out, and only that question is asked again"
                ) from error
    return found


def _cut_torn_line(path: Path) -> None:
    """Take away the last line if a kill left it without its end."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
