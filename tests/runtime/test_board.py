"""The page shows what the loop does, its button stops the body, and nothing ever waits for it."""

import json
import shutil
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from fakes import SPEC, FakePolicy, FakeStation
from websockets.sync.client import connect

from takt.runtime.board import Board, BoardError, BoardImage
from takt.runtime.chunking import LambdaPrefix
from takt.runtime.clock import VirtualClock
from takt.runtime.executor import Executor
from takt.runtime.inference import InlinePolicy
from takt.runtime.latency import Injected
from takt.runtime.safety import Governor, step_limits

pytest.importorskip("PIL", reason="the board's images need the data extra")


def run(board: Board, ticks: int, pause_s: float = 0.0, delay: int = 3) -> FakeStation:
    station = FakeStation(pause_s)
    executor = Executor(
        station,
        InlinePolicy(FakePolicy()),
        LambdaPrefix(6, delay),
        clock=VirtualClock(SPEC.dt),
        latency=Injected(delay),
        governor=Governor(SPEC.action_space, step_limits(SPEC)),
        listeners=[board],
    )
    executor.run(lambda: station.ticks >= ticks or board.stop_requested)
    return station


@pytest.fixture(scope="module")
def page() -> Iterator[Board]:
    """One that nothing stops."""
    with Board("a test", SPEC) as board:
        yield board


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read()


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
    return found


def test_the_page_knows_every_tick_and_chunk() -> None:
    with Board("a test", SPEC) as board:
        run(board, 60, 0.002)
        board.tell({"episode": "3 of 5"})
        state = until(lambda: (s := json.loads(get(board.url + "state")))["facts"] and s)
        assert state["totals"]["ticks"] + board.dropped >= 60
        assert state["totals"]["stalls"] == 0
        assert state["arrivals"][-1]["delay"] == 3
        assert state["cameras"] == sorted(camera.name for camera in SPEC.cameras)
        assert get(board.url + "camera/ego")[:2] == b"\xff\xd8"
        with pytest.raises(urllib.error.HTTPError):
            get(board.url + "camera/none")


def test_a_new_episode_begins_with_its_own_first_chunk() -> None:
    with Board("a test", SPEC) as board:
        for _ in range(2):
            run(board, 12, 0.01, delay=0)
        state = until(
            lambda: (s := json.loads(get(board.url + "state")))["totals"]["ticks"] == 24 and s
        )
        assert [arrival["number"] for arrival in state["arrivals"]] == [0, 1]


def test_a_camera_may_have_any_name() -> None:
    with Board("a test", SPEC) as board:
        black = np.zeros((8, 8, 3), np.uint8)
        board._send(BoardImage(camera="left wrist/ü", image=black))  # noqa: SLF001 - as a tick does
        until(lambda: json.loads(get(board.url + "state"))["cameras"])
        assert get(board.url + "camera/left%20wrist%2F%C3%BC?7")[:2] == b"\xff\xd8"


