"""The real openpi client at our server; it wants NumPy 1, so it has an environment of its own.

python -m venv ENV && ENV/bin/pip install openpi-client==0.1.2 typing_extensions
OPENPI_PYTHON=ENV/bin/python pytest tests/runtime/server/test_openpi_client.py
"""

import json
import os
import subprocess

import pytest
from fakes import IMAGE, SPEC
from remote import serve

PYTHON = os.environ.get("OPENPI_PYTHON")

ROBOT = """
import json, sys
import numpy as np
from openpi_client.action_chunk_broker import ActionChunkBroker
from openpi_client.websocket_client_policy import WebsocketClientPolicy

address, token, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
client = WebsocketClientPolicy(address, api_key=token)
facts = client.get_server_metadata()["takt"]
image = np.zeros((size, size, 3), np.uint8)
seen = {f"observation/images/{name}": image for name in facts["cameras"]}
seen |= {"observation/state": np.zeros(len(facts["state"])), "prompt": "fit a nut"}
reply = client.infer(seen)
found = {"embodiment": facts["embodiment"], "shape": reply["actions"].shape}
found |= {"type": str(reply["actions"].dtype), "timing": reply["server_timing"]}
try:
    client.infer({"observation/state": np.zeros(3)})
except RuntimeError as error:
    found["error"] = str(error)
broker = ActionChunkBroker(client, action_horizon=5)
found["steps"] = [broker.infer(seen)["actions"].shape for _ in range(6)]
try:
    WebsocketClientPolicy(address, api_key="wrong")
except Exception as error:
    found["stranger"] = str(error)
print(json.dumps(found))
"""


@pytest.mark.skipif(PYTHON is None, reason="OPENPI_PYTHON names no environment with openpi-client")
def test_an_unmodified_client_is_served() -> None:
    with serve(token="nuts") as server:
        address = f"ws://127.0.0.1:{server.port}"
        robot = subprocess.run(
            [str(PYTHON), "-W", "ignore", "-c", ROBOT, address, "nuts", str(IMAGE)],
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert robot.returncode == 0, robot.stderr
    found = json.loads(robot.stdout.splitlines()[-1])
    axes = len(SPEC.action_space.names)
    assert (found["embodiment"], found["shape"]) == (SPEC.name, [16, axes])
    assert (found["type"], found["steps"]) == ("float32", [[axes]] * 6)
    assert found["timing"]["infer_ms"] > 0
    assert "WireError: nut-station: expected the keys" in found["error"]
    assert "401" in found["stranger"]
