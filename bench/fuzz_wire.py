"""Damaged and invented messages at the policy server and its client: no crash, hang or code run.

Every message is a seeded mutation of a good one, a good one with odd values in it, or noise. The
server's `Session` answers it and the client's decoders read it as a reply and as a greeting: the
answer must be a reply, the reading must end in a value or a `WireError`. An audit hook listens for
what only running code would do. Some hundred more go to a real server through raw sockets: before,
in and after the handshake, with a good robot beside them that must always be served.
"""

import contextlib
import faulthandler
import json
import random
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import command
from fuzz_messages import good_messages, mutate
from openpi_sides import FACTS, SPEC, EchoPolicy
from PIL import JpegImagePlugin, MpoImagePlugin, TiffImagePlugin
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

from takt.runtime.msgpack_arrays import unpack
from takt.runtime.server.policy_server import PolicyServer
from takt.runtime.server.replies import decode_facts, decode_reply
from takt.runtime.server.scheduler import OnePerRobot, Scheduler
from takt.runtime.server.session import Session
from takt.runtime.wire import WireError
from takt.types import TaktError

HANG_S = 20.0
RUNS_CODE = frozenset(
    ("exec", "compile", "marshal.loads", "pickle.find_class", "ctypes.dlopen", "subprocess.Popen")
    + ("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.remove", "os.rename")
)
PRELOADED = (
    JpegImagePlugin,
    MpoImagePlugin,
    TiffImagePlugin,
)  # Pillow imports them when it meets one
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
CHECK_EVERY = 20  # raw sockets between two requests of the good robot


class FuzzError(TaktError):
    """A message that did what none may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Send messages."""

    messages: int = 100_000
    """Through the server's handler and the client's decoders."""
    sockets: int = 300
    """Through raw sockets to a running server."""
    seed: int = 0
    """Of the mutations."""
    json: bool = False
    """Print one JSON object as the last line."""


class Watch:
    """Hears what only running code would do, while it is on."""

    def __init__(self) -> None:
        """The hook stays for the life of the process."""
        self.on = False
        self.heard: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.on and event in RUNS_CODE:
            self.heard.append(f"{event} {str(arguments)[:200]}")


def main(config: Config) -> int:
    """Fuzz, print what was sent and how it ended."""
    command.require_at_least(0, messages=config.messages, sockets=config.sockets)
    draw, good = random.Random(config.seed), good_messages()
    began = time.perf_counter()
    handled = fuzz_handler(draw, good, config.messages)
    middle = time.perf_counter()
    served = fuzz_sockets(draw, good, config.sockets)
    found = {
        "messages": config.messages,
        **handled,
        "seconds": middle - began,
        "sockets": config.sockets,
        "good_answers_beside": served,
        "socket_seconds": time.perf_counter() - middle,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(found))
    return 0


def fuzz_handler(draw: random.Random, good: list[bytes], messages: int) -> dict[str, float]:
    """How many were planned for, refused by name or read by the client; the slowest, in ms.

    Raises:
        FuzzError: Something else came of a message.
    """
    scheduler = Scheduler(OnePerRobot(factory=EchoPolicy))
    session = Session(scheduler.take_seat(), SPEC)
    watch, counts, slowest = Watch(), {"answered": 0, "refused": 0, "read_by_client": 0}, 0.0
    for data in good:  # what is imported late is imported now
        _handle(session, data, counts)
    counts = dict.fromkeys(counts, 0)
    for number in range(messages):
        data = mutate(draw, good)
        if number % 100 == 0:
            faulthandler.dump_traceback_later(HANG_S, exit=True)
        began = time.perf_counter()
        watch.on = True
        try:
            _handle(session, data, counts)
        except Exception as error:
            raise FuzzError(f"message {number} ({data.hex()}): {error!r}") from error
        finally:
            watch.on = False
        slowest = max(slowest, time.perf_counter() - began)
        if watch.heard:
            raise FuzzError(f"message {number} ({data.hex()}) ran code: {watch.heard[0]}")
    faulthandler.cancel_dump_traceback_later()
    scheduler.close(HANG_S)
    return {**counts, "slowest_ms": 1e3 * slowest}


def _handle(session: Session, data: bytes, counts: dict[str, int]) -> None:
    """As the server, and as the client would."""
    reply = session.answer(data)
    refused = isinstance(reply, str) or unpack(reply).get("takt", {}).get("kind") == "failed"
    counts["refused" if refused else "answered"] += 1
    readers: tuple[Callable[[bytes], object], ...] = (decode_reply, decode_facts)
    for read in readers:
        with contextlib.suppress(WireError):
            read(data)
            counts["read_by_client"] += 1


def fuzz_sockets(draw: random.Random, good: list[bytes], sockets: int) -> int:
    """How often a good robot was answered beside all that.

    Raises:
        FuzzError: It was not.
    """
    answered, died = 0, []
    threading.excepthook = died.append
    with PolicyServer(OnePerRobot(factory=EchoPolicy, robots=8), FACTS, SPEC) as server:
        uri = f"ws://127.0.0.1:{server.port}"
        faulthandler.dump_traceback_later(HANG_S + sockets, exit=True)
        with connect(uri, compression=None, proxy=None) as robot:
            robot.recv()
            for number in range(sockets):
                _molest(server.port, draw, good)
                if number % CHECK_EVERY == 0:
                    robot.send(good[0])
                    reply = robot.recv(timeout=HANG_S)
                    if isinstance(reply, str) or "actions" not in unpack(bytes(reply)):
                        raise FuzzError(f"after {number} sockets a good request got {reply!r:.200}")
                    answered += 1
    faulthandler.cancel_dump_traceback_later()
    threading.excepthook = threading.__excepthook__
    if died:
        raise FuzzError(f"{len(died)} threads of the server died, one of {died[0].exc_value!r}")
    return answered


def _molest(port: int, draw: random.Random, good: list[bytes]) -> None:
    """One connection: a damaged handshake, or a good one and damaged frames."""
    stream = bytearray(HANDSHAKE)
    if draw.random() < 0.3:
        stream = bytearray(mutate(draw, [HANDSHAKE]))
    for _ in range(draw.randrange(4)):
        opcode = draw.choice((Opcode.BINARY, Opcode.TEXT, Opcode.PING, Opcode.CONT, Opcode.CLOSE))
        frame = Frame(opcode, mutate(draw, good)[:120], fin=draw.random() < 0.8 or opcode >= 8)
        stream += frame.serialize(mask=True)
    if draw.random() < 0.5:
        at = draw.randrange(len(stream))
        stream[at:] = mutate(draw, [bytes(stream[at:])])
    patient = draw.random() < 0.5
    peer = socket.create_connection(("127.0.0.1", port), timeout=HANG_S)
    with peer, contextlib.suppress(ConnectionError):  # the server may hang up at any time
        peer.sendall(stream)
        if patient:
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(1 << 16):
                pass


if __name__ == "__main__":
    sys.exit(command.run(main, Config))
