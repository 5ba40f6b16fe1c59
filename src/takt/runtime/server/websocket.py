"""The server's side of one websocket, on a blocking socket that one thread owns.

Handshake and frames are those of the library `websockets`, without its event loop: a camera's
image is received into one buffer that is used again, and the thread that received it answers.
"""

import contextlib
import socket
from collections import deque
from collections.abc import Callable, Generator
from http import HTTPStatus

import numpy as np
from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from takt.runtime.server.peer import ClosedError, ServerPeer

PINGS = 2  # without any answer, and the client is gone
MAX_EARLY = 4  # messages sent before the reply to the last one
MAX_PIECES = 4096  # of a message
LARGE, LARGE_HEADER = b"\x82\xff", 14  # a whole binary message, masked, of a 64-bit length
LARGE_BYTES = 1 << 16

Refusal = tuple[HTTPStatus, str]


class ServerWebSocket:
    """Receives whole messages and sends them; answers pings while it does."""

    def __init__(self, peer: socket.socket, max_bytes: int) -> None:
        """`peer` is accepted, and over TLS already if that is wanted."""
        self._peer, self._max_bytes = ServerPeer(peer), max_bytes
        self._payload = bytearray()
        self._early: deque[bytes | str] = deque()
        self._closing = False

    def shake_hands(self, refuse: Callable[[Request], Refusal | None]) -> None:
        """Upgrade from HTTP, unless `refuse` gives a status and a text to answer with.

        Raises:
            ClosedError: It was refused, or was no handshake.
        """
        protocol = ServerProtocol()
        protocol.receive_data(self._peer.header())
        events = protocol.events_received()
        if not events or not isinstance(request := events[0], Request):
            self._peer.hang_up()
            raise ClosedError("expected a websocket handshake, got something else")
        refusal = refuse(request)
        response = protocol.accept(request) if refusal is None else protocol.reject(*refusal)
        protocol.send_response(response)
        self._peer.send(b"".join(protocol.data_to_send()))
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self._peer.hang_up()
            raise ClosedError(f"answered {response.status_code} to the handshake")

    def receive(self) -> bytes | memoryview | str:
        """The next message, valid until the next call; waits for it.

        Raises:
            ClosedError: The client went, broke the protocol or fell silent.
        """
        if self._early:
            return self._early.popleft()
        self._await_data()
        return self._large_message() or self._message()

    def answer_pings(self) -> None:
        """Take what came meanwhile: pings are answered, messages kept for `receive`.

        Raises:
            ClosedError: As `receive`.
        """
        while len(self._early) < MAX_EARLY and self._peer.has_data():
            frame = self._frame(self._max_bytes)
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
                self._early.append(self._message(frame))

    def send(self, message: bytes | str) -> None:
        """Send a message.

        Raises:
            ClosedError: The client went, or does not read.
        """
        if isinstance(message, str):
            self._send_frame(Opcode.TEXT, message.encode())
        else:
            self._send_frame(Opcode.BINARY, message)

    def close(self, code: CloseCode, reason: str) -> None:
        """Say goodbye and end the connection; never raises."""
        if not self._closing:
            self._closing = True
            with contextlib.suppress(ClosedError):
                self._send_frame(Opcode.CLOSE, Close(code, reason[:100]).serialize())
        self._peer.hang_up()

    def stop_receiving(self) -> None:
        """From another thread: the owner's `receive` raises, and it can still say goodbye."""
        self._peer.stop_receiving()

    def _large_message(self) -> memoryview | None:
        """A binary message of 64 KiB or more in one frame, if that is what comes.

        It is unmasked where it was received: large memory that is used only once costs more than
        all the rest of an answer.
        """
        head = self._peer.ahead
        if len(head) < LARGE_HEADER or head[:2] != LARGE:
            return None
        size = int.from_bytes(head[2:10], "big")
        have = len(head) - LARGE_HEADER
        if not max(LARGE_BYTES, have) <= size <= self._max_bytes:
            return None  # what is wrong with it is said where all frames are read
        if len(self._payload) < size:
            self._payload = bytearray(size + -size % 8)
        place = memoryview(self._payload)[:size]
        place[:have] = head[LARGE_HEADER:]
        mask = np.frombuffer(head[10:14] * 2, np.uint64)
        head.clear()
        self._peer.read_into(place[have:])
        words = np.frombuffer(self._payload, np.uint64, count=-(-size // 8))
        np.bitwise_xor(words, mask, out=words)
        return place

    def _message(self, frame: Frame | None = None) -> bytes | str:
        """A message of one frame or more; control frames in between are answered."""
        parts: list[bytes] = []
        text, size = False, 0
        while True:
            if frame is None:
                if not parts:
                    self._await_data()
                frame = self._frame(self._max_bytes - size)
            match frame.opcode:
                case Opcode.TEXT | Opcode.BINARY if not parts:
                    text = frame.opcode == Opcode.TEXT
                case Opcode.CONT if parts:
                    pass
                case Opcode.PING | Opcode.PONG:
                    frame = None
                    continue
                case _:
                    raise self._broken(CloseCode.PROTOCOL_ERROR, "frames out of order")
            parts.append(bytes(frame.data))
            size += len(frame.data)
            if len(parts) > MAX_PIECES:
                raise self._broken(CloseCode.POLICY_VIOLATION, "a message in too many pieces")
            if frame.fin:
                break
            frame = None
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        if not text:
            return data
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self._broken(CloseCode.INVALID_DATA, "text that is not UTF-8") from error

    def _frame(self, max_bytes: int) -> Frame:
        """The next frame, control frames already answered."""
        try:
            frame = _run(Frame.parse(self._exactly, mask=True, max_size=max_bytes))
        except PayloadTooBig as error:
            limit = f"a message of at most {self._max_bytes} bytes is taken"
            raise self._broken(CloseCode.MESSAGE_TOO_BIG, limit) from error
        except ProtocolError as error:
            raise self._broken(CloseCode.PROTOCOL_ERROR, str(error)) from error
        if frame.opcode == Opcode.PING:
            self._send_frame(Opcode.PONG, frame.data)
        elif frame.opcode == Opcode.CLOSE:
            self.close(CloseCode.NORMAL_CLOSURE, "")
            raise ClosedError("the client closed the connection")
        return frame

    def _broken(self, code: CloseCode, reason: str) -> ClosedError:
        self.close(code, reason)
        return ClosedError(reason)

    def _exactly(self, size: int) -> Generator[None, None, bytes | bytearray]:
        """What `Frame.parse` reads with: a generator that never yields, because it waits."""
        return self._peer.read(size)
        yield

    def _await_data(self) -> None:
        """Wait for a client that thinks; ping it when it is silent for long."""
        for _ in range(PINGS):
            if self._peer.wait():
                return
            self._send_frame(Opcode.PING, b"")
        if not self._peer.wait():
            raise self._broken(CloseCode.GOING_AWAY, "silent for too long")

    def _send_frame(self, opcode: Opcode, data: bytes | bytearray | memoryview) -> None:
        self._peer.send(Frame(opcode, data).serialize(mask=False))


def _run(parser: Generator[None, None, Frame]) -> Frame:
    """What a parser returns that never yields."""
    try:
        next(parser)
    except StopIteration as done:
        return done.value
    raise AssertionError("a frame's parser waits for data only where it reads")
