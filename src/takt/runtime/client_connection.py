"""One connection of a robot to a policy server: greet, then a question and its answer in turn."""

import ssl
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI
from websockets.protocol import State
from websockets.sync.client import ClientConnection as WebSocket
from websockets.sync.client import connect
from websockets.uri import parse_uri

from takt.runtime.clock_offset import ClockOffset
from takt.runtime.inference import PolicyError
from takt.runtime.server.messages import ROBOT_HEADER, Hello, Request, encode_request
from takt.runtime.server.replies import (
    Failed,
    Reply,
    ServerFacts,
    decode_facts,
    decode_reply,
)
from takt.runtime.wire import WireError
from takt.types import Seconds

CONNECT_S = 5.0
CLOSE_S = 1.0
PING_S, PONG_S = 2.0, 10.0  # a silent network is noticed within their sum
MAX_REPLY_BYTES = 8 << 20
SAID_BYTES = 300  # of what a refusal says: it may be a whole page
REFUSALS = (400, 401, 403, 404, 426)  # HTTP statuses that asking again does not change


class RefusedError(PolicyError):
    """The server does not want us: wrong token, wrong version, no policy server at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """Where a server is, how it knows us and how we know it.

    `robot` names this robot among its connections: a new one takes the seat of the lost one.
    `certificate`: whom to trust over TLS; None trusts what the system trusts.
    """

    uri: str
    robot: str
    token: str | None
    certificate: Path | None


class ServerConnection:
    """An open connection; one thread uses it, any may close it."""

    def __init__(
        self, address: ServerAddress, clock: ClockOffset, next_number: Callable[[], int]
    ) -> None:
        """Connect and greet; `clock` learns from every answer.

        Raises:
            RefusedError: Asking again would not help.
            OSError: There is no server now, or no seat.
        """
        self._clock = clock
        self._leave = ExitStack()
        self._socket = _connect(address, self._leave)
        try:
            self.facts: ServerFacts = decode_facts(self._socket.recv(timeout=CONNECT_S))
            clock.start_again()
            reply = self.exchange(Hello(number=next_number()), None, CONNECT_S)
        except WireError as error:
            self.close()
            raise RefusedError(f"{address.uri}: {error}") from error
        except BaseException:
            self.close()
            raise
        if isinstance(reply, Failed):
            self.close()
            raise RefusedError(f"{address.uri}: {reply.text}")

    @property
    def is_open(self) -> bool:
        """Whether nobody closed it yet."""
        return self._socket.state is State.OPEN

    def exchange(
        self, request: Request, jpeg_quality: int | None, timeout_s: Seconds | None = None
    ) -> Reply:
        """Ask and wait for the answer; a late answer to an earlier request is passed over.

        Raises:
            OSError: The connection is lost, or nothing came within `timeout_s`.
            WireError: The answer is none of ours.
        """
        data = encode_request(request, jpeg_quality)
        limit = self.facts.max_message_bytes
        if len(data) > limit:
            text = f"expected a message of at most {limit} bytes, got {len(data)}; compress images"
            return Failed(in_reply_to=request.number, error="MessageTooLargeError", text=text)
        asked = time.monotonic()
        try:
            self._socket.send(data)
            while True:
                reply = decode_reply(self._socket.recv(timeout_s))
                if reply.in_reply_to == request.number:
                    break
        except ConnectionClosed as error:
            raise ConnectionError(f"the connection ended: {error}") from error
        if not isinstance(reply, Failed):
            stamps = reply.stamps
            self._clock.add(asked, stamps.received, stamps.answered, time.monotonic())
        return reply

    def close(self) -> None:
        """Say goodbye. Idempotent."""
        self._leave.close()


def _connect(address: ServerAddress, leave: ExitStack) -> WebSocket:
    """The open connection, which `leave` ends."""
    headers = {ROBOT_HEADER: address.robot}
    if address.token is not None:
        headers["Authorization"] = f"Bearer {address.token}"
    trusted = _trusted(address)
    try:
        opening = connect(
            address.uri,
            ssl=trusted,
            additional_headers=headers,
            compression=None,  # images are noise or JPEG: it costs more than it saves
            proxy=None,
            open_timeout=CONNECT_S,
            close_timeout=CLOSE_S,
            ping_interval=PING_S,
            ping_timeout=PONG_S,
            max_size=MAX_REPLY_BYTES,
        )
        return leave.enter_context(opening)
    except InvalidStatus as error:
        said = bytes(error.response.body or b"")[:SAID_BYTES].decode(errors="replace").strip()
        if error.response.status_code in REFUSALS:
            raise RefusedError(f"{address.uri} refused: {said or error}") from error
        raise ConnectionError(said or str(error)) from error
    except ssl.SSLCertVerificationError as error:
        raise RefusedError(
            f"{address.uri}: expected a certificate that is trusted here, got another "
            f"({error.verify_message}); give the server's own with --certificate"
        ) from error


def _trusted(address: ServerAddress) -> ssl.SSLContext | None:
    """Whom to trust; None for an address that is not encrypted."""
    try:
        if not parse_uri(address.uri).secure:
            return None
    except (InvalidURI, ValueError) as error:
        raise RefusedError(
            f"expected ws://HOST:PORT or wss://HOST:PORT, got {address.uri!r} ({error})"
        ) from error
    try:
        return ssl.create_default_context(cafile=address.certificate)
    except OSError as error:
        raise RefusedError(
            f"expected a certificate (PEM) in {address.certificate}, got {error}; give the "
            "server's own with --certificate"
        ) from error
