"""`takt eval SUITE --player …`: who that is, and a server for a checkpoint while it plays."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from takt.benchmarks.player import Expert, Hold
from takt.benchmarks.shift_config import Mode
from takt.benchmarks.store import folder_digest
from takt.benchmarks.suites.players import Player, Random, Replay, Served
from takt.benchmarks.suites.suite import SuiteError
from takt.runtime.client import RemotePolicy
from takt.types import TaktError

ACCEPTED = "expert, hold, random, replay:FOLDER, a checkpoint's folder or ws://HOST:PORT"
END_S = 10.0  # that a server may take to end

_SERVE = """
import os, signal, sys, threading
def end_with_runner():
    os.read(0, 1)  # returns when the runner is gone, however it went
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=end_with_runner, daemon=True).start()
from takt.cli import main
sys.exit(main())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seated:
    """Who plays: for the simulators, for the reader, and a digest of a checkpoint's files."""

    player: Player
    title: str
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a policy's plans follow each other."""

    mode: Mode
    latency_ms: float
    grey: bool

    @property
    def title(self) -> str:
        """For the reader."""
        return f"{self.mode}, {self.latency_ms:g} ms{', grey images' if self.grey else ''}"

    def served(self, uri: str, body: str) -> Served:
        """By the server at `uri`."""
        how = {"mode": self.mode, "latency_ms": self.latency_ms, "grey": self.grey}
        return Served(uri=uri, body=body, **how)


@contextmanager
def player_named(text: str, manner: Manner, *, body: str, robots: int) -> Iterator[Seated]:
    """Who `text` names; a checkpoint is served on this machine for the length of the block.

    Args:
        text: See `ACCEPTED`.
        manner: Of a policy.
        body: The suite's, by where its spec stands.
        robots: Simulators that will ask at once.

    Raises:
        TaktError: nobody has that name, or the checkpoint cannot be served.
    """
    scripted = {"expert": Expert(), "hold": Hold(), "random": Random()}
    tape = text.startswith("replay:")
    if (tape or text in scripted) and manner != Manner(mode="sync", latency_ms=0.0, grey=False):
        raise TaktError(
            f"--mode, --latency-ms and --grey are for policies, and --player is {text}; leave them "
            "out"
        )
    if text in scripted:
        yield Seated(player=scripted[text], title=text)
    elif tape:
        yield Seated(player=Replay(str(Path(text.removeprefix("replay:")).resolve())), title=text)
    elif text.startswith(("ws://", "wss://")):
        title = f"{_policy_at(text)} of a server ({manner.title})"
        yield Seated(player=manner.served(text, body), title=title)
    elif (folder := Path(text)).is_dir():
        with _server(folder, body, robots) as uri:
            yield Seated(
                player=manner.served(uri, body),
                title=f"{folder} ({manner.title})",
                digest=folder_digest(folder),
            )
    else:
        raise TaktError(f"--player: expected {ACCEPTED}, got {text!r}")


def _policy_at(uri: str) -> str:
    """What is served there, which names the run: the port may be another one when it goes on."""
    with RemotePolicy(uri) as policy:
        policy.reset(0)  # waits for the connection
        assert policy.facts is not None
        return policy.facts.policy


@contextmanager
def _server(folder: Path, body: str, robots: int) -> Iterator[str]:
    options = ["--policy", str(folder), "--body", body, "--port", "0", "--robots", str(robots)]
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, "serve", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        uri = _address(process.stdout)
        if uri is None:
            raise SuiteError(f"{folder} could not be served, `takt serve` says why above; mend it")
        # read on: a pipe that is full would stop the server
        threading.Thread(target=_address, args=(process.stdout,), daemon=True).start()
        yield uri
    finally:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(said: IO[str]) -> str | None:
    """From "takt serve: … on ws://HOST:PORT"; what else is said goes to stderr. None at its end."""
    for line in said:
        if line.startswith("takt serve: ") and " on ws://" in line:
            return line.split()[-1]
        sys.stderr.write(line)
    return None
