"""A finished cycle as a video: the same seed and the same actions, seen by a larger camera."""

import io
import math
from dataclasses import dataclass

import av

from takt.benchmarks.cycle import CycleBody, CycleRecord

CAMERA = "ego"
SIZE_PX = 320
FRAME_HZ = 15
MAX_FRAMES = 300  # a long cycle is shown faster rather than longer: rendering is what costs
# Small and still sharp: the report carries its videos inside.
ENCODER_OPTIONS = {"crf": "27", "preset": "medium"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A cycle to watch: H.264 mp4, shown `speed` times faster than it happened."""

    title: str
    record: CycleRecord
    video: bytes
    speed: float


def replay(body: CycleBody, title: str, record: CycleRecord) -> Clip:
    """Execute the recorded actions again and film them."""
    rate_hz = body.spec.rate_hz
    stride = max(round(rate_hz / FRAME_HZ), math.ceil(len(record.actions) / MAX_FRAMES))
    buffer = io.BytesIO()
    body.reset(record.seed)
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAME_HZ, options=ENCODER_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = SIZE_PX, SIZE_PX, "yuv420p"
        stream.codec_context.thread_count = 1
        for tick, action in enumerate(record.actions):
            if tick % stride == 0:
                image = body.render(CAMERA, SIZE_PX, SIZE_PX)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            body.act(action)
        container.mux(stream.encode())
    body.stop()
    speed = stride * FRAME_HZ / rate_hz
    return Clip(title=title, record=record, video=buffer.getvalue(), speed=speed)
