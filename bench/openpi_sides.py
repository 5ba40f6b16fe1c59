"""Servers that openpi's client can ask: takt's, openpi's loop, and one that does not look.

    python openpi_sides.py takt|openpi|blind

prints its port and serves until killed. All answer with the same 30 x 14 actions, which begin with
the state. `blind` reads the bytes of a request and sends a prepared reply: what is left is the
client's own time, which no server can undercut.
"""

import socket
import sys
import threading

import msgpack
import numpy as np
import openpi_loop
from echo import Echo, EchoPolicy
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from takt.embodiments.nut_station.spec import SPEC
from takt.runtime.server.policy_server import MAX_MESSAGE_BYTES, PolicyServer
from takt.runtime.server.replies import ServerFacts
from takt.runtime.server.scheduler import OnePerRobot

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


def serve_takt() -> None:
    """`PolicyServer`, as `takt serve` runs it."""
    with PolicyServer(OnePerRobot(factory=EchoPolicy), FACTS, SPEC) as server:
        print(server.port, flush=True)
        threading.Event().wait()


def serve_openpi() -> None:
    """openpi's loop."""
    openpi_loop.serve("observation/state")


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
    request = openpi_loop.unpack((np.frombuffer(payload, np.uint8) ^ keys).tobytes())
    actions = Echo()(request["observation/state"])
    message = {"actions": actions, "server_timing": {"infer_ms": 0.0}}
    data = msgpack.packb(message, default=openpi_loop.pack_array) or b""
    return Frame(Opcode.BINARY, data).serialize(mask=False)


SERVERS = {"takt": serve_takt, "openpi": serve_openpi, "blind": serve_blind}

if __name__ == "__main__":
    SERVERS[sys.argv[1]]()
