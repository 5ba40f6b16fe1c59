"""The server's side of one websocket, on a blocking socket that one thread owns.

Handshake and frames are those of the library `websockets`, without its event loop: a camera's
image is received into one buffer that is used again, and the thread that received it answers.
"""

import contextlib
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Generator
from http import HTTPStatus

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from takt.types import Seconds

SILENCE_S = 20.0  # until a client is pinged, or one in the middle of a message given up
PINGS = 2  # without any answer, and the client is gone
HANDSHAKE_S = 10.0
LINGER_S = 1.0  # for the last frame to arrive before the connection ends
MAX_HEADER_BYTES = 1 << 14
MAX_EARLY = 4  # messages sent before the reply to the last one
AHEAD_BYTES = 4096  # read beyond a frame's header in one call

Refusal = tuple[HTTPStatus, str]


class ClosedError(Exception):
    """The connection is over; the text says why."""


class ServerWebSocket:
    """Receives whole messages and sends them; answers pings while it does."""

    def __init__(self, peer: socket.socket, max_bytes: int) -> None:
        """`peer` is accepted, and over TLS already if that is wanted."""
        self._peer, self._max_bytes = peer, max_bytes
        self._ahead = bytearray()
        self._payload = bytearray()
        self._early: deque[bytes | str] = deque()
        self._silent_pings = 0
        self._closing = False
        if peer.family in (socket.AF_INET, socket.AF_INET6):
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def shake_hands(self, refuse: Callable[[Request], Refusal | None]) -> None:
        """Upgrade from HTTP, unless `refuse` gives a status and a text to answer with.

        Raises:
            ClosedError: It was refused, or was no handshake.
        """
        protocol = ServerProtocol()
        protocol.receive_data(self._read_header())
        events = protocol.events_received()
        refusal = None
        if not events or not isinstance(request := events[0], Request):
            response = protocol.reject(HTTPStatus.BAD_REQUEST, "expected a websocket handshake\n")
        elif (refusal := refuse(request)) is not None:
            response = protocol.reject(*refusal)
        else:
            response = protocol.accept(request)
        protocol.send_response(response)
        self._send(b"".join(protocol.data_to_send()))
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self._hang_up()
            raise ClosedError(f"answered {response.status_code} to the handshake")

    def receive(self) -> bytes | str:
        """The next message; waits for it.

        Raises:
            ClosedError: The client went, broke the protocol or fell silent.
        """
        if self._early:
            return self._early.popleft()
        self._await_data()
        return self._message()

    def answer_pings(self) -> None:
        """Take what came meanwhile: pings are answered, messages kept for `receive`.

        Raises:
            ClosedError: As `receive`.
        """
        while len(self._early) < MAX_EARLY and self._has_data():
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
        self._hang_up()

    def stop_receiving(self) -> None:
        """From another thread: the owner's `receive` raises, and it can still say goodbye."""
        with contextlib.suppress(OSError):
            self._peer.shutdown(socket.SHUT_RD)

    def _message(self, frame: Frame | None = None) -> bytes | str:
        """A message of one frame or more; control frames in between are answered."""
        parts: list[bytes] = []
        text, size = False, 0
        while True:
            frame = frame or self._frame(self._max_bytes - size)
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
        """The next `size` bytes; `Frame.parse` reads with it. Many are valid until the next call.

        It is a generator because the library wants one, but it never yields: it waits.
        """
        if size <= AHEAD_BYTES:
            while len(self._ahead) < size:
                self._ahead += self._recv(AHEAD_BYTES)
            few = bytes(self._ahead[:size])
            del self._ahead[:size]
            return few
        if size != len(self._payload):  # a robot's observations are all of one size
            self._payload = bytearray(size)
        have = len(self._ahead)
        with memoryview(self._payload) as place:
            place[:have] = self._ahead
            self._ahead.clear()
            while have < size:
                have += self._recv_into(place[have:])
        return self._payload
        yield

    def _await_data(self) -> None:
        """Wait for a client that thinks; ping it when it is silent for long."""
        while not self._has_data(SILENCE_S):
            if self._silent_pings == PINGS:
                raise self._broken(CloseCode.GOING_AWAY, "silent for too long")
            self._silent_pings += 1
            self._send_frame(Opcode.PING, b"")
        self._silent_pings = 0

    def _has_data(self, timeout_s: Seconds = 0.0) -> bool:
        if self._ahead or (isinstance(self._peer, ssl.SSLSocket) and self._peer.pending()):
            return True
        try:
            return bool(select.select([self._peer], [], [], timeout_s)[0])
        except (OSError, ValueError) as error:
            raise ClosedError(f"the connection is closed ({error})") from error

    def _read_header(self) -> bytes:
        """The handshake's request, up to its blank line."""
        deadline = time.monotonic() + HANDSHAKE_S
        self._peer.settimeout(HANDSHAKE_S)
        while (end := self._ahead.find(b"\r\n\r\n")) < 0:
            if len(self._ahead) > MAX_HEADER_BYTES or time.monotonic() > deadline:
                raise ClosedError("no handshake, or one without end")
            self._ahead += self._recv(AHEAD_BYTES)
        self._peer.settimeout(SILENCE_S)
        header = bytes(self._ahead[: end + 4])
        del self._ahead[: end + 4]
        return header

    def _recv(self, size: int) -> bytes:
        try:
            data = self._peer.recv(size)
        except OSError as error:
            raise ClosedError(f"the connection broke ({error})") from error
        if not data:
            raise ClosedError("the client went without goodbye")
        return data

    def _recv_into(self, place: memoryview) -> int:
        try:
            size = self._peer.recv_into(place)
        except OSError as error:
            raise ClosedError(f"the connection broke ({error})") from error
        if not size:
            raise ClosedError("the client went in the middle of a message")
        return size

    def _send_frame(self, opcode: Opcode, data: bytes | bytearray | memoryview) -> None:
        self._send(Frame(opcode, data).serialize(mask=False))

    def _send(self, data: bytes) -> None:
        try:
            self._peer.sendall(data)
        except OSError as error:
            raise ClosedError(f"the connection broke ({error})") from error

    def _hang_up(self) -> None:
        """Let what was sent arrive: closing over unread bytes would throw it away."""
        deadline = time.monotonic() + LINGER_S
        with contextlib.suppress(OSError, ValueError):
            self._peer.shutdown(socket.SHUT_WR)
            self._peer.settimeout(LINGER_S)
            while time.monotonic() < deadline and self._peer.recv(1 << 16):
                pass
        self._peer.close()


def _run(parser: Generator[None, None, Frame]) -> Frame:
    """What a parser returns that never yields."""
    try:
        next(parser)
    except StopIteration as done:
        return done.value
    raise AssertionError("a frame's parser waits for data only where it reads")
