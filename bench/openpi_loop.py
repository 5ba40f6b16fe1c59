"""openpi's published server loop, which answers with an echo, and the arrays that it speaks.

It is the asyncio server of `websockets` without compression or limits, arrays in msgpack as their
bytes, dtype and shape, the policy called in the event loop.
"""

import asyncio
import functools
import time
from typing import Any

import msgpack
import numpy as np
import websockets.asyncio.server as ws_server
from echo import Echo
from websockets.exceptions import ConnectionClosed


def pack_array(value: object) -> dict[bytes, object]:
    """What msgpack writes for an array."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"expected an array, got {type(value).__name__}")
    dtype = value.dtype.str
    return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": dtype, b"shape": value.shape}


def _unpack_array(value: dict[Any, Any]) -> Any:  # noqa: ANN401
    if b"__ndarray__" not in value:
        return value
    return np.ndarray(value[b"shape"], np.dtype(value[b"dtype"]), value[b"data"])


unpack = functools.partial(msgpack.unpackb, object_hook=_unpack_array)


def serve(state: str) -> None:
    """Print the port and echo what requests hold as `state`, until killed."""
    asyncio.run(_serve(state))


async def _serve(state: str) -> None:
    handle = functools.partial(_handle, state)
    async with ws_server.serve(handle, "127.0.0.1", 0, compression=None, max_size=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await server.serve_forever()


async def _handle(state: str, robot: ws_server.ServerConnection) -> None:
    echo, pack = Echo(), msgpack.Packer(default=pack_array).pack
    await robot.send(pack({}))
    previous = None
    while True:
        try:
            began = time.monotonic()
            request = unpack(await robot.recv())
            thought = time.monotonic()
            actions = echo(request[state])
            timing = {"infer_ms": (time.monotonic() - thought) * 1e3}
            if previous is not None:
                timing["prev_total_ms"] = previous * 1e3
            await robot.send(pack({"actions": actions, "server_timing": timing}))
            previous = time.monotonic() - began
        except ConnectionClosed:
            return
