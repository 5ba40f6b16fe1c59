"""A policy elsewhere is a policy like any other, and a lost server is waited for."""

import ssl
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import SPEC, BrokenPolicy, FakePolicy, FakeStation
from remote import FACTS, serve

from takt.runtime import client
from takt.runtime.chunking import LambdaPrefix
from takt.runtime.client import ConnectionLostError, RemotePolicy
from takt.runtime.client_connection import RefusedError, ServerConnection
from takt.runtime.clock import VirtualClock
from takt.runtime.executor import Executor
from takt.runtime.inference import InlinePolicy, PolicyError, PolicyWorker
from takt.runtime.latency import Injected
from takt.runtime.safety import Governor, step_limits
from takt.runtime.server.policy_server import PolicyServer
from takt.runtime.trace import Trace
from takt.types import ActionChunk, Observation


def at(server: PolicyServer) -> str:
    return f"ws://127.0.0.1:{server.port}"


def cycle(worker: PolicyWorker, seed: int) -> Trace:
    station = FakeStation()
    station.reset(seed)
    worker.reset(seed)
    executor = Executor(
        station,
        worker,
        LambdaPrefix(8, 3),
        clock=VirtualClock(SPEC.dt),
        latency=Injected(3),
        governor=Governor(SPEC.action_space, step_limits(SPEC)),
    )
    return executor.run(lambda: station.finished)


