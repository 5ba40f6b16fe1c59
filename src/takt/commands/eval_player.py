"""`takt eval SUITE --player …`: who that is, and a server for a checkpoint while it plays."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from takt.benchmarks.shift_config import Mode
from takt.benchmarks.store import folder_digest
from takt.benchmarks.suites.players import Expert, Hold, Player, Random, Replay, Served
from takt.benchmarks.suites.suite import SuiteError
from takt.types import TaktError

ACCEPTED = "expert, hold, random, replay:FOLDER, a checkpoint's folder or ws://HOST:PORT"


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

    def served(self, uri: str) -> Served:
        """By the server at `uri`."""
        return Served(uri=uri, mode=self.mode, latency_ms=self.latency_ms, grey=self.grey)


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
        yield Seated(player=manner.served(text), title=f"{text} ({manner.title})")
    elif (folder := Path(text)).is_dir():
        with _server(folder, body, robots) as uri:
            yield Seated(
                player=manner.served(uri),
                title=f"{text} ({manner.title})",
                digest=folder_digest(folder),
            )
    else:
        raise TaktError(f"--player: expected {ACCEPTED}, got {text!r}")


@contextmanager
def _server(folder: Path, body: str, robots: int) -> Iterator[str]:
    options = ["--policy", str(folder), "--body", body, "--port", "0", "--robots", str(robots)]
    process = subprocess.Popen(
        [sys.executable, "-m", "takt.cli", "serve", *options],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()  # "takt serve: … on ws://HOST:PORT"
        if "ws://" not in said:
            raise SuiteError(f"{folder} could not be served, `takt serve` says why above; mend it")
        yield said.split()[-1]
    finally:
        process.terminate()
        process.wait()
