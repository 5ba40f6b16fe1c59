"""The channel between two processes: nothing is lost, overwritten or left behind."""

import os
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import FakePolicy, FakeStation

from takt.runtime import shared_memory
from takt.runtime.inference import Inference
from takt.runtime.messages import Failed, Infer, Load, Reply, Request, message, parcel
from takt.runtime.shared_memory import (
    LENT_AT_MOST,
    SLOTS,
    Channel,
    Handles,
    MessageTooLargeError,
    Parcel,
    open_pair,
)
from takt.runtime.wire import WireError
from takt.types import Observation, TaktError

Ends = tuple[Channel, Channel]


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = open_pair()
    with Channel(ours) as parent, Channel(Handles.parse(str(theirs))) as child:
        yield parent, child


def image(value: int, side: int = 200) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


def sent(value: int) -> Parcel:
    return (("image",), (), [image(value)])


def test_every_message_arrives_as_it_was_sent(ends: Ends) -> None:
    parent, child = ends
    observation = FakeStation().observe()
    large = {name: image(7)[:, ::-1] for name in observation.images}  # not contiguous
    touch = np.arange(3, dtype=np.float32)
    chunk = FakePolicy().infer(observation, None)
    messages: list[Request | Reply] = [
        Load(factory="a:b", kwargs={"sizes": [1, 2], "name": None}),
        Infer(observation=observation, committed=None),
        Infer(observation=replace(observation, images=large, touch=touch), committed=chunk),
        Infer(observation=replace(observation, stamp=2.0), committed=chunk),
        Inference(chunk=chunk, compute_s=0.5),
        Failed(error="E", text="no torque"),
    ]
    for each in messages:
        parent.send(parcel(each))
        assert child.ready()
        got = message(child.receive())
        assert repr(got) == repr(each)
        assert not child.ready()


def test_images_are_seen_in_place_writable_and_never_overwritten(ends: Ends) -> None:
    parent, child = ends
    kept = []
    for value in range(3 * SLOTS):  # a policy that keeps every image it ever saw
        parent.send(sent(value))
        kept.append(child.receive()[2][0][::2])
    for value, array in enumerate(kept):
        assert (array == value).all()
        assert array.flags.writeable
    for value in range(SLOTS):  # what it kept last is its own copy: the channel goes on
        parent.send(sent(value))
        assert child.receive()[2][0][0, 0, 0] == value


def test_a_message_that_could_not_be_sent_spoils_no_later_one(ends: Ends) -> None:
    parent, child = ends
    other = (("other",), (), [image(2, 150)])
    for _ in range(SLOTS):
        parent.send(sent(1))
    with pytest.raises(TaktError, match="receive the answers first"):
        parent.send(other)
    for _ in range(SLOTS):
        child.receive()
    with pytest.raises(struct.error):
        parent.send((("other",), ("no number",), [image(2, 150)]))  # type: ignore[list-item]
    for expected in (other, sent(3), other):
        parent.send(expected)
        form, _, (got,) = child.receive()
        assert form == expected[0]
        np.testing.assert_array_equal(got, expected[2][0])


def test_a_dropped_image_frees_its_slot(ends: Ends) -> None:
    parent, child = ends
    addresses = set()
    for value in range(2 * LENT_AT_MOST):
        parent.send(sent(value))
        addresses.add(child.receive()[2][0].ctypes.data)
    assert len(addresses) == 1


def test_too_much_is_refused_and_the_channel_goes_on(ends: Ends, monkeypatch) -> None:
    parent, child = ends
    monkeypatch.setattr(shared_memory, "SLOT_BYTES", 2**20)
    with pytest.raises(MessageTooLargeError, match=r"at most 1 MiB, got \d MiB"):
        parent.send((("image",), (), [image(1, 1000)]))
    for value in range(SLOTS):
        parent.send(sent(value))
    with pytest.raises(TaktError, match="receive the answers first"):
        parent.send(sent(SLOTS))
    assert [child.receive()[2][0][0, 0, 0] for _ in range(SLOTS)] == list(range(SLOTS))


def test_the_death_of_the_other_end_is_news(ends: Ends) -> None:
    parent, child = ends
    child.send(sent(5))
    child.close()
    child.close()
    assert parent.receive()[2][0][0, 0, 0] == 5, "what was said before it died counts"
    assert parent.ready()
    with pytest.raises(EOFError):
        parent.receive()
    with pytest.raises(BrokenPipeError):
        parent.send(sent(6))


def test_silence_ends_at_the_deadline(ends: Ends) -> None:
    assert not ends[0].ready(0.01)


def test_nothing_is_left_behind() -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    def mapped() -> int:
        return Path("/proc/self/maps").read_text().count("memfd:takt")

    before = open_files()
    ours, theirs = open_pair()
    with Channel(ours) as parent, Channel(theirs) as child:
        parent.send(sent(3))
        kept = child.receive()[2][0]
    del parent, child
    assert open_files() == before + 1, "the memory of the image that is kept"
    assert (kept == 3).all()
    del kept
    assert open_files() == before
    assert mapped() == 0


@pytest.mark.parametrize("form", [(), ("infer",), ("plain", b"\xc1"), (3, 4)])
def test_a_foreign_parcel_is_refused(form: tuple[object, ...]) -> None:
    with pytest.raises(WireError, match="expected"):
        message((form, (), []))


def test_arrays_of_objects_are_refused(ends: Ends) -> None:
    parent, child = ends
    with pytest.raises(WireError, match="numbers"):
        parent.send(((), (), [np.array([None])]))
    assert not child.ready()


def test_unchecked_observations_are_complete(ends: Ends) -> None:
    parent, child = ends
    parent.send(parcel(Infer(observation=FakeStation().observe(), committed=None)))
    got = message(child.receive()).observation
    again = Observation(**{name: getattr(got, name) for name in Observation.__slots__})
    assert repr(again) == repr(got)
