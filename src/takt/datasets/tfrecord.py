"""TFRecord files without TensorFlow: length, its checksum, payload, its checksum, and again."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from takt.datasets.crc32c import masked_crc32c
from takt.datasets.errors import CorruptFileError, MissingDataError

_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_HEADER = _LENGTH.size + _CRC.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Where a record's payload lies: `length` bytes from `offset` on."""

    path: Path
    offset: int
    length: int

    def read(self) -> bytes:
        """The payload.

        Raises:
            CorruptFileError: its checksum does not hold.
        """
        with self.path.open("rb") as file:
            file.seek(self.offset)
            payload, crc = file.read(self.length), file.read(_CRC.size)
        if len(crc) < _CRC.size or _CRC.unpack(crc)[0] != masked_crc32c(payload):
            raise CorruptFileError(
                self.path,
                f"the record at byte {self.offset} does not match its checksum; copy it again",
            )
        return payload


def records(path: Path) -> Iterator[Record]:
    """Every record of a file, found by its lengths alone.

    Raises:
        MissingDataError: there is no such file.
        CorruptFileError: a length is damaged, or the file ends within a record; all records before
            it have been given out.
    """
    if not path.is_file():
        raise MissingDataError(path, "expected a TFRecord file, found none; copy the dataset again")
    with path.open("rb") as file:
        size, position = os.fstat(file.fileno()).st_size, 0
        while position < size:
            file.seek(position)
            length = _length(file.read(_HEADER), path, position)
            end = position + _HEADER + length + _CRC.size
            if end > size:
                raise _truncated(path, position)
            yield Record(path=path, offset=position + _HEADER, length=length)
            position = end


def _length(header: bytes, path: Path, position: int) -> int:
    if len(header) < _HEADER:
        raise _truncated(path, position)
    number, crc = header[: _LENGTH.size], header[_LENGTH.size :]
    if _CRC.unpack(crc)[0] != masked_crc32c(number):
        raise CorruptFileError(
            path,
            f"the length of the record at byte {position} does not match its checksum, and what "
            "follows cannot be found; copy the file again",
        )
    return _LENGTH.unpack(number)[0]


def _truncated(path: Path, position: int) -> CorruptFileError:
    return CorruptFileError(
        path, f"ends within the record at byte {position}: truncated; copy it again"
    )
