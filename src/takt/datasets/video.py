"""Encoding and decoding of camera streams (PyAV)."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from takt.datasets.errors import (
    CameraMismatchError,
    CorruptFileError,
    MissingVideoError,
    RateMismatchError,
)

CODEC = "libx264"
PIXEL_FORMAT = "yuv420p"
# Every second frame is a key frame, so that random access decodes two frames at most; without
# B-frames stored order is time order. At 64 px, quality costs little space.
GOP = 2
CRF = 16
ENCODER_OPTIONS = {"crf": str(CRF), "g": str(GOP), "bf": "0"}

# PyAV's own conversion starts a thread per core for each frame: four times the time at 64 px.
REFORMAT_THREADS = 1

# Frames before a key frame may need the key frame before it, and seeking goes by the order in
# which frames are stored: where a clip's first ones are not found, decoding begins earlier.
_BACK_S = (0.0, 10.0, math.inf)

# A stored time may be a rounded sum of frame lengths; real neighbours are at least 8 ms apart.
TOLERANCE_S = 1e-3


def encode(frames: np.ndarray, rate_hz: float, file: IO[bytes]) -> None:
    """(tick, height, width, 3) uint8 RGB as an H.264 mp4; frame i is shown at i / rate_hz.

    Frame by frame, so that mapped ones need not fit into memory.
    """
    _, height, width, _ = frames.shape
    with av.open(file, "w", format="mp4") as container:
        rate = Fraction(rate_hz).limit_denominator(1001)
        stream = container.add_stream(CODEC, rate=rate, options=ENCODER_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = width, height, PIXEL_FORMAT
        stream.codec_context.thread_count = 1
        reformatter = VideoReformatter()
        for image in frames:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(_reformat(reformatter, frame, PIXEL_FORMAT)))
        container.mux(stream.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """The part of a video that holds `episode`: frame i is shown at start_s + i / rate_hz.

    `height`, `width` (pixels) and `rate_hz` are what info.json promises.
    """

    path: Path
    episode: int
    start_s: float
    count: int
    height: int
    width: int
    rate_hz: float

    def tick(self, shown_s: float) -> int | None:
        """Which frame is shown at that time; None for one between frames."""
        if not math.isfinite(shown_s):
            return None
        tick = round((shown_s - self.start_s) * self.rate_hz)
        exact = abs(shown_s - self.start_s - tick / self.rate_hz) <= TOLERANCE_S
        return tick if exact else None


def decode(clip: Clip) -> np.ndarray:
    """Decode a clip in one sequential pass.

    Returns:
        (count, height, width, 3) uint8 RGB.

    Raises:
        MissingVideoError, CorruptFileError, CameraMismatchError, RateMismatchError
    """
    frames = np.empty((clip.count, clip.height, clip.width, 3), np.uint8)
    found, reformatter = np.zeros(clip.count, bool), VideoReformatter()
    for back_s in _BACK_S:
        for tick, frame in _shown(clip, back_s):
            frames[tick] = _reformat(reformatter, frame, "rgb24").to_ndarray()
            found[tick] = True
        if found.all() or back_s >= clip.start_s:
            break
    _expect_all(found, clip)
    return frames


def _shown(clip: Clip, back_s: float) -> Iterator[tuple[int, VideoFrame]]:
    """The clip's sound frames in order, decoded from the key frame `back_s` before it on."""
    with _opened(clip, back_s) as (container, stream):
        for frame in container.decode(stream):
            tick = clip.tick(_seconds(frame.pts, stream))
            if tick is None or tick < 0 or frame.is_corrupt:
                continue
            if tick >= clip.count:
                break
            yield tick, frame


def check(clip: Clip) -> None:
    """Look for every frame of a clip without decoding it; raises as `decode` does."""
    found = np.zeros(clip.count, bool)
    end_s = clip.start_s + clip.count / clip.rate_hz
    with _opened(clip) as (container, stream):
        for packet in container.demux(stream):
            if packet.dts is not None and _seconds(packet.dts, stream) > end_s:
                break
            tick = None if packet.is_corrupt else clip.tick(_seconds(packet.pts, stream))
            if tick is not None and 0 <= tick < clip.count:
                found[tick] = True
    _expect_all(found, clip)


def _reformat(reformatter: VideoReformatter, frame: VideoFrame, pixels: str) -> VideoFrame:
    return reformatter.reformat(frame, format=pixels, threads=REFORMAT_THREADS)


def _seconds(stamp: int | None, stream: VideoStream) -> float:
    """A frame without a time belongs nowhere."""
    if stamp is None or stream.time_base is None:
        return -math.inf
    return float(stamp * stream.time_base)


@contextlib.contextmanager
def _opened(clip: Clip, back_s: float = 0.0) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The video, checked, at the key frame `back_s` before the clip; FFmpeg's errors are named."""
    if not clip.path.is_file():
        raise MissingVideoError(
            clip.path, "expected a video here, found none; copy the dataset again"
        )
    try:
        with av.open(str(clip.path)) as container:
            if not container.streams.video:
                raise CorruptFileError(clip.path, "expected a video stream, found none")
            stream = container.streams.video[0]
            _expect_format(stream, clip)
            if clip.start_s > back_s and stream.time_base is not None:
                start = int((clip.start_s - back_s + TOLERANCE_S) / stream.time_base)
                container.seek(start, stream=stream)
            yield container, stream
    except (FFmpegError, OSError, ValueError) as error:
        raise CorruptFileError(
            clip.path, f"not readable as a video, damaged ({error}); copy the file again"
        ) from error


def _expect_format(stream: VideoStream, clip: Clip) -> None:
    if (stream.height, stream.width) != (clip.height, clip.width):
        raise CameraMismatchError(
            clip.path,
            f"expected {clip.height} x {clip.width} (height x width, info.json), "
            f"the video is {stream.height} x {stream.width}",
        )
    rate = stream.average_rate
    if rate is not None and abs(float(rate) - clip.rate_hz) > 0.01 * clip.rate_hz:
        raise RateMismatchError(
            clip.path,
            f"expected {clip.rate_hz:g} fps (info.json), the video runs at {float(rate):g} fps",
        )


def _expect_all(found: np.ndarray, clip: Clip) -> None:
    if not found.all():
        missing = int(np.argmin(found))
        raise CorruptFileError(
            clip.path,
            f"expected a sound frame at {clip.start_s + missing / clip.rate_hz:.4f} s, found none "
            f"({int(found.sum())} of {clip.count} are there): truncated, damaged, or of another "
            "dataset; copy the file again",
            clip.episode,
            missing,
        )
