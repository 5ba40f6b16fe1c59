"""A policy on another host, as a `PolicyWorker`: the control loop never waits for the network.

A thread of its own connects, sends, receives and connects again. What was asked and not answered
when the connection broke is asked again; until then `ready()` is False and the body holds.
"""

import threading
import time
import uuid
from collections.abc import Callable
from itertools import count
from pathlib import Path

from websockets.exceptions import WebSocketException

from takt.extras import require_extra
from takt.runtime.client_connection import ServerAddress, ServerConnection
from takt.runtime.clock_offset import ClockOffset
from takt.runtime.closing import Closing
from takt.runtime.inference import Inference, PolicyError
from takt.runtime.server.messages import Ask, Begin
from takt.runtime.server.replies import Done, Failed, Planned, Reply, ServerFacts
from takt.runtime.wire import WireError
from takt.types import ActionChunk, Observation, Seconds

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0  # between attempts to connect, doubled each time
GIVE_UP_S = 30.0
ANSWER_TIMEOUT_S = 120.0  # and `give_up_s` more, for a connection that was lost meanwhile
CHECK_S = 0.2  # between looks whether an idle connection still stands, or all hope is lost


class ConnectionLostError(PolicyError):
    """The server could not be reached again in time."""


class RemotePolicy(Closing):
    """Asks a `PolicyServer`, one request at a time.

    A server that comes back begins the episode anew with its seed: what a policy remembered of it
    (its noise, its last chunk) is lost, the plan in execution is not.
    """

    def __init__(
        self,
        uri: str,
        *,
        token: str | None = None,
        certificate: Path | None = None,
        jpeg_quality: int | None = None,
        give_up_s: Seconds = GIVE_UP_S,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """Start connecting; returns at once.

        Args:
            uri: "ws://host:port", or "wss://host:port" for TLS.
            token: What the server was started with.
            certificate: Whom to trust over TLS; None trusts what the system trusts.
            jpeg_quality: Send images compressed, 1..95; None sends them as they are.
            give_up_s: How long `result` and `reset` wait for a lost server.
            tell: Called in a thread of our own, once when the server is not there and once when it
                is, with a line for people.
        """
        self._address = ServerAddress(
            uri=uri, robot=uuid.uuid4().hex, token=token, certificate=certificate
        )
        if jpeg_quality is not None:
            require_extra("data", "sending JPEG images")
        self._jpeg_quality, self._give_up_s = jpeg_quality, give_up_s
        self._tell, self._told_lost = tell or (lambda text: None), False
        self.clock = ClockOffset()
        self._changed = threading.Condition()
        self._numbers = count(1)
        self._facts: ServerFacts | None = None
        self._connection: ServerConnection | None = None
        self._seed: int | None = None
        self._wanted: Begin | Ask | None = None
        self._wanted_since: Seconds = 0.0
        self._reply: Reply | None = None
        self._refusal: PolicyError | None = None
        self._lost_since: Seconds | None = time.monotonic()
        self._lost_why = "no answer yet"
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="takt-remote", daemon=True)
        self._thread.start()

    @property
    def facts(self) -> ServerFacts | None:
        """What the server said of itself; None before the first connection."""
        return self._facts

    def reset(self, seed: int) -> None:
        """Drop what is in flight and begin a new episode; waits for the server.

        Raises:
            PolicyError: As `result`.
        """
        with self._changed:
            self._seed = seed
            self._want(Begin(number=next(self._numbers), seed=seed))
            self._await_reply()

    def submit(self, observation: Observation, committed: ActionChunk | None) -> None:
        """Hand the observation to the sending thread; its arrays must not change any more."""
        number = next(self._numbers)
        with self._changed:
            self._want(Ask(number=number, observation=observation, committed=committed))

    def ready(self) -> bool:
        """Whether `result` would return, or raise, at once; False while the server is away."""
        with self._changed:
            return self._reply is not None or (self._wanted is not None and self._hopeless())

    def result(self) -> Inference:
        """Wait for the plan of the last `submit`.

        Raises:
            ConnectionLostError: The server stayed away for longer than `give_up_s`.
            RefusedError: It does not want us.
            PolicyError: The policy failed, or nothing was submitted.
        """
        with self._changed:
            reply = self._await_reply()
        if not isinstance(reply, Planned):
            raise PolicyError("expected submit() before result(), got no inference; submit first")
        return Inference(chunk=reply.chunk, compute_s=reply.compute_s)

    def close(self) -> None:
        """Leave the server. Idempotent."""
        with self._changed:
            self._closed = True
            connection = self._connection
            self._changed.notify_all()
        if connection is not None:
            connection.close()
        self._thread.join()

    def _want(self, request: Begin | Ask) -> None:
        self._wanted, self._reply = request, None
        self._wanted_since = time.monotonic()
        self._changed.notify_all()

    def _hopeless(self) -> bool:
        waited = time.monotonic() - self._wanted_since
        unanswered = waited >= self._give_up_s + ANSWER_TIMEOUT_S
        return unanswered or self._given_up() or self._refusal is not None or self._closed

    def _given_up(self) -> bool:
        lost = self._lost_since
        return lost is not None and time.monotonic() - lost >= self._give_up_s

    def _await_reply(self) -> Planned | Done:
        """The reply to what is wanted; `_changed` is held, and let go of while waiting."""
        while self._reply is None:
            if self._wanted is None:
                raise PolicyError("expected submit() before result(), got none; submit first")
            if self._hopeless():
                self._wanted = None
                raise self._refusal or self._despair()
            self._changed.wait(CHECK_S)
        reply, self._reply = self._reply, None
        if isinstance(reply, Failed):
            raise PolicyError(f"the policy failed with {reply.error}: {reply.text}")
        return reply

    def _despair(self) -> PolicyError:
        if self._closed:
            return PolicyError("expected an open RemotePolicy, got a closed one; make a new one")
        if not self._given_up():
            return PolicyError(
                f"expected an answer from {self._address.uri} within "
                f"{self._give_up_s + ANSWER_TIMEOUT_S:g} s, got none; does its policy hang?"
            )
        return ConnectionLostError(
            f"expected {self._address.uri} to be back within {self._give_up_s:g} s, got no "
            f"connection ({self._lost_why}); is `takt serve` running there?"
        )

    def _run(self) -> None:
        pause = FIRST_PAUSE_S
        while not self._closed:
            try:
                self._connect()
                pause = FIRST_PAUSE_S
                self._converse()
            except (OSError, WebSocketException) as error:
                self._lose(str(error) or type(error).__name__)
            except Exception as error:  # nobody else would tell the control loop
                with self._changed:
                    self._refusal = _as_policy_error(error)
                    self._changed.notify_all()
                return
            finally:
                if self._connection is not None:
                    self._connection.close()
            with self._changed:
                self._changed.wait_for(lambda: self._closed, pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _lose(self, why: str) -> None:
        with self._changed:
            self._lost_since = self._lost_since or time.monotonic()
            self._lost_why = why
        if not self._told_lost and not self._closed:
            self._told_lost = True
            self._tell(
                f"no connection to {self._address.uri} ({why}); trying again for "
                f"{self._give_up_s:g} s: is `takt serve` running there, "
                f"{'with' if self._address.uri.startswith('wss:') else 'without'} --certificate?"
            )

    def _connect(self) -> None:
        """Meet the server; begin the episode again if one was going on."""
        connection = ServerConnection(self._address, self.clock, self._numbers.__next__)
        with self._changed:
            self._connection, self._facts = connection, connection.facts
            if self._closed:  # nobody else will end this connection
                return
            seed = None if isinstance(self._wanted, Begin) else self._seed
        if seed is not None:
            reply = connection.exchange(Begin(number=next(self._numbers), seed=seed), None)
            if isinstance(reply, Failed):
                raise PolicyError(f"the episode cannot go on after a new connection: {reply.text}")
        with self._changed:
            since, self._lost_since = self._lost_since, None
        if self._told_lost and since is not None:
            self._told_lost = False
            away = time.monotonic() - since
            self._tell(f"connected to {self._address.uri} after {away:.1f} s")

    def _converse(self) -> None:
        """Ask whatever is wanted, until the connection breaks or we are closed."""
        connection = self._connection
        assert connection is not None
        while not self._closed:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._wanted is not None, CHECK_S)
                request = self._wanted
            if request is None:
                if not connection.is_open:
                    raise ConnectionError("the connection ended while nothing was asked")
                continue
            try:
                reply: Reply = connection.exchange(request, self._jpeg_quality)
            except WireError as error:
                reply = Failed(in_reply_to=None, error="WireError", text=str(error))
            with self._changed:
                if self._wanted is request:
                    self._wanted, self._reply = None, reply
                    self._changed.notify_all()


def _as_policy_error(error: Exception) -> PolicyError:
    if isinstance(error, PolicyError):
        return error
    return PolicyError(f"the robot's side of the connection failed with {error!r}")
