"""What `takt run` can be asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from takt.benchmarks.shift_config import Device as Processor
from takt.benchmarks.shift_config import EightBit, Precision
from takt.commands.run_human import Device
from takt.runtime.real_time import PRIORITY
from takt.runtime.tick import Authority
from takt.types import TaktError


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Drive a body with a policy; Ctrl-C stops it safely and prints what was done."""

    body: str
    """nut-station, a file (.toml, .json) with a [driver], MODULE:NAME or FILE.py:NAME."""
    policy: str = "hold"
    """hold, nano, a checkpoint's folder, MODULE:NAME, FILE.py:NAME or ws://HOST:PORT."""
    mode: Literal["auto", "async", "naive", "sync"] = "auto"
    """async: plans go on from what is committed; naive: they do not; sync: hold still meanwhile;
    auto: async if the policy was trained for it, else naive."""
    seconds: float = 10.0
    """Length of an episode; a body may end it sooner."""
    episodes: int = 1
    """Episodes; number i has seed SEED + i."""
    seed: int = 1_000_000
    """Of the first episode."""
    execute: int | None = None
    """T_e, actions executed before the next inference; default: the policy's own, else half."""
    latency_ms: float | None = None
    """Latency to plan for; default: measured on the wall clock, the paper's 80 on the virtual."""
    clock: Literal["auto", "virtual", "wall"] = "auto"
    """virtual: as fast as it goes, with injected latency; auto: that for simulations only."""
    patience_ms: float = 300.0
    """So long a silent sensor's last sample is held before the body is stopped."""
    watchdog_ms: float = 500.0
    """On the wall clock the body is stopped if the loop is silent for so long."""
    priority: int = PRIORITY
    """Real-time priority of the loop on the wall clock, where the system permits; 0: none."""
    board: bool = False
    """Serve a local page that shows the run and can stop it."""
    record: Path | None = None
    """Dataset folder (LeRobot v3.0) that every episode is added to."""
    rerun: Path | None = None
    """File (.rrd) of the run for the rerun viewer."""
    operator: Device | None = None
    """A human who may assist, take over and hand back; recorded episodes are marked and judged."""
    authority: Authority = "policy"
    """Who decides when an episode begins, if there is an operator."""
    token_file: Path | None = None
    """File with the token that a ws:// server wants."""
    certificate: Path | None = None
    """Certificate (PEM) to trust on wss://; default: those of the system."""
    device: Processor = "cpu"
    """Where a checkpoint runs."""
    dtype: Precision = "float32"
    """Of its weights and arithmetic."""
    quantise: EightBit | None = None
    """Its weights in 8 bits; w8a8: their inputs too."""
    json: bool = False
    """Print one JSON object as the last line."""

    def __post_init__(self) -> None:
        """Refuse what could not run."""
        for option, value in (
            ("--seconds", self.seconds),
            ("--episodes", self.episodes),
            ("--patience-ms", self.patience_ms),
        ):
            if not 0 < value < float("inf"):
                raise TaktError(f"{option}: expected more than 0, got {value}")
