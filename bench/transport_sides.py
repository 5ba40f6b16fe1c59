"""The two ways to ask an echo server in another process: shared memory, websocket and msgpack.

Either carries a dictionary of arrays and a prompt there, and a dictionary of actions back. The
websocket side is openpi's: `websockets`' synchronous client, and openpi's server loop.
"""

import contextlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Protocol

import msgpack
import numpy as np
import openpi_loop
import websockets.sync.client as ws_client
from echo import AXES, Echo, EchoPolicy

from takt.runtime.policy_process import PolicyProcess
from takt.runtime.real_time import real_time
from takt.runtime.shared_memory import Channel, Handles, Parcel, open_pair
from takt.types import Observation

PROMPT = "install the nuts on both sides"
Arrays = Mapping[str, np.ndarray]


class Side(Protocol):
    """A client whose server runs in a process of its own."""

    def round_trip(self) -> np.ndarray:
        """Its request there, actions (horizon, axis) float32 back."""
        ...

    def close(self) -> None:
        """End the server."""


def make_request(cameras: int, pixels: int) -> dict[str, np.ndarray]:
    """Images (height, width, 3) uint8 by name, and "state" (axis,) float32."""
    draw = np.random.default_rng(0)
    images = {
        f"camera_{number}": draw.integers(0, 256, (pixels, pixels, 3)).astype(np.uint8)
        for number in range(cameras)
    }
    return images | {"state": draw.normal(size=AXES).astype(np.float32)}


class SharedMemory:
    """Takt's channel, carrying dictionaries."""

    def __init__(self, request: Arrays) -> None:
        """Start the server."""
        self._request = request
        ours, theirs = open_pair()
        self._channel = Channel(ours)
        self._server = _start("serve_channel", str(theirs), pass_fds=astuple(theirs))
        theirs.close()

    def round_trip(self) -> np.ndarray:
        """One request, waited for with a deadline."""
        request = self._request
        self._channel.send(((PROMPT, *request), (), [*request.values()]))
        if not self._channel.ready(10.0):
            raise TimeoutError
        names, _, arrays = self._channel.receive()
        return dict(zip(names, arrays, strict=True))["actions"]

    def close(self) -> None:
        """End the server."""
        self._channel.close()
        self._server.wait()


def serve_channel(handles: str) -> None:
    """Echo until the client hangs up."""
    echo = Echo()
    with Channel(Handles.parse(handles)) as channel:
        while True:
            try:
                channel.send(_answer(echo, channel.receive()))
            except (EOFError, BrokenPipeError):
                return


def _answer(echo: Echo, request: Parcel) -> Parcel:
    (_, *names), _, arrays = request
    return ("actions",), (), [echo(dict(zip(names, arrays, strict=True))["state"])]


class Process:
    """All of `PolicyProcess`: observations in, plans out, as the executor uses it."""

    def __init__(self, request: Arrays) -> None:
        """Start the policy."""
        images = {name: array for name, array in request.items() if name != "state"}
        self._observation = Observation(
            stamp=0.0,
            images=images,
            image_stamps=dict.fromkeys(images, 0.0),
            state=request["state"],
            instruction=PROMPT,
        )
        self._worker = PolicyProcess("transport_sides:HurriedPolicy", {})
        self._worker.reset(0)

    def round_trip(self) -> np.ndarray:
        """One inference."""
        self._worker.submit(self._observation, None)
        return self._worker.result().chunk.actions

    def close(self) -> None:
        """End the policy."""
        self._worker.close()


class HurriedPolicy(EchoPolicy):
    """At real-time priority from its first episode on."""

    def __init__(self) -> None:
        """The priority comes later."""
        super().__init__()
        self._priority = contextlib.ExitStack()

    def reset(self, seed: int) -> None:
        """Take the priority."""
        self._priority.enter_context(real_time())


class Websocket:
    """As openpi's `WebsocketClientPolicy` asks."""

    def __init__(self, request: Arrays) -> None:
        """Start the server and connect."""
        self._request = request
        self._server = _start("serve_openpi", "state", stdout=subprocess.PIPE)
        assert self._server.stdout is not None
        port = int(self._server.stdout.readline())
        address = f"ws://127.0.0.1:{port}"
        self._open = contextlib.ExitStack()
        self._socket = self._open.enter_context(
            ws_client.connect(address, compression=None, max_size=None)
        )
        self._socket.recv()  # the greeting
        self._pack = msgpack.Packer(default=openpi_loop.pack_array).pack

    def round_trip(self) -> np.ndarray:
        """One request."""
        self._socket.send(self._pack({"prompt": PROMPT, **self._request}))
        return openpi_loop.unpack(self._socket.recv())["actions"]

    def close(self) -> None:
        """End the server."""
        self._open.close()
        self._server.kill()
        self._server.communicate()


def _start(
    serve: str, *arguments: str, pass_fds: Sequence[int] = (), stdout: int | None = None
) -> subprocess.Popen[bytes]:
    """This file as a server."""
    command = [sys.executable, __file__, serve, *arguments]
    return subprocess.Popen(command, pass_fds=pass_fds, stdout=stdout)


if __name__ == "__main__" and len(sys.argv) > 1:  # `make bench` calls every file without
    SERVERS = {"serve_channel": serve_channel, "serve_openpi": openpi_loop.serve}
    with real_time():
        SERVERS[sys.argv[1]](*sys.argv[2:])
