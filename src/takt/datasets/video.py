"""Encoding and decoding of camera streams (PyAV)."""

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from takt.datasets.errors import (
    CameraMismatchError,
    CorruptFileError,
    MissingVideoError,
    RateMismatchError,
)

CODEC = "libx264"
PIXEL_FORMAT = "yuv420p"
# Every second frame is a key frame, so that random access decodes two frames at most; no B-frames,
# so that stored order is time order. At 64 px, quality costs little space.
GOP = 2
CRF = 16
ENCODER_OPTIONS = {"crf": str(CRF), "g": str(GOP), "bf": "0"}

# A stored time may be a rounded sum of frame lengths; real neighbours are at least 8 ms apart.
TOLERANCE_S = 1e-3


def encode(frames: np.ndarray, rate_hz: float) -> bytes:
    """Encode (tick, height, width, 3) uint8 RGB as an H.264 mp4; frame i is shown at i / rate_hz."""
    buffer = io.BytesIO()
    _, height, width, _ = frames.shape
    with av.open(buffer, "w", format="mp4") as container:
        rate = Fraction(rate_hz).limit_denominator(1001)
        stream = container.add_stream(CODEC, rate=rate, options=ENCODER_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = width, height, PIXEL_FORMAT
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def check(path: Path, height: int, width: int, rate_hz: float) -> None:
    """Open a video and compare its size and rate with what the dataset promises, decoding nothing."""
    with _opened(path) as container:
        _expect(container.streams.video[0], path, height, width, rate_hz)


def decode(
    path: Path, *, start_s: float, count: int, height: int, width: int, rate_hz: float
) -> np.ndarray:
    """Decode the frames shown at start_s + i / rate_hz for i < count, in one sequential pass.

    Returns:
        (count, height, width, 3) uint8 RGB.

    Raises:
        MissingVideoError, CorruptFileError, CameraMismatchError, RateMismatchError
    """
    frames = np.empty((count, height, width, 3), np.uint8)
    found = np.zeros(count, bool)
    with _opened(path) as container:
        stream = container.streams.video[0]
        _expect(stream, path, height, width, rate_hz)
        for shown_s, frame in _frames_from(container, stream, start_s, path):
            tick = round((shown_s - start_s) * rate_hz)
            if tick >= count:
                break
            if tick >= 0 and abs(shown_s - start_s - tick / rate_hz) <= TOLERANCE_S:
                frames[tick] = frame.to_ndarray(format="rgb24")
                found[tick] = True
    if not found.all():
        tick = int(np.argmin(found))
        raise CorruptFileError(
            path,
            f"expected a frame at {start_s + tick / rate_hz:.4f} s, the video has none; "
            f"{int(found.sum())} of {count} frames found: it is truncated or belongs to another dataset",
        )
    return frames


def _opened(path: Path) -> InputContainer:
    if not path.is_file():
        raise MissingVideoError(path, "expected a video here, found none; copy the dataset again")
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise CorruptFileError(path, f"not readable as a video ({error}); copy the file again") from error
    if not container.streams.video:
        container.close()
        raise CorruptFileError(path, "expected a video stream, found none")
    return container


def _expect(stream: VideoStream, path: Path, height: int, width: int, rate_hz: float) -> None:
    if (stream.height, stream.width) != (height, width):
        raise CameraMismatchError(
            path,
            f"expected {height} x {width} (height x width, info.json), "
            f"the video is {stream.height} x {stream.width}",
        )
    rate = stream.average_rate
    if rate is not None and abs(float(rate) - rate_hz) > 0.01 * rate_hz:
        raise RateMismatchError(
            path, f"expected {rate_hz:g} fps (info.json), the video runs at {float(rate):g} fps"
        )


def _frames_from(
    container: InputContainer, stream: VideoStream, start_s: float, path: Path
) -> Iterator[tuple[float, av.VideoFrame]]:
    """Frames with their time in seconds, from the key frame at or before `start_s`."""
    if stream.time_base is None:
        raise CorruptFileError(path, "the video has no time base")
    try:
        if start_s > 0:
            container.seek(int((start_s + TOLERANCE_S) / stream.time_base), stream=stream)
        for frame in container.decode(stream):
            if frame.pts is not None:
                yield float(frame.pts * stream.time_base), frame
    except (av.FFmpegError, OSError) as error:
        raise CorruptFileError(path, f"the video is damaged ({error}); copy the file again") from error