def test_the_same_trajectory_as_inline_and_all_is_committed_alike() -> None:
    far, near = FakePolicy(), FakePolicy()
    with serve(lambda: far) as server, RemotePolicy(at(server)) as worker:
        remote = cycle(worker, 5)
        assert worker.facts == FACTS
        assert abs(worker.clock.offset_s) <= worker.clock.round_trip_s  # one host, one clock
    inline = cycle(InlinePolicy(near), 5)
    np.testing.assert_array_equal(remote.actions, inline.actions)
    for ours, theirs in zip(far.committed, near.committed, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None:
            np.testing.assert_array_equal(ours.actions, theirs.actions)
            assert (ours.stamp, ours.dt) == (theirs.stamp, theirs.dt)
    assert far.observations[1].image_stamps == near.observations[1].image_stamps


def test_a_lost_server_is_not_ready_and_then_asked_again() -> None:
    observation = FakeStation().observe()
    first = serve()
    with RemotePolicy(at(first), give_up_s=20) as worker:
        worker.reset(3)
        worker.submit(observation, None)
        plan = worker.result().chunk
        first.close()
        began = time.perf_counter()
        worker.submit(observation, None)
        assert time.perf_counter() - began < 0.05
        time.sleep(0.3)
        assert not worker.ready()
        with serve(port=first.port):
            again = worker.result().chunk
    np.testing.assert_array_equal(plan.actions, again.actions)  # the episode began again


class Gate(FakePolicy):
    """Thinks until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go = threading.Event(), threading.Event()

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        self.asked.set()
        assert self.go.wait(20)
        return super().infer(observation, committed)


def test_an_inference_lost_in_flight_is_asked_again() -> None:
    gate = Gate()
    first = serve(lambda: gate)
    with RemotePolicy(at(first)) as worker:
        worker.reset(0)
        worker.submit(FakeStation().observe(), None)
        assert gate.asked.wait(10)
        threading.Timer(0.3, gate.go.set).start()
        first.close()
        with serve(port=first.port):
            assert worker.result().chunk.actions.shape == (16, len(SPEC.action_space.names))


def test_only_the_newest_observation_counts() -> None:
    gate = Gate()
    with serve(lambda: gate) as server, RemotePolicy(at(server)) as worker:
        worker.submit(FakeStation().observe(), None)
        assert gate.asked.wait(10)
        station = FakeStation()
        station.ticks = 9
        worker.submit(station.observe(), None)
        gate.go.set()
        assert worker.result().chunk.stamp == 9 * SPEC.dt


def test_a_policy_that_hangs_is_given_up_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_TIMEOUT_S", 0.2)
    gate = Gate()
    with serve(lambda: gate) as server, RemotePolicy(at(server), give_up_s=0.3) as worker:
        worker.reset(0)
        worker.submit(FakeStation().observe(), None)
        assert gate.asked.wait(10)
        assert not worker.ready()
        time.sleep(0.5)
        assert worker.ready()  # the control loop looks here only
        with pytest.raises(PolicyError, match=r"within 0.5 s, got none; does its policy hang"):
            worker.result()
        gate.go.set()


def test_closing_while_it_connects_waits_for_no_policy_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    met, go, gate = threading.Event(), threading.Event(), Gate()

    class Slow(ServerConnection):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            met.set()
            assert go.wait(10)

    first = serve()
    worker = RemotePolicy(at(first))
    worker.reset(0)
    monkeypatch.setattr(client, "ServerConnection", Slow)
    monkeypatch.setattr(gate, "reset", lambda seed: gate.go.wait(20))
    first.close()
    with serve(lambda: gate, port=first.port):
        assert met.wait(10)
        closing = threading.Thread(target=worker.close)
        closing.start()
        time.sleep(0.1)
        go.set()  # now it would begin the episode again
        closing.join(5)
        ended = not closing.is_alive()
        gate.go.set()
    assert ended


def test_a_server_that_stays_away_is_given_up_by_name() -> None:
    with RemotePolicy("ws://127.0.0.1:9", give_up_s=0.2) as worker:
        worker.submit(FakeStation().observe(), None)
        assert not worker.ready()
        time.sleep(0.3)
        assert worker.ready()
        with pytest.raises(ConnectionLostError, match="takt serve"):
            worker.result()
        with pytest.raises(ConnectionLostError):
            worker.reset(1)


def test_what_is_waited_for_is_told_once_and_once_that_it_is_there() -> None:
    told: list[str] = []
    first = serve()
    address = at(first)
    first.close()
    with RemotePolicy(address, give_up_s=20, tell=told.append) as worker:
        worker.submit(FakeStation().observe(), None)
        time.sleep(0.3)  # several attempts
        assert len(told) == 1
        assert f"no connection to {address}" in told[0]
        assert "refused" in told[0]
        assert "for 20 s: is `takt serve` running there, without --certificate?" in told[0]
        with serve(port=first.port):
            worker.result()
            assert told[1].startswith(f"connected to {address} after")
        deadline = time.monotonic() + 10
        while len(told) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)  # nothing is asked, and yet the end is noticed
    assert "no connection" in told[2]
    assert len(told) == 3, "closing is not losing"


@pytest.mark.parametrize(
    ("uri", "certificate", "says"),
    [
        ("ws://127.0.0.1:80000", None, "expected ws://HOST:PORT .* got 'ws://127.0.0.1:80000'"),
        ("ws:/robot", None, "expected ws://HOST:PORT"),
        ("wss://127.0.0.1:9", Path("/no/such.pem"), "certificate .* /no/such.pem.*No such file"),
        ("wss://127.0.0.1:9", Path(__file__), r"certificate .*test_client.py.*--certificate"),
    ],
)
def test_what_no_waiting_mends_is_refused_at_once(
    uri: str, certificate: Path | None, says: str
) -> None:
    refused = pytest.raises(RefusedError, match=says)
    with RemotePolicy(uri, certificate=certificate) as worker, refused:
        worker.reset(0)


def test_failures_keep_their_names() -> None:
    with serve(lambda: BrokenPolicy("refuse")) as server, RemotePolicy(at(server)) as worker:
        with pytest.raises(PolicyError, match="submit first"):
            worker.result()
        with pytest.raises(PolicyError, match="TaktError: not my body"):
            cycle(worker, 1)
        worker.reset(2)


def test_a_wrong_token_is_refused_at_once() -> None:
    with serve(token="right") as server:
        refused = pytest.raises(RefusedError, match="token")
        with RemotePolicy(at(server), token="wrong") as worker, refused:
            worker.reset(0)
        with RemotePolicy(at(server), token="right") as worker:
            worker.reset(0)


def test_images_may_be_compressed() -> None:
    policy = FakePolicy()
    seen = FakeStation().observe()
    smooth = {name: np.full_like(image, 90) for name, image in seen.images.items()}
    with serve(lambda: policy) as server, RemotePolicy(at(server), jpeg_quality=90) as worker:
        worker.submit(
            Observation(
                stamp=0.0,
                images=smooth,
                image_stamps=seen.image_stamps,
                state=seen.state,
                instruction="nut",
            ),
            None,
        )
        worker.result()
    (received,) = policy.observations
    for image in received.images.values():
        assert np.abs(image.astype(int) - 90).max() <= 2


def test_over_tls_only_with_a_trusted_certificate(certificate: tuple[Path, Path]) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate)
    with serve(tls=tls) as server:
        uri = f"wss://127.0.0.1:{server.port}"
        with RemotePolicy(uri, certificate=certificate[0]) as worker:
            assert len(cycle(worker, 1).actions) > 40
        with RemotePolicy(uri) as worker, pytest.raises(RefusedError, match="--certificate"):
            worker.reset(0)
