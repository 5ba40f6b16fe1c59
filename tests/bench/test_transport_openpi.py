"""The sides that are compared give the same reply."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from echo import HORIZON
from openpi_sides import CAMERAS, SPEC
from websockets.sync.client import ClientConnection, connect

from takt.runtime.msgpack_arrays import pack, unpack

SIDES = Path(__file__).parents[2] / "bench" / "openpi_sides.py"


def received(robot: ClientConnection) -> Any:
    data = robot.recv(timeout=10)
    assert isinstance(data, bytes)
    return unpack(data)


@pytest.mark.parametrize("side", ["takt", "openpi", "blind"])
def test_every_side_answers_with_a_plan_that_begins_with_the_state(side: str) -> None:
    image, state = np.zeros((224, 224, 3), np.uint8), np.arange(14, dtype=np.float32)
    request = {f"observation/images/{name}": image for name in CAMERAS}
    request |= {"observation/state": state}
    server = subprocess.Popen([sys.executable, str(SIDES), side], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        uri = f"ws://127.0.0.1:{int(server.stdout.readline())}"
        with connect(uri, compression=None, proxy=None, close_timeout=0.1) as robot:
            assert isinstance(received(robot), dict)
            for _ in range(2):
                robot.send(pack(request))
                reply = received(robot)
                assert reply["actions"].shape == (HORIZON, len(SPEC.action_space.names))
                np.testing.assert_array_equal(reply["actions"][0], state)
                assert "infer_ms" in reply["server_timing"]
    finally:
        server.kill()
        server.communicate()
