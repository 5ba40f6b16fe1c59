"""A small round of the fuzzing, and hypothesis in the place of its mutations."""

import random

import msgpack
import pytest
from fuzz_messages import good_messages
from fuzz_wire import fuzz_handler, fuzz_sockets
from hypothesis import given, settings
from hypothesis import strategies as st
from openpi_sides import EchoPolicy

from takt.embodiments.nut_station.spec import SPEC
from takt.runtime.server.scheduler import OnePerRobot, Scheduler
from takt.runtime.server.session import Session

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=9)
    | st.binary(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["takt", "kind", "number", "stamp", "observation", "images", "state"])
            | st.sampled_from([b"__ndarray__", b"__jpeg__", b"dtype", b"shape", b"data"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=6,
)


def test_mutations_are_answered_or_refused() -> None:
    found = fuzz_handler(random.Random(1), good_messages(), 1000)
    assert found["answered"] + found["refused"] == 1000
    assert found["answered"] > 10


def test_a_good_robot_is_served_beside_broken_ones() -> None:
    assert fuzz_sockets(random.Random(1), good_messages(), 30) == 2


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(Scheduler(OnePerRobot(factory=EchoPolicy)).take_seat(), SPEC)


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_whatever_the_types_there_is_an_answer(session: Session, value: object) -> None:
    assert session.answer(msgpack.packb(value) or b"")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_whatever_the_bytes_there_is_an_answer(session: Session, data: bytes) -> None:
    assert session.answer(data)
