"""`takt serve` from the command line to a robot's plan, and its end by Ctrl-C."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from fakes import SPEC, FakeStation
from interrupts import hear_interrupts

from takt.cli import main
from takt.runtime.client import RemotePolicy
from takt.runtime.inference import PolicyError

CODE = "import sys; from takt.cli import main; sys.exit(main(sys.argv[1:]))"


@contextmanager
def serving(*options: str) -> Iterator[str]:
    """The address of a running `takt serve`; it must end well."""
    child = subprocess.Popen(
        [sys.executable, "-c", CODE, "serve", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    )
    assert child.stdout is not None
    ready = child.stdout.readline()
    found = re.search(r"wss?://\S+", ready)
    if found is None:
        child.kill()
        pytest.fail(f"{ready}{child.communicate()[1]}")
    try:
        yield found[0]
    finally:
        child.send_signal(signal.SIGINT)
        said, complained = child.communicate(timeout=30)
    assert (child.returncode, said) == (0, "takt serve: ended\n"), complained


def test_a_robot_with_the_token_is_served_until_ctrl_c(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("nuts\n")
    observation = FakeStation().observe()
    with serving("--policy", "hold", "--token-file", str(token)) as uri:
        with RemotePolicy(uri) as stranger, pytest.raises(PolicyError, match="token"):
            stranger.reset(0)
        with RemotePolicy(uri, token="nuts") as worker:
            worker.reset(0)
            worker.submit(observation, None)
            actions = worker.result().chunk.actions
            assert worker.facts is not None
            assert (worker.facts.policy, worker.facts.horizon) == ("hold", len(actions))
    held = np.clip(observation.state, SPEC.action_space.low, SPEC.action_space.high)
    np.testing.assert_array_equal(actions, np.tile(held, (len(actions), 1)))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--policy", "hold", "--certificate", "a.pem"], "--key"),
        (["--policy", "hold", "--certificate", "a.pem", "--key", "b.pem"], "none at a.pem"),
        (["--policy", "ws://robot:8000"], "MODULE:NAME or FILE.py:NAME, got 'ws://robot:8000'"),
        (["--policy", "hold", "--host", "no.such.host.invalid"], "choose another --port or --host"),
        (["--policy", "hold", "--device", "cuda"], "for checkpoints"),
        (["--policy", "."], "FILE.py:NAME"),
        (["--policy", "hold", "--robots", "0"], "--robots"),
        (["--policy", "hold", "--port", "80000"], "--port: expected 1 to 65535, or 0"),
        (["--policy", "hold", "--port", "-1"], "got -1"),
        (["--policy", "hold", "--body", "toaster"], "toaster"),
        (["--policy", "hold", "--body", "fakes:image"], "fakes has no 'image'"),
        (["--policy", "hold", "--body", "bodies:FakeDriver"], "failed with TypeError"),
        (["--policy", "fakes:FakeStation"], "got FakeStation without infer"),
        (["--policy", "fakes:BrokenPolicy"], "cannot be called with no arguments: missing"),
        (["--policy", "hold", "--token-file", "/no/such"], "/no/such"),
    ],
)
def test_what_cannot_be_served_is_named(
    options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *options]) == 2
    assert says in capsys.readouterr().err
