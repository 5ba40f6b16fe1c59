"""Servers that openpi's client can ask: takt's, openpi's loop, and one that does not look.

    python openpi_sides.py takt|openpi|blind

prints its port and serves until killed. All answer with the same 30 x 14 actions, which begin with
the state. `openpi` is written as openpi's published server is: the asyncio server of `websockets`
without compression or limits, arrays in msgpack, the policy called in the event loop. `blind` reads
the bytes of a request and sends a prepared reply: what is left is the client's own time, which no
server can undercut.
"""

import asyncio
import socket
import sys
import threading
import time
from typing import Any

import msgpack
import numpy as np
import websockets.asyncio.server as ws_server
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from takt.embodiments.nut_station.spec import SPEC
from takt.runtime.server.policy_server import MAX_MESSAGE_BYTES, PolicyServer
from takt.runtime.server.replies import ServerFacts
from takt.runtime.server.scheduler import OnePerRobot
from takt.types import ActionChunk, Observation

HORIZON, AXES = 30, len(SPEC.state_names)
CAMERAS = tuple(camera.name for camera in SPEC.cameras)
FACTS = ServerFacts(
    policy="echo",
    embodiment=SPEC.name,
    rate_hz=SPEC.rate_hz,
    cameras=CAMERAS,
    state=SPEC.state_names,
    actions=SPEC.action_space.names,
    max_message_bytes=MAX_MESSAGE_BYTES,
)


class EchoPolicy:
    """Its chunk begins with the state it was given."""

    def __init__(self) -> None:
        """One chunk, used again and again."""
        self._actions = np.zeros((HORIZON, AXES), np.float32)
        self._chunk = ActionChunk(stamp=0.0, dt=SPEC.dt, actions=self._actions)

    def reset(self, seed: int) -> None:
        """There is nothing to forget."""

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        """The chunk."""
        self._actions[0] = observation.state
        return self._chunk


def serve_takt() -> None:
    """`PolicyServer`, as `takt serve` runs it."""
    with PolicyServer(OnePerRobot(factory=EchoPolicy), FACTS, SPEC) as server:
        print(server.port, flush=True)
        threading.Event().wait()


def serve_openpi() -> None:
    """openpi's loop."""
    asyncio.run(_serve_openpi())


async def _serve_openpi() -> None:
    async with ws_server.serve(_handle, "127.0.0.1", 0, compression=None, max_size=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await server.serve_forever()


async def _handle(robot: ws_server.ServerConnection) -> None:
    packer = msgpack.Packer(default=_pack_array)
    actions = np.zeros((HORIZON, AXES), np.float32)
    await robot.send(packer.pack({}))
    previous = None
    while True:
        try:
            began = time.monotonic()
            request = msgpack.unpackb(await robot.recv(), object_hook=_unpack_array)
            thought = time.monotonic()
            actions[0] = request["observation/state"]
            timing = {"infer_ms": (time.monotonic() - thought) * 1e3}
            if previous is not None:
                timing["prev_total_ms"] = previous * 1e3
            await robot.send(packer.pack({"actions": actions, "server_timing": timing}))
            previous = time.monotonic() - began
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


def serve_blind() -> None:
    """A canned reply, once the bytes of a request are there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            peer, _ = listener.accept()
            with peer:
                _answer_blindly(peer)


def _answer_blindly(peer: socket.socket) -> None:
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    protocol = ServerProtocol()
    protocol.receive_data(peer.recv(4096))
    protocol.send_response(protocol.accept(protocol.events_received()[0]))  # pyright: ignore[reportArgumentType]
    protocol.send_binary(msgpack.packb({}) or b"")
    peer.sendall(b"".join(protocol.data_to_send()))
    # The first request is read properly: the reply must begin with its state.
    buffer = memoryview(bytearray(1 << 22))
    reply = size = 0
    while True:
        have = 0
        while have < 14 or have < size:
            count = peer.recv_into(buffer[have:])
            if not count:
                return
            have += count
            if not size and have >= 14:
                assert buffer[1] & 127 == 127, "expected a message of 64 KiB at least"
                size = 14 + int.from_bytes(buffer[2:10], "big")
        if not reply:
            reply = _prepared(bytes(buffer[10:14]), bytes(buffer[14:size]))
        peer.sendall(reply)


def _prepared(mask: bytes, payload: bytes) -> bytes:
    """The frame that answers every request, because all are alike."""
    keys = np.frombuffer(mask * (len(payload) // 4 + 1), np.uint8)[: len(payload)]
    request = msgpack.unpackb(
        (np.frombuffer(payload, np.uint8) ^ keys).tobytes(), object_hook=_unpack_array
    )
    actions = np.zeros((HORIZON, AXES), np.float32)
    actions[0] = request["observation/state"]
    message = {"actions": actions, "server_timing": {"infer_ms": 0.0}}
    return Frame(Opcode.BINARY, msgpack.packb(message, default=_pack_array) or b"").serialize(
        mask=False
    )


SERVERS = {"takt": serve_takt, "openpi": serve_openpi, "blind": serve_blind}

if __name__ == "__main__":
    SERVERS[sys.argv[1]]()
