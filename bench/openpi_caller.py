"""Times the real openpi client, in an environment of its own: run by bench/transport_openpi.py.

    python openpi_caller.py PORT CALLS WARM_UP CAMERA,CAMERA,... PIXELS STATE_AXES

prints one JSON object: p50 and p99 of `infer` in microseconds, and the package's version.
"""

import importlib.metadata
import json
import sys
import time
from typing import Any

import numpy as np
from openpi_client.websocket_client_policy import (  # pyright: ignore[reportMissingImports]
    WebsocketClientPolicy,
)


def main(port: str, calls: str, warm_up: str, cameras: str, pixels: str, axes: str) -> None:
    """Ask, and time the answers."""
    draw = np.random.default_rng(0)
    size = (int(pixels), int(pixels), 3)
    observation: dict[str, Any] = {
        f"observation/images/{name}": draw.integers(0, 256, size, dtype=np.uint8)
        for name in cameras.split(",")
    }
    observation["observation/state"] = draw.normal(size=int(axes)).astype(np.float32)
    observation["prompt"] = "install the nuts on both sides"
    client = WebsocketClientPolicy("127.0.0.1", int(port))
    seconds = []
    for _ in range(int(warm_up) + int(calls)):
        began = time.perf_counter()
        reply = client.infer(observation)
        seconds.append(time.perf_counter() - began)
        assert np.array_equal(reply["actions"][0], observation["observation/state"])
    p50, p99 = 1e6 * np.percentile(seconds[int(warm_up) :], [50, 99])
    version = importlib.metadata.version("openpi-client")
    print(json.dumps({"p50_us": p50, "p99_us": p99, "client": version}))


if __name__ == "__main__":
    main(*sys.argv[1:])
