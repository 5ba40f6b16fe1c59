"""The policy server, spoken to as openpi's client and others do."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection
from typing import Any

import numpy as np
import pytest
from fakes import SPEC, BrokenPolicy, FakePolicy, FakeStation
from remote import openpi_observation, serve, wide
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from takt.runtime.msgpack_arrays import pack, unpack
from takt.runtime.server import peer
from takt.runtime.server.messages import Ask, Begin, encode_request
from takt.runtime.server.policy_server import PolicyServer, ServeError
from takt.runtime.server.scheduler import OneForAll
from takt.types import ActionChunk, Observation

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.fixture
def server() -> Iterator[PolicyServer]:
    with serve() as running:
        yield running


@contextlib.contextmanager
def join(server: PolicyServer, **headers: str) -> Iterator[ClientConnection]:
    """A robot that got the server's greeting."""
    uri = f"ws://127.0.0.1:{server.port}"
    with connect(uri, compression=None, additional_headers=headers, proxy=None) as robot:
        assert received(robot)["takt"]["embodiment"] == SPEC.name
        yield robot


def received(robot: ClientConnection) -> Any:
    """The next reply, unpacked unless it is text."""
    reply = robot.recv(timeout=10)
    return reply if isinstance(reply, str) else unpack(bytes(reply))


def ask(robot: ClientConnection, message: dict[str, Any]) -> Any:
    robot.send(pack(message))
    return received(robot)


def test_an_openpi_request_gets_actions_and_timing(server: PolicyServer) -> None:
    with join(server) as robot:
        reply = ask(robot, openpi_observation())
        assert reply["actions"].shape == (16, len(SPEC.action_space.names))
        assert reply["actions"].dtype == np.float32
        assert reply["server_timing"]["infer_ms"] > 0
        assert set(reply) == {"actions", "server_timing"}


def test_keys_may_be_nested_and_the_prompt_left_out(server: PolicyServer) -> None:
    flat = openpi_observation()
    images = {key.rpartition("/")[2]: value for key, value in flat.items() if "images" in key}
    with join(server) as robot:
        nested = ask(robot, {"observation": {"images": images, "state": wide(0)}})
        short = ask(
            robot, {f"images/{name}": image for name, image in images.items()} | {"state": wide(0)}
        )
    assert nested["actions"].shape == short["actions"].shape


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"observation/state": np.zeros(3, np.float32)}, "WireError: expected a state of 14 axes"),
        ({"observation/state": wide(np.nan)}, "finite"),
        ({"observation/images/ego": np.zeros((3, 8, 8), np.uint8)}, "image 'ego'.*uint8"),
        ({"observation/wrist": 1}, "rename the cameras"),
        ({"prompt": 3}, "text as 'prompt'"),
        ({"prompt": "x" * 5000}, "at most 4096 characters as 'prompt'"),
    ],
)
def test_what_does_not_fit_is_named_and_the_robot_stays(
    server: PolicyServer, change: dict[str, Any], says: str
) -> None:
    with join(server) as robot:
        with pytest.raises(AssertionError, match=says):
            raise AssertionError(ask(robot, openpi_observation() | change))
        robot.send("text")
        assert "msgpack" in str(robot.recv())
        robot.send(b"\xc1")
        assert "WireError" in str(robot.recv())
        assert "actions" in ask(robot, openpi_observation())


def test_a_failing_policy_is_named_without_its_traceback() -> None:
    with serve(lambda: BrokenPolicy("raise")) as server, join(server) as robot:
        replies = [ask(robot, openpi_observation()) for _ in range(3)]
    assert replies[2] == "PolicyError: the policy failed with ZeroDivisionError: no torque"


def test_health_needs_no_token_and_policies_do() -> None:
    with serve(token="pass") as server:
        http = HTTPConnection("127.0.0.1", server.port)
        http.request("GET", "/healthz")
        answer = http.getresponse()
        assert (answer.status, answer.read()) == (200, b"OK\n")
        for shown in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "pass"}):
            with pytest.raises(InvalidStatus, match="401"), join(server, **shown):
                pass
        for shown in ("Bearer pass", "Api-Key pass"):
            with join(server, Authorization=shown) as robot:
                assert "actions" in ask(robot, openpi_observation())


def test_a_web_page_is_no_robot(server: PolicyServer) -> None:
    with pytest.raises(InvalidStatus, match="403"), join(server, Origin="http://example.com"):
        pass


