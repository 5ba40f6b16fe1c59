"""Messages between the runner and its simulators: msgpack behind its length, over two pipes."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

from takt.benchmarks.player import Expert, Hold
from takt.benchmarks.suites.players import Player, Random, Replay, Served
from takt.benchmarks.suites.suite import Played, Trial
from takt.runtime.wire import Codec

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hired:
    """The first message to a simulator: what it plays, and who."""

    suite: str
    options: Mapping[str, Any]
    player: Player


@dataclass(frozen=True, slots=True)
class Ready:
    """The answer to it: what determines the result, by name."""

    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Refused:
    """Nobody need try again before a user has mended it; `text` says what."""

    text: str


@dataclass(frozen=True, slots=True)
class Working:
    """A trial goes on: whoever says so now and then does not hang, however long it takes."""


@dataclass(frozen=True, slots=True)
class Crashed:
    """The simulator failed in this trial; the process must not be used again."""

    text: str


Message = Hired | Ready | Refused | Working | Crashed | Trial | Played
_CODEC = Codec(
    *(Hired, Ready, Refused, Working, Crashed, Trial, Played),
    *(Expert, Hold, Random, Replay, Served),
)


def send(file: IO[bytes], message: Message) -> None:
    """Write one message."""
    data = _CODEC.encode(message)
    file.write(_LENGTH.pack(len(data)) + data)
    file.flush()


def receive(file: IO[bytes]) -> Message:
    """Read one message.

    Raises:
        EOFError: the other side is gone.
    """
    head = file.read(_LENGTH.size)
    if len(head) == _LENGTH.size:
        data = file.read(_LENGTH.unpack(head)[0])
        if len(data) == _LENGTH.unpack(head)[0]:
            return _CODEC.decode(data)
    raise EOFError("the other side of the pipe is gone")
