"""One robot's conversation: a message in, a message out, whatever the message is."""

import time
from collections.abc import Callable

from takt.runtime.server.messages import (
    PROTOCOL_VERSION,
    Ask,
    Begin,
    Hello,
    Request,
    read_request,
    request_number,
    unpack_map,
)
from takt.runtime.server.replies import Done, Failed, Planned, Reply, Stamps, encode_reply
from takt.runtime.server.scheduler import Seat
from takt.runtime.wire import WireError
from takt.types import EmbodimentSpec, TaktError

FIRST_SEED = 0  # of a robot that never says begin, as openpi's


class Session:
    """Answers one robot's requests from its seat."""

    def __init__(
        self, seat: Seat, spec: EmbodimentSpec, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        """`meanwhile` is called now and then while the policy thinks; it may raise to give up."""
        self._seat, self._spec, self._meanwhile = seat, spec, meanwhile
        self._begun = False

    def answer(self, data: bytes | memoryview | str) -> bytes | str:
        """The reply to a message: a plan, an acknowledgement, or an error with its name."""
        received = time.monotonic()
        number = None
        try:
            if isinstance(data, str):
                raise WireError("expected a binary message, got text; pack it with msgpack")
            message = unpack_map(data)
            number = request_number(message)
            reply = self._reply(read_request(message, self._spec, received), received)
        except TaktError as error:
            reply = Failed(in_reply_to=number, error=type(error).__name__, text=str(error))
        return encode_reply(reply)

    def _reply(self, request: Request, received: float) -> Reply:
        match request:
            case Hello(version=version) if version != PROTOCOL_VERSION:
                raise WireError(
                    f"expected a client that speaks version {PROTOCOL_VERSION}, got {version}; "
                    "install the same takt on both sides"
                )
            case Hello(number=number):
                pass
            case Begin(number=number, seed=seed):
                self._begin(seed)
            case Ask():
                return self._plan(request, received)
        return Done(in_reply_to=number, stamps=Stamps(received=received, answered=time.monotonic()))

    def _plan(self, ask: Ask, received: float) -> Reply:
        if not self._begun:
            self._begin(FIRST_SEED)
        thought = self._seat.infer(ask.observation, ask.committed, self._meanwhile)
        return Planned(
            in_reply_to=ask.number,
            chunk=thought.chunk,
            compute_s=thought.compute_s,
            waited_s=thought.waited_s,
            stamps=Stamps(received=received, answered=time.monotonic()),
        )

    def _begin(self, seed: int) -> None:
        self._seat.reset(seed, self._meanwhile)
        self._begun = True
