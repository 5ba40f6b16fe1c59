"""The andon board: a live page beside the control loop, which it can only ask to stop.

The page is served by a process of its own. The loop sends it packets that are dropped when nobody
has time for them; nothing ever waits for a browser.
"""

import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from takt.runtime.closing import Closing
from takt.runtime.tick import Tick
from takt.runtime.wire import Codec
from takt.types import EmbodimentSpec, Seconds, TaktError

IMAGE_EVERY_S = 0.2
IMAGE_PIXELS = 160  # longest side of what is sent
STOP = b"stop"
START_TIMEOUT_S = 20.0


class BoardError(TaktError):
    """The page could not be served."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Title:
    """What is run: its parts with " · " between them, the first one large."""

    text: str
    rate_hz: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardTick:
    """What the page needs of a tick; times in seconds of control time."""

    number: int
    now: Seconds
    chunk: int
    index: int
    held: bool
    waiting: bool
    authority: str
    causes: tuple[str, ...]
    age_s: Seconds | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardArrival:
    """A chunk that came in."""

    number: int
    now: Seconds
    stamp: Seconds
    length_s: Seconds
    delay: int
    compute_s: Seconds
    used: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardImage:
    """(height, width, 3) uint8 RGB of a camera."""

    camera: str
    image: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Whatever else is worth a card on the page: name and value, in order."""

    values: Mapping[str, str]


CODEC = Codec(Title, BoardTick, BoardArrival, BoardImage, Facts)


class Board(Closing):
    """A listener; the page is at `url` while the `with` block runs."""

    wants_observations = False

    def __init__(self, title: str, spec: EmbodimentSpec, *, port: int = 0) -> None:
        """Serve on 127.0.0.1.

        Args:
            title: What is run.
            spec: The body.
            port: 0 for any free one.

        Raises:
            BoardError: the port is taken, or the page cannot be served.
        """
        self.stop_requested = False
        self.dropped = 0
        self._sent_images_at = 0.0
        self._socket, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        command = [sys.executable, "-m", "takt.runtime.board_server"]
        arguments = [str(child.fileno()), str(port), secrets.token_urlsafe(16)]
        with child:
            self._process = subprocess.Popen(
                [*command, *arguments],
                pass_fds=[child.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a Ctrl-C in the terminal reaches the control loop only
            )
        self.url = self._wait_for_url()
        self._socket.setblocking(False)
        self._send(Title(text=title, rate_hz=spec.rate_hz))

    def on_tick(self, tick: Tick) -> None:
        """Send what there is room for; `stop_requested` follows the page's button."""
        self._listen()
        if tick.observation is not None:
            self._show(tick)
        self._send(
            BoardTick(
                number=tick.number,
                now=tick.now,
                chunk=tick.chunk,
                index=tick.index,
                held=tick.held,
                waiting=tick.waiting,
                authority=tick.authority,
                causes=tick.causes,
                age_s=tick.age_s,
            )
        )
        arrival = tick.arrival
        if arrival is not None:
            self._send(
                BoardArrival(
                    number=arrival.number,
                    now=tick.now,
                    stamp=arrival.stamp,
                    length_s=len(arrival.actions) * arrival.dt,
                    delay=arrival.delay,
                    compute_s=arrival.compute_s,
                    used=arrival.used,
                )
            )

    def tell(self, facts: Mapping[str, str]) -> None:
        """Cards for the page, such as the number of an episode and how the last one went."""
        self._send(Facts(values=dict(facts)))

    def close(self) -> None:
        """End the page. Idempotent."""
        self._socket.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _show(self, tick: Tick) -> None:
        assert tick.observation is not None
        now = time.monotonic()
        if now - self._sent_images_at < IMAGE_EVERY_S:
            return
        self._sent_images_at = now
        for camera, image in tick.observation.images.items():
            step = -(-max(image.shape[:2]) // IMAGE_PIXELS)
            small = np.ascontiguousarray(image[::step, ::step])
            self._send(BoardImage(camera=camera, image=small))

    def _send(self, message: object) -> None:
        try:
            self._socket.send(CODEC.encode(message))
        except OSError:  # no room, or the page is gone: the body goes on
            self.dropped += 1

    def _listen(self) -> None:
        try:
            if self._socket.recv(16) == STOP:
                self.stop_requested = True
        except OSError:
            pass  # nobody pressed anything

    def _wait_for_url(self) -> str:
        self._socket.settimeout(START_TIMEOUT_S)
        try:
            said = self._socket.recv(4096).decode()
        except OSError:
            said = ""
        if not said.startswith("http"):
            self.close()
            raise BoardError(
                f"expected the board to serve its page, got {said or 'no answer'}; choose another "
                "port or run without a board"
            )
        return said
