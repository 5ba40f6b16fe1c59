"""The two ways to ask an echo server in another process: shared memory, websocket and msgpack.

Either carries a dictionary of arrays and a prompt there, and a dictionary of actions back. The
websocket side is written as openpi's client and server are: `websockets`' synchronous client,
its asyncio server without compression, arrays in msgpack as their bytes, dtype and shape.
"""

import asyncio
import contextlib
import functools
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any, Protocol

import msgpack
import numpy as np
import websockets.asyncio.server as ws_server
import websockets.sync.client as ws_client
from websockets.exceptions import ConnectionClosed

from takt.runtime.policy_process import PolicyProcess
from takt.runtime.real_time import real_time
from takt.runtime.shared_memory import Channel, Handles, Parcel, open_pair
from takt.types import ActionChunk, Observation

PROMPT = "install the nuts on both sides"
HORIZON, AXES = 30, 14
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


class Echo:
    """What every server computes: its chunk begins with the state it was sent."""

    def __init__(self) -> None:
        """One chunk, used again and again."""
        self.actions = np.zeros((HORIZON, AXES), np.float32)

    def __call__(self, state: np.ndarray) -> np.ndarray:
        """Actions (horizon, axis) float32."""
        self.actions[0] = state
        return self.actions


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
        self._worker = PolicyProcess("transport_sides:EchoPolicy", {})
        self._worker.reset(0)

    def round_trip(self) -> np.ndarray:
        """One inference."""
        self._worker.submit(self._observation, None)
        return self._worker.result().chunk.actions

    def close(self) -> None:
        """End the policy."""
        self._worker.close()


class EchoPolicy:
    """The echo as a policy, at real-time priority from its first episode on."""

    def __init__(self) -> None:
        """Its one chunk is made here: checking it costs more than carrying it."""
        self._echo = Echo()
        self._chunk = ActionChunk(stamp=0.0, dt=1 / 30, actions=self._echo.actions)
        self._priority = contextlib.ExitStack()

    def reset(self, seed: int) -> None:
        """Take the priority."""
        self._priority.enter_context(real_time())

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        """The chunk, which begins with the state."""
        self._echo(observation.state)
        return self._chunk


class Websocket:
    """As openpi's `WebsocketClientPolicy` asks."""

    def __init__(self, request: Arrays) -> None:
        """Start the server and connect."""
        self._request = request
        self._server = _start("serve_websocket", stdout=subprocess.PIPE)
        assert self._server.stdout is not None
        port = int(self._server.stdout.readline())
        address = f"ws://127.0.0.1:{port}"
        self._open = contextlib.ExitStack()
        self._socket = self._open.enter_context(
            ws_client.connect(address, compression=None, max_size=None)
        )
        self._pack = msgpack.Packer(default=_pack_array).pack

    def round_trip(self) -> np.ndarray:
        """One request."""
        self._socket.send(self._pack({"prompt": PROMPT, **self._request}))
        return _unpack(self._socket.recv())["actions"]

    def close(self) -> None:
        """End the server."""
        self._open.close()
        self._server.kill()
        self._server.communicate()


def serve_websocket() -> None:
    """Echo as openpi's `WebsocketPolicyServer` does, until killed."""
    asyncio.run(_serve_websocket())


async def _serve_websocket() -> None:
    async with ws_server.serve(_handle, "127.0.0.1", 0, compression=None, max_size=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await server.serve_forever()


async def _handle(socket: ws_server.ServerConnection) -> None:
    echo, pack = Echo(), msgpack.Packer(default=_pack_array).pack
    while True:
        try:
            request = _unpack(await socket.recv())
            began = time.monotonic()
            reply: dict[str, Any] = {"actions": echo(request["state"])}
            reply["server_timing"] = {"infer_ms": (time.monotonic() - began) * 1e3}
            await socket.send(pack(reply))
        except ConnectionClosed:
            return


def _pack_array(value: object) -> dict[bytes, object]:
    if not isinstance(value, np.ndarray):
        raise TypeError(f"expected an array, got {type(value).__name__}")
    dtype = value.dtype.str
    return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": dtype, b"shape": value.shape}


def _unpack_array(value: dict[Any, Any]) -> Any:  # noqa: ANN401
    if b"__ndarray__" not in value:
        return value
    return np.ndarray(value[b"shape"], np.dtype(value[b"dtype"]), value[b"data"])


_unpack = functools.partial(msgpack.unpackb, object_hook=_unpack_array)


def _start(
    serve: str, *arguments: str, pass_fds: Sequence[int] = (), stdout: int | None = None
) -> subprocess.Popen[bytes]:
    """This file as a server."""
    command = [sys.executable, __file__, serve, *arguments]
    return subprocess.Popen(command, pass_fds=pass_fds, stdout=stdout)


if __name__ == "__main__" and len(sys.argv) > 1:  # `make bench` calls every file without
    SERVERS = {"serve_channel": serve_channel, "serve_websocket": serve_websocket}
    with real_time():
        SERVERS[sys.argv[1]](*sys.argv[2:])
