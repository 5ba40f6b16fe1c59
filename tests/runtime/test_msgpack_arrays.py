"""Arrays on the wire: openpi's bytes, and nothing but numbers."""

import io

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from takt.runtime import msgpack_arrays
from takt.runtime.msgpack_arrays import Jpeg, encode_jpeg, pack, unpack
from takt.runtime.wire import WireError

# What openpi_client.msgpack_numpy.packb (0.1.2) makes of {"state": np.arange(2, dtype="<f4")}.
OPENPI_BYTES = (
    b"\x81\xa5state\x84\xc4\x0b__ndarray__\xc3\xc4\x04data\xc4\x08\x00\x00\x00\x00\x00\x00\x80?"
    b"\xc4\x05dtype\xa3<f4\xc4\x05shape\x91\x02"
)


def test_the_bytes_are_openpis() -> None:
    message = {"state": np.arange(2, dtype=np.float32)}
    assert pack(message) == OPENPI_BYTES
    np.testing.assert_array_equal(unpack(OPENPI_BYTES)["state"], message["state"])


@settings(max_examples=50, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from(["?", "u1", "i8", ">u2", "<f2", ">f4", "f8"]),
        arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    )
)
def test_arrays_come_back(array: np.ndarray) -> None:
    back = unpack(pack({"a": array}))["a"]
    np.testing.assert_array_equal(back, array)
    assert back.dtype.isnative
    assert back.dtype == array.dtype.newbyteorder("=")


def array_map(**changes: object) -> bytes:
    fields = {"__ndarray__": True, "dtype": "<f4", "shape": [2], "data": bytes(8)} | changes
    return bytes(
        msgpack.packb({"a": {key.encode(): value for key, value in fields.items()}}) or b""
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"dtype": "|O"},
        {"dtype": "|V8"},
        {"dtype": "<U2"},
        {"dtype": "<c8"},
        {"dtype": ["<f4"]},
        {"dtype": "<M8[s]"},
        {"shape": [3]},
        {"shape": [-2, -1]},
        {"shape": [1] * 9},
        {"shape": 2},
        {"shape": [True, 2]},
        {"shape": [2**40, 2**40]},
        {"data": "12345678"},
    ],
)
def test_other_arrays_are_refused(changes: dict[str, object]) -> None:
    assert unpack(array_map())["a"].shape == (2,)
    with pytest.raises(WireError):
        unpack(array_map(**changes))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x81\xa1a",
        b"\xdd\xff\xff\xff\xff",  # a list of four billion
        b"\xdd\x00\x10\x00\x00" * 500,  # a million places in each of 500 nested lists
        b"\x91" * 100_000,
        b"\xdc\x04\x00" + (b"\xdc\x04\x00" + b"\x80" * 1024) * 1024,  # a million maps
        b"\xdc\x04\x00" + (b"\xdc\x04\x00" + bytes(1024)) * 1024,  # a million numbers
        b"\xd4\x01\x00",  # an extension type
        b"\x81\xa1a\xa2\xff\xfe",  # no UTF-8
        b"\x82\xa1a\x01",
    ],
)
def test_junk_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        unpack(data)


def test_images_are_compressed_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.tile(np.arange(64, dtype=np.uint8)[:, None, None], (1, 48, 3))
    data = pack({"a": encode_jpeg(image, 90)})
    assert len(data) < image.nbytes / 3
    back = unpack(data)["a"]
    assert back.shape == image.shape
    assert np.abs(back.astype(int) - image).max() < 12
    with pytest.raises(WireError, match="JPEG"):
        unpack(data[:-200] + bytes(200))
    monkeypatch.setattr(msgpack_arrays, "MAX_PIXELS", 64 * 48)
    twice = pack({"a": encode_jpeg(image, 90), "b": encode_jpeg(image, 90)})
    with pytest.raises(WireError, match="pixels"):
        unpack(twice)


def test_an_image_that_is_drawn_a_thousand_times_is_refused() -> None:
    content = io.BytesIO()
    Image.new("RGB", (64, 64), "grey").save(content, "JPEG", progressive=True)
    image = content.getvalue()
    assert unpack(pack({"a": Jpeg(image)}))["a"].shape == (64, 64, 3)
    last = image[image.rindex(b"\xff\xda") : -2]
    with pytest.raises(WireError, match="scans"):
        unpack(pack({"a": Jpeg(image[:-2] + 1000 * last + image[-2:])}))
