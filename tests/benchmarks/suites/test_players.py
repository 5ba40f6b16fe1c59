"""A server's policy plays only what it is for; a message says how to serve it."""

from dataclasses import replace
from typing import Any

import pytest
from fake_suite import SPEC, Line, Track

from takt.benchmarks.suites import players
from takt.benchmarks.suites.aloha import Aloha
from takt.benchmarks.suites.calvin import Calvin
from takt.benchmarks.suites.libero import Libero
from takt.benchmarks.suites.metaworld import Metaworld
from takt.benchmarks.suites.players import Served, take_seat
from takt.benchmarks.suites.registry import body_of
from takt.benchmarks.suites.simpler import Simpler
from takt.benchmarks.suites.suite import Suite, SuiteError
from takt.embodiments import embodiment_spec
from takt.runtime.server.replies import ServerFacts

PLAYER = Served(uri="ws://host:1", body="fake_suite:SPEC")
FACTS = ServerFacts(
    policy="hold",
    embodiment="line",
    rate_hz=SPEC.rate_hz,
    cameras=(),
    state=SPEC.state_names,
    actions=SPEC.action_space.names,
    max_message_bytes=1,
    horizon=4,
    execute=2,
    max_prefix=0,
    prefix_time="chunk",
)


class Server:
    """A connection to a server that only says what it is."""

    facts = FACTS

    def __init__(self, uri: str) -> None: ...

    def reset(self, seed: int) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({}, ""),
        ({"actions": ("dy",)}, "--body fake_suite:SPEC"),
        ({"state": ("x", "y")}, "--body fake_suite:SPEC"),
        ({"cameras": ("top",)}, "--body fake_suite:SPEC"),
        ({"rate_hz": 3.0}, "--body fake_suite:SPEC"),
        ({"horizon": 0, "execute": 0}, "serve a checkpoint"),
    ],
)
def test_a_server_of_another_body_is_refused(
    monkeypatch: pytest.MonkeyPatch, other: dict[str, Any], says: str
) -> None:
    monkeypatch.setattr(players, "RemotePolicy", Server)
    monkeypatch.setattr(Server, "facts", replace(FACTS, **other))
    trial = Line().trials()[0]
    if not says:
        assert take_seat(PLAYER, Track(Line()), trial).chunking.execute == 2
        return
    with pytest.raises(SuiteError, match=says):
        take_seat(PLAYER, Track(Line()), trial)


@pytest.mark.parametrize(
    ("suite", "body"),
    [
        (Aloha(), "aloha"),
        (Calvin(), "calvin"),
        (Libero(), "libero"),
        (Metaworld(), "metaworld"),
        (Simpler(), "simpler-widowx"),
        (Simpler(protocol="va"), "simpler-google"),
    ],
)
def test_the_body_of_a_suite_can_be_served(suite: Suite, body: str) -> None:
    assert embodiment_spec(body_of(suite)).name == body
