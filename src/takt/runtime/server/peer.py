"""Bytes to and from one client: a socket whose every failure is a `ClosedError`."""

import contextlib
import select
import socket
import ssl
import time

from takt.types import Seconds

SILENCE_S = 20.0  # until a client is pinged, or one in the middle of a message given up
HANDSHAKE_S = 10.0
LINGER_S = 1.0  # for the last frame to arrive before the connection ends
MAX_HEADER_BYTES = 1 << 14
AHEAD_BYTES = 4096  # read in one call beyond what is asked for


class ClosedError(Exception):
    """The connection is over; the text says why."""


class ServerPeer:
    """A blocking socket with what was read ahead of it; one thread uses it."""

    def __init__(self, peer: socket.socket) -> None:
        """`peer` is accepted, and over TLS already if that is wanted."""
        self._peer = peer
        self.ahead = bytearray()
        if peer.family in (socket.AF_INET, socket.AF_INET6):
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def header(self) -> bytes:
        """The request of a handshake, up to its blank line."""
        deadline = time.monotonic() + HANDSHAKE_S
        self._peer.settimeout(HANDSHAKE_S)
        while (end := self.ahead.find(b"\r\n\r\n")) < 0:
            if len(self.ahead) > MAX_HEADER_BYTES or time.monotonic() > deadline:
                raise ClosedError("no handshake, or one without end")
            self._read_on()
        self._peer.settimeout(SILENCE_S)
        return bytes(self._take(end + 4))

    def wait(self) -> bool:
        """Whether something came before the silence was too long."""
        try:
            if not self.ahead:
                self._read_ahead()
        except TimeoutError:
            return False
        return True

    def has_data(self) -> bool:
        """Whether something is there, be it the news that the client went."""
        if self.ahead or (isinstance(self._peer, ssl.SSLSocket) and self._peer.pending()):
            return True
        poll = select.poll()  # select() takes no descriptor above 1023
        try:
            poll.register(self._peer, select.POLLIN)
            return bool(poll.poll(0))
        except (OSError, ValueError) as error:
            raise ClosedError(f"the connection is closed ({error})") from error

    def read(self, size: int) -> bytearray:
        """The next `size` bytes."""
        while len(self.ahead) < min(size, AHEAD_BYTES):
            self._read_on()
        data = self._take(size)
        if (have := len(data)) < size:
            data += bytes(size - have)
            with memoryview(data) as place:
                self.read_into(place[have:])
        return data

    def read_into(self, place: memoryview) -> None:
        """Fill `place`, past what was read ahead."""
        have = 0
        while have < len(place):
            try:
                count = self._peer.recv_into(place[have:])
            except OSError as error:
                raise ClosedError(f"the connection broke ({error})") from error
            if not count:
                raise ClosedError("the client went in the middle of a message")
            have += count

    def send(self, data: bytes) -> None:
        """Send all of it."""
        try:
            self._peer.sendall(data)
        except OSError as error:
            raise ClosedError(f"the connection broke ({error})") from error

    def stop_receiving(self) -> None:
        """From another thread: reading ends, and a goodbye can still be sent."""
        with contextlib.suppress(OSError):
            # not the method of an SSLSocket: after it, what is sent would not be encrypted
            socket.socket.shutdown(self._peer, socket.SHUT_RD)

    def hang_up(self) -> None:
        """Let what was sent arrive: closing over unread bytes would throw it away."""
        deadline: Seconds = time.monotonic() + LINGER_S
        with contextlib.suppress(OSError, ValueError):
            self._peer.shutdown(socket.SHUT_WR)
            self._peer.settimeout(LINGER_S)
            while time.monotonic() < deadline and self._peer.recv(1 << 16):
                pass
        self._peer.close()

    def _take(self, size: int) -> bytearray:
        data = self.ahead[:size]
        del self.ahead[:size]
        return data

    def _read_on(self) -> None:
        try:
            self._read_ahead()
        except TimeoutError as error:
            raise ClosedError("the client stopped in the middle of a message") from error

    def _read_ahead(self) -> None:
        """What is there, once there is something; a `TimeoutError` if there is nothing."""
        try:
            data = self._peer.recv(AHEAD_BYTES)
        except TimeoutError:
            raise
        except OSError as error:
            raise ClosedError(f"the connection broke ({error})") from error
        if not data:
            raise ClosedError("the client went without goodbye")
        self.ahead += data
