"""The board's own process: keeps the newest ticks, serves the page, passes a stop on."""

import io
import json
import secrets
import signal
import socket
import sys
import threading
from collections import deque
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from takt.runtime.board import CODEC, STOP, BoardArrival, BoardImage, BoardTick, Facts, Title
from takt.runtime.wire import WireError

ADDRESS = "127.0.0.1"
NAMES = (ADDRESS, "localhost")
"""Hosts that a browser may have asked for; the port may be that of a tunnel."""
KEPT_S = 10.0  # of control time, as the page draws
_PACKET = 1 << 20


class Ledger:
    """What the page shows; written by one thread, read by many."""

    def __init__(self) -> None:
        """Nothing has happened."""
        self._lock = threading.Lock()
        self._title: Title | None = None
        self._ticks: deque[BoardTick] = deque()
        self._arrivals: deque[BoardArrival] = deque()
        self._images: dict[str, np.ndarray] = {}
        self._facts: dict[str, str] = {}
        self._totals = {"ticks": 0, "stalls": 0, "human": 0, "clamped": 0, "chunks": 0, "unused": 0}
        self._stopping = False

    def take(self, message: object) -> None:
        """A packet of the control loop."""
        with self._lock:
            match message:
                case Title():
                    self._title = message
                case BoardTick():
                    self._add(message)
                case BoardArrival():
                    self._arrivals.append(message)
                    self._totals["chunks"] += 1
                    self._totals["unused"] += not message.used
                case BoardImage():
                    self._images[message.camera] = message.image
                case Facts():
                    self._facts = dict(message.values)
                case _:
                    pass

    def stop(self) -> None:
        """The button was pressed."""
        with self._lock:
            self._stopping = True

    def state(self) -> bytes:
        """All but the images, as JSON."""
        with self._lock:
            state = {
                "title": asdict(self._title) if self._title else None,
                "ticks": [asdict(tick) for tick in self._ticks],
                "arrivals": [asdict(arrival) for arrival in self._arrivals],
                "cameras": sorted(self._images),
                "facts": self._facts,
                "totals": self._totals,
                "stopping": self._stopping,
            }
        return json.dumps(state).encode()

    def jpeg(self, camera: str) -> bytes | None:
        """The newest image of a camera."""
        from PIL import Image

        with self._lock:
            image = self._images.get(camera)
        if image is None:
            return None
        content = io.BytesIO()
        Image.fromarray(image).save(content, "JPEG", quality=80)
        return content.getvalue()

    def _add(self, tick: BoardTick) -> None:
        if self._ticks and tick.number <= self._ticks[-1].number:  # a new episode
            self._ticks.clear()
            self._arrivals.clear()
        self._ticks.append(tick)
        for kept in (self._ticks, self._arrivals):
            while kept and kept[0].now < tick.now - KEPT_S:
                kept.popleft()
        self._totals["ticks"] += 1
        self._totals["stalls"] += tick.held and tick.chunk >= 0
        self._totals["human"] += tick.authority != "policy"
        self._totals["clamped"] += bool(tick.causes)


class Page(BaseHTTPRequestHandler):
    """GET / , /state and /camera/NAME; POST /stop with the page's own token.

    Any web page can make a browser on this host send requests here. None may read or stop: a name
    of its own that it points here (DNS rebinding) is refused by its Host, a request across sites by
    its Origin and for want of the token; a frame round the button is never shown.
    """

    ledger: Ledger
    loop: socket.socket
    token: str
    html: str

    def do_GET(self) -> None:  # noqa: N802 - the library's name
        """Serve."""
        path = self.path.split("?")[0]
        if refusal := self._refusal():
            self._refuse(refusal)
        elif path == "/":
            self._answer("text/html; charset=utf-8", self.html.encode())
        elif path == "/state":
            self._answer("application/json", self.ledger.state())
        elif path.startswith("/camera/"):
            jpeg = self.ledger.jpeg(unquote(path.removeprefix("/camera/")))
            if jpeg is None:
                self.send_error(HTTPStatus.NOT_FOUND)
            else:
                self._answer("image/jpeg", jpeg)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:  # noqa: N802 - the library's name
        """Stop the body, if it is our page that asks."""
        given = self.headers.get("X-Takt-Token", "")
        if self.path != "/stop":
            self.send_error(HTTPStatus.NOT_FOUND)
        elif refusal := self._refusal():
            self._refuse(refusal)
        elif not secrets.compare_digest(given.encode(), self.token.encode()):
            self._refuse("expected the token of this run's page; load the page again")
        else:
            self.loop.send(STOP)
            self.ledger.stop()
            self._answer("application/json", b"{}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""

    def _refusal(self) -> str | None:
        """Why this request is not of our own page; None if it is."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if _name(f"//{host}") not in NAMES:
            return (
                f"expected {' or '.join(NAMES)} as Host, got {host!r}; open the address that takt "
                "printed"
            )
        if origin is not None and origin != f"http://{host}":
            return f"expected the board's own page to ask, got one of {origin!r}"
        return None

    def _refuse(self, why: str) -> None:
        self._answer("text/plain; charset=utf-8", f"{why}\n".encode(), HTTPStatus.FORBIDDEN)

    def _answer(self, kind: str, content: bytes, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", "frame-ancestors 'none'")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()
        self.wfile.write(content)


class Server(ThreadingHTTPServer):
    """One thread for each connection; browsers hang up as they like."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the library's
        """Tell of our own faults only."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:  # such as a bracket that is never closed
        return None


def main() -> None:
    """Serve the loop whose socket is `argv[1]` on port `argv[2]`; the token is `argv[3]`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    loop = socket.socket(fileno=int(sys.argv[1]))
    text = files("takt.runtime").joinpath("board.html").read_text().replace("TOKEN", sys.argv[3])
    members = {"ledger": Ledger(), "loop": loop, "token": sys.argv[3], "html": text}
    try:
        server = Server((ADDRESS, int(sys.argv[2])), type("Page", (Page,), members))
    except OSError as error:
        loop.send(f"{error.strerror} on port {sys.argv[2]}".encode())
        return
    threading.Thread(target=server.serve_forever, daemon=True).start()
    loop.send(f"http://{ADDRESS}:{server.server_port}/".encode())
    while packet := loop.recv(_PACKET):
        try:
            members["ledger"].take(CODEC.decode(packet))
        except WireError as error:
            print(f"board: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