def test_a_system_without_threads_is_waited_for(
    server: PolicyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as none_left:
        none_left.setattr(threading.Thread, "start", refuse)
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as robot:
            assert robot.recv(1) == b""
    with join(server) as robot:
        assert "actions" in ask(robot, openpi_observation())


def test_a_message_too_large_ends_the_connection_with_its_reason(server: PolicyServer) -> None:
    with join(server) as robot:
        with contextlib.suppress(ConnectionClosed):  # the server stops reading at the header
            robot.send(bytes((32 << 20) + 1))
        with pytest.raises(ConnectionClosed) as closed:
            robot.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
    with join(server) as robot:
        assert "actions" in ask(robot, openpi_observation())


def test_a_message_may_come_in_pieces_with_pings_between(server: PolicyServer) -> None:
    data = pack(openpi_observation())
    with join(server) as robot:
        robot.send(data[i : i + 100] for i in range(0, len(data), 100))
        assert "actions" in received(robot)
        assert robot.ping().wait(5)


def test_no_more_robots_than_seats_and_seats_come_back(server: PolicyServer) -> None:
    full = pytest.raises(InvalidStatus, match="503")
    with join(server), join(server), full, join(server):
        pass
    deadline = time.monotonic() + 5
    while True:
        try:
            with join(server):
                return
        except InvalidStatus:
            assert time.monotonic() < deadline


def test_a_robot_that_comes_back_takes_its_own_seat() -> None:
    name = {"X-Takt-Robot": "a"}
    with serve() as server, join(server, **name) as lost, join(server) as other:
        with join(server, **name) as back:
            assert "actions" in ask(back, openpi_observation())
        assert "actions" in ask(other, openpi_observation())
        with pytest.raises(ConnectionClosed):
            lost.recv(timeout=5)


def test_raw_sockets_cannot_hold_it_up(server: PolicyServer) -> None:
    for data in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + bytes(200), b"x" * 50_000):
        with socket.create_connection(("127.0.0.1", server.port)) as stranger:
            stranger.sendall(data)
    silent = socket.create_connection(("127.0.0.1", server.port))
    with silent, join(server) as robot:
        assert "actions" in ask(robot, openpi_observation())


def test_the_silent_are_pinged_and_the_dead_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "SILENCE_S", 0.1)
    with serve() as server, join(server) as thoughtful:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as dead:
            dead.sendall(HANDSHAKE)
            while dead.recv(1 << 16):  # the greeting, pings, the goodbye
                pass
        assert "actions" in ask(thoughtful, openpi_observation())


class SlowBatches:
    """Remembers how many robots it planned for at once."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def infer_batch(
        self, observations: Sequence[Observation], committed: Sequence[ActionChunk | None]
    ) -> list[ActionChunk]:
        self.sizes.append(len(observations))
        time.sleep(0.05)
        if any(seen.instruction == "fail" for seen in observations):
            raise ValueError("bad robot")
        return [FakePolicy().infer(seen, None) for seen in observations]


def test_robots_that_wait_are_planned_for_together_and_fail_alone() -> None:
    policy = SlowBatches()
    replies: dict[str, list[Any]] = {prompt: [] for prompt in ("a", "b", "fail")}

    def drive(prompt: str) -> None:
        with join(server) as robot:
            for _ in range(4):
                replies[prompt].append(ask(robot, openpi_observation() | {"prompt": prompt}))

    with serve(OneForAll(policy=policy, robots=3, batch=2)) as server:
        robots = [threading.Thread(target=drive, args=(prompt,)) for prompt in replies]
        for robot in robots:
            robot.start()
        for robot in robots:
            robot.join()
    assert max(policy.sizes) == 2
    assert all("actions" in reply for prompt in "ab" for reply in replies[prompt])
    assert {"PolicyError: the policy failed with ValueError: bad robot"} == set(replies["fail"])


class SlowPolicy(FakePolicy):
    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        time.sleep(1.5)
        return super().infer(observation, committed)


def test_pings_are_answered_while_the_policy_thinks() -> None:
    with serve(SlowPolicy) as server, join(server) as robot:
        robot.send(pack(openpi_observation()))
        assert robot.ping().wait(1.2)
        assert "actions" in received(robot)


def test_every_robot_has_its_own_episode() -> None:
    def plan(robot: ClientConnection) -> np.ndarray:
        robot.send(encode_request(Ask(number=1, observation=observation, committed=None)))
        return received(robot)["actions"]

    def begin(robot: ClientConnection, seed: int) -> None:
        robot.send(encode_request(Begin(number=1, seed=seed)))
        assert received(robot)["takt"]["in_reply_to"] == 1

    observation = FakeStation().observe()
    with serve() as server, join(server) as one, join(server) as other:
        for robot in (one, other):
            begin(robot, 7)
        first, second = plan(one), plan(one)
        np.testing.assert_array_equal(plan(other), first)
        begin(one, 7)
        np.testing.assert_array_equal(plan(one), first)
        np.testing.assert_array_equal(plan(other), second)
        assert not np.array_equal(first, second)


def test_a_taken_port_is_an_error(server: PolicyServer) -> None:
    with pytest.raises(ServeError, match=f"{server.port}.*another --port"):
        serve(port=server.port)


def test_closing_says_goodbye_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    server = serve()
    with join(server) as robot:
        server.close()
        with pytest.raises(ConnectionClosed) as closed:
            robot.recv(timeout=5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    deadline = time.monotonic() + 10  # it was told to end; a loaded host takes its time
    while any(thread.name.startswith("takt") for thread in {*threading.enumerate()} - before):
        assert time.monotonic() < deadline
        time.sleep(0.01)