def ask(board: Board, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    """Status and text of an answer; `Host` may be anything, "" for none."""
    address = urlsplit(board.url)
    connection = HTTPConnection(address.hostname or "", address.port or 0, timeout=5)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        if value:
            connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    with closing(connection), connection.getresponse() as answer:
        return answer.status, answer.read().decode(errors="replace")


@pytest.mark.parametrize("path", ["/", "/state", "/camera/ego"])
@pytest.mark.parametrize("host", ["evil.example:{port}", "127.0.0.1.evil.example", "[::1", ""])
def test_a_name_that_was_pointed_here_reads_nothing(page: Board, path: str, host: str) -> None:
    status, said = ask(page, path, Host=host.format(port=urlsplit(page.url).port))
    assert status == 403
    assert "as Host" in said


def test_localhost_and_a_tunnel_to_it_are_our_own(page: Board) -> None:
    for host in ("localhost:9000", "LOCALHOST", "127.0.0.1:1"):
        assert ask(page, "/state", Host=host)[0] == 200


def test_only_our_own_page_can_stop_the_body() -> None:
    with Board("a test", SPEC) as board:
        token = get(board.url).decode().split('"X-Takt-Token": "')[1].split('"')[0]
        own = board.url.rstrip("/")
        for headers, status, says in (
            ({"X_Takt_Token": "guessed"}, 403, "token"),
            ({"X_Takt_Token": token, "Origin": "http://evil.example"}, 403, "own page"),
            ({"X_Takt_Token": token, "Origin": "null"}, 403, "own page"),
            ({"X_Takt_Token": token, "Host": "evil.example"}, 403, "as Host"),
            ({"X_Takt_Token": token, "Origin": own}, 200, ""),
        ):
            found, said = ask(board, "/stop", "POST", **headers)
            assert found == status
            assert says in said
            assert run(board, 1).stops == 1
            assert board.stop_requested == (status == 200)
        assert run(board, 10_000).ticks == 0


def test_a_browser_that_hangs_up_leaves_no_trace(capfd: pytest.CaptureFixture[str]) -> None:
    reset = struct.pack("ii", 1, 0)
    with Board("a test", SPEC) as board:
        address = urlsplit(board.url)
        for _ in range(5):
            with socket.create_connection((address.hostname, address.port)) as browser:
                browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                browser.sendall(b"GET /state HTTP/1.1\r\nHost: ")
        assert ask(board, "/state")[0] == 200
    assert capfd.readouterr().err == ""


def test_a_page_that_died_costs_nothing() -> None:
    with Board("a test", SPEC) as board:
        board._process.kill()  # noqa: SLF001 - as kill -9 would
        board._process.wait()  # noqa: SLF001
        assert run(board, 60).ticks == 60
        assert board.dropped > 60


def test_a_port_that_is_taken_is_named() -> None:
    with Board("one", SPEC) as board:
        port = int(board.url.rsplit(":", 1)[1].rstrip("/"))
        with pytest.raises(BoardError, match="in use"):
            Board("two", SPEC, port=port)


class Browser:
    """A headless Chromium by its debugging protocol."""

    def __init__(self, program: str, folder: Path) -> None:
        self.process = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
             f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        port_file = folder / "DevToolsActivePort"
        port = until(lambda: port_file.exists() and port_file.read_text()).splitlines()[0]
        pages = until(lambda: json.loads(get(f"http://127.0.0.1:{port}/json/list")))
        page = next(page for page in pages if page["type"] == "page")
        self.open_sockets = ExitStack()
        self.socket = self.open_sockets.enter_context(
            connect(page["webSocketDebuggerUrl"], max_size=None)
        )

    def ask(self, method: str, **params: object) -> dict[str, Any]:
        self.socket.send(json.dumps({"id": 1, "method": method, "params": params}))
        while True:
            answer = json.loads(self.socket.recv(20))
            if answer.get("id") == 1:
                return answer["result"]

    def value(self, script: str) -> Any:
        asked = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        return asked["result"].get("value")

    def open(self, board: Board) -> None:
        self.ask("Page.navigate", url=board.url)
        until(lambda: self.value("document.querySelectorAll('.card').length") > 5)

    def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", **size)

    def close(self) -> None:
        self.open_sockets.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("the page is looked at with chromium, which is not installed")
    with closing(Browser(program, tmp_path_factory.mktemp("browser"))) as browser:
        yield browser


def test_in_a_browser_the_stop_button_asks_twice(browser: Browser) -> None:
    with Board("nut station · a test", SPEC) as board:
        run(board, 90, 0.002)
        browser.open(board)
        assert browser.value("document.querySelector('h1').textContent") == "nut station"
        until(lambda: browser.value("document.querySelectorAll('img').length") == 3)
        browser.value("drawTimeline = () => { throw new Error('a drawing fails') }")
        until(lambda: "cannot" in browser.value("byId('said').textContent"))
        browser.value("stop.click()")
        assert "again" in browser.value("stop.textContent")
        run(board, 3)
        assert not board.stop_requested
        browser.value("stop.click()")
        until(lambda: browser.value("stop.disabled"))
        assert run(board, 100).ticks == 1


RECORD_TEXT = """
  let cut = [], drawn = new Set();
  CanvasRenderingContext2D.prototype.fillText = function (said, x, y) {
    const box = this.measureText(said), canvas = this.canvas;
    drawn.add(String(said));
    if (x < box.actualBoundingBoxLeft || x + box.actualBoundingBoxRight > canvas.clientWidth ||
        y < box.actualBoundingBoxAscent || y + box.actualBoundingBoxDescent > canvas.clientHeight)
      cut.push(said);
  };
"""


def test_in_a_browser_no_text_is_cut(browser: Browser) -> None:
    with Board("nut station · a policy · Λ-prefix, executes 6 · wall clock", SPEC) as board:
        board.tell({"cycles": "100 of 100", "both sides": "100"})
        run(board, 400)
        browser.open(board)
        browser.value(RECORD_TEXT)
        for width, height in ((1280, 800), (800, 600)):
            browser.resize(width, height)
            browser.value("drawn.clear()")
            until(lambda: browser.value("drawn.has('now')"))
            assert browser.value("cut") == []
            assert browser.value("drawn.has('−10 s')")
            boxes = "[...document.querySelectorAll('.card, h1, button, section')]"
            wide = "map(box => box.textContent)"
            assert browser.value(f"{boxes}.filter(b => b.scrollWidth > b.clientWidth).{wide}") == []
            assert browser.value("document.documentElement.scrollWidth <= innerWidth")


TICK = {"chunk": 3, "held": False, "waiting": False, "authority": "policy", "causes": []}


@pytest.mark.parametrize(
    ("last", "silent_s", "word"),
    [
        ({}, 0, "Running"),
        ({"held": True, "waiting": True}, 0, "Stalled"),
        ({"held": True, "chunk": -1}, 0, "Starting"),
        ({"causes": ["step"]}, 0, "Limited"),
        ({"authority": "takeover"}, 0, "Human drives"),
        ({"authority": "assist", "causes": ["step"]}, 0, "Human assists"),
        ({}, 3, "No ticks"),
    ],
)
def test_in_a_browser_one_word_says_how_the_line_is(
    browser: Browser, page: Board, last: dict[str, object], silent_s: float, word: str
) -> None:
    if not browser.value("location.href").startswith(page.url):
        browser.ask("Page.navigate", url=page.url)
        until(lambda: browser.value("typeof lineState === 'function'"))
    ticks = [TICK | {"now": 4.0}, TICK | {"now": 5.0} | last]
    state = json.dumps({"stopping": False, "ticks": ticks})
    assert browser.value(f"lineState({state}, {silent_s})[1]") == word
