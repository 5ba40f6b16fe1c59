"""A policy for robots elsewhere: msgpack on websockets, as openpi's clients speak it and richer.

A thread for each robot receives, decodes and answers; another thinks for all (`Scheduler`). No
connection can make another wait but by asking.
"""

import contextlib
import hmac
import logging
import socket
import ssl
import threading
import time
from http import HTTPStatus

from websockets.datastructures import MultipleValuesError
from websockets.frames import CloseCode
from websockets.http11 import Request

from takt.runtime.closing import Closing
from takt.runtime.server.messages import ROBOT_HEADER
from takt.runtime.server.peer import HANDSHAKE_S, ClosedError
from takt.runtime.server.replies import ServerFacts, encode_facts
from takt.runtime.server.scheduler import NoSeatError, Policies, Scheduler, Seat
from takt.runtime.server.session import Session
from takt.runtime.server.websocket import Refusal, ServerWebSocket
from takt.types import EmbodimentSpec, TaktError

MAX_MESSAGE_BYTES = 32 << 20  # three cameras of 1080 lines, uncompressed, and some
MAX_STRANGERS = 32  # connections that have no seat: health checks, handshakes, refused ones
CLOSE_S = 5.0
ACCEPT_PAUSE_S = 0.2
TAKEOVER_S = 2.0  # for the old connection of a robot that came back to give up its seat
HEALTH_PATH = "/healthz"

_log = logging.getLogger("takt.server")


class ServeError(TaktError):
    """A server that cannot start."""


class PolicyServer(Closing):
    """Serves policies for one body from its construction until `close`."""

    def __init__(
        self,
        policies: Policies,
        facts: ServerFacts,
        spec: EmbodimentSpec,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Take the port, build the policies, then answer.

        Args:
            policies: What thinks.
            facts: What robots are told on connection.
            spec: The body that the policies drive; observations that do not fit are refused.
            host: Address to listen on.
            port: Port to listen on; 0 takes a free one.
            token: Robots must show it as `Authorization: Bearer …`, or openpi's `Api-Key …`.
            tls: Certificate and key; None serves unencrypted.

        Raises:
            ServeError: The address is taken or not ours.
        """
        self._facts, self._spec, self._token, self._tls = facts, spec, token, tls
        try:
            self._listener = socket.create_server((host, port), backlog=64)
        except OSError as error:
            raise ServeError(
                f"cannot listen on {host}:{port} ({error.strerror}); "
                "choose another --port or --host"
            ) from error
        try:
            self._scheduler = Scheduler(policies)
        except BaseException:
            self._listener.close()
            raise
        self._port = int(self._listener.getsockname()[1])
        self._changed = threading.Condition()
        self._threads: set[threading.Thread] = set()
        self._connections: dict[ServerWebSocket, str | None] = {}
        self._closed = False
        self._accepting = threading.Thread(target=self._accept, name="takt-accept", daemon=True)
        self._accepting.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    def close(self) -> None:
        """Say goodbye to every robot, end every thread. Idempotent."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            for websocket in self._connections:
                websocket.stop_receiving()
            threads = [self._accepting, *self._threads]
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(CLOSE_S)
        self._listener.close()
        self._scheduler.close(CLOSE_S)

    def _accept(self) -> None:
        while not self._closed:
            try:
                peer, _ = self._listener.accept()
            except OSError as error:
                if not self._closed:  # no file descriptor left, perhaps: robots come first
                    _log.warning("cannot accept a connection: %s", error)
                    time.sleep(ACCEPT_PAUSE_S)
                continue
            with self._changed:
                if self._closed or len(self._threads) >= self._scheduler.robots + MAX_STRANGERS:
                    peer.close()
                    continue
                thread = threading.Thread(
                    target=self._serve, args=(peer,), name="takt-robot", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError as error:  # the system has no thread left
                    _log.warning("cannot serve a connection: %s", error)
                    peer.close()
                else:
                    self._threads.add(thread)

    def _serve(self, peer: socket.socket) -> None:
        """One connection, from its handshake to its end."""
        try:
            peer.settimeout(HANDSHAKE_S)
            if self._tls is not None:
                peer = self._tls.wrap_socket(peer, server_side=True)
            self._converse(ServerWebSocket(peer, self._facts.max_message_bytes))
        except (ClosedError, OSError) as error:
            _log.info("connection ended: %s", error)
        finally:
            peer.close()
            with self._changed:
                self._threads.discard(threading.current_thread())

    def _converse(self, websocket: ServerWebSocket) -> None:
        seats: list[Seat] = []

        def refuse(request: Request) -> Refusal | None:
            refusal = self._refuse(request)
            if refusal is not None:
                return refusal
            try:
                seats.append(self._seat(websocket, _header(request, ROBOT_HEADER)))
            except NoSeatError as error:
                return HTTPStatus.SERVICE_UNAVAILABLE, f"{error}\n"
            return None

        try:
            websocket.shake_hands(refuse)
            websocket.send(encode_facts(self._facts))
            session = Session(seats[0], self._spec, websocket.answer_pings)
            while True:
                websocket.send(session.answer(websocket.receive()))
        finally:
            websocket.close(CloseCode.GOING_AWAY, "the server ends this connection")
            for seat in seats:
                self._scheduler.leave(seat)
            with self._changed:
                self._connections.pop(websocket, None)
                self._changed.notify_all()

    def _seat(self, websocket: ServerWebSocket, robot: str | None) -> Seat:
        """A seat; that of its own lost connection if this robot was here before."""
        with self._changed:
            for other, name in self._connections.items():
                if robot is not None and name == robot:
                    other.stop_receiving()
            self._changed.wait_for(
                lambda: robot is None or robot not in self._connections.values(), TAKEOVER_S
            )
            seat = self._scheduler.take_seat()
            self._connections[websocket] = robot
            if self._closed:
                websocket.stop_receiving()
        return seat

    def _refuse(self, request: Request) -> Refusal | None:
        """What to answer instead of a handshake: health, web pages, or who shows no token.

        Any page can make a browser on this host connect; only browsers name an Origin.
        """
        if request.path == HEALTH_PATH:
            return HTTPStatus.OK, "OK\n"
        if "Origin" in request.headers:
            return HTTPStatus.FORBIDDEN, "expected a robot, got a web page\n"
        if self._token is None:
            return None
        shown = (_header(request, "Authorization") or "").partition(" ")[2].strip()
        if hmac.compare_digest(shown.encode(), self._token.encode()):
            return None
        return HTTPStatus.UNAUTHORIZED, "expected the server's token; give it to the client\n"


def _header(request: Request, name: str) -> str | None:
    try:
        return request.headers.get(name)
    except MultipleValuesError:
        return None
