"""A finished cycle as a video: the same seed and the same actions, seen by a larger camera."""

import io

import av

from takt.benchmarks.cycle import CycleBody, CycleRecord

CAMERA = "ego"
SIZE_PX = 320
STRIDE = 4  # control ticks per frame
SPEED = 2  # shown this many times faster than it happened
# Small and still sharp: the report carries its videos inside.
ENCODER_OPTIONS = {"crf": "27", "preset": "medium"}


def replay_video(body: CycleBody, record: CycleRecord) -> bytes:
    """H.264 mp4 of the recorded actions, `STRIDE` ticks a frame."""
    buffer = io.BytesIO()
    body.reset(record.seed)
    with av.open(buffer, "w", format="mp4") as container:
        rate = round(body.spec.rate_hz * SPEED / STRIDE)
        stream = container.add_stream("libx264", rate=rate, options=ENCODER_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = SIZE_PX, SIZE_PX, "yuv420p"
        stream.codec_context.thread_count = 1
        for tick, action in enumerate(record.actions):
            if tick % STRIDE == 0:
                image = body.render(CAMERA, SIZE_PX, SIZE_PX)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            body.act(action)
        container.mux(stream.encode())
    body.stop()
    return buffer.getvalue()
