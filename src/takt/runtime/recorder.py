"""Every tick of every episode into a LeRobot v3.0 dataset, off the control path.

Rows go to a spool file as they happen; a process of its own turns finished spools into episodes.
An episode that a kill cut short is there up to its last written row: the next recorder keeps it.
"""

import multiprocessing
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from takt.folder_lock import FolderLock
from takt.processes import deaf_to_interrupts
from takt.runtime.spool import End, Row, Spool, read_spool, wall_s
from takt.runtime.spooled_episodes import (
    convert_all,
    convert_until,
    require_fit,
    written_episodes,
)
from takt.runtime.tick import Tick
from takt.types import EmbodimentSpec, TaktError

SPOOLS = "spools"
BACKLOG_BYTES = 1 << 30  # 13 s of three cameras of 480 x 640 px at 30 Hz


class RecorderError(TaktError):
    """A recording that could not be made whole."""


class Recorder:
    """A listener; `begin` and `end` enclose each episode."""

    wants_observations = True

    def __init__(self, root: Path, spec: EmbodimentSpec, *, touch: int = 0) -> None:
        """Open the dataset in `root`, new or begun earlier; spools left by a kill are kept.

        Args:
            root: The dataset's folder; its spools lie beside it, in `root`-spools.
            spec: The body.
            touch: Width of the touch column; 0 for none.

        Raises:
            DatasetError, FolderInUseError: the folder holds other data, or is being written to.
        """
        root = root.resolve()
        self._folder = root.with_name(root.name + "-" + SPOOLS)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = FolderLock(self._folder)
        for part in self._folder.glob("*.part"):
            _finish(part)
        require_fit(root, spec, touch)
        spooled = [int(spool.stem) + 1 for spool in self._folder.glob("*.spool")]
        self._number = max([written_episodes(root), *spooled])
        self._spool: Spool | None = None
        context = multiprocessing.get_context("spawn")
        self._closing = context.Event()
        arguments = (self._folder, root, spec, touch, self._closing)
        self._converter = context.Process(target=convert_until, args=arguments, daemon=True)
        with deaf_to_interrupts():
            self._converter.start()
        self._root, self._spec, self._touch = root, spec, touch

    def __enter__(self) -> Self:
        """Close at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End an open episode and close."""
        try:
            if self._spool is not None:
                self.end(None, "interrupted" if error is None else type(error).__name__)
        finally:
            self.close()

    def begin(self) -> None:
        """A new episode."""
        if self._spool is not None:
            raise RecorderError("expected end() before the next begin(); end the episode first")
        self._spool = Spool(self._folder / f"{self._number:06d}.part", BACKLOG_BYTES)

    def on_tick(self, tick: Tick) -> None:
        """Queue a row.

        Raises:
            RecorderError: outside an episode.
            SpoolError: the disk does not keep up, or failed.
        """
        seen = tick.observation
        if self._spool is None or seen is None:
            raise RecorderError("expected begin() and observed ticks; begin an episode first")
        self._spool.put(
            Row(
                stamp=tick.now,
                wall_s=wall_s(),
                image_stamps=_plain(seen.image_stamps),
                images=dict(seen.images),
                state=seen.state,
                executed=tick.executed,
                planned=tick.planned,
                authority=tick.authority,
                instruction=seen.instruction,
                touch=seen.touch,
            )
        )

    def end(self, success: bool | None, why: str) -> None:
        """The episode is over; when this returns it survives a kill.

        Raises:
            RecorderError: outside an episode.
            SpoolError: the disk failed; the rows before that are kept.
        """
        spool, self._spool = self._spool, None
        if spool is None:
            raise RecorderError("expected begin() before end(); begin an episode first")
        try:
            with spool:
                spool.put(End(success=success, why=why))
        finally:
            self._number += _finish(self._folder / f"{self._number:06d}.part")

    def close(self) -> None:
        """Wait until all episodes are in the dataset. Idempotent.

        Raises:
            RecorderError: some could not be written; their spools are kept.
        """
        if not self._lock.held:
            return
        self._closing.set()
        self._converter.join()
        try:
            # what the process left, because it died or failed, is done, or named, here
            convert_all(self._folder, self._root, self._spec, self._touch)
        finally:
            self._lock.release()


def _finish(part: Path) -> bool:
    """Keep what is to become an episode, if it has a row; whether it has."""
    kept = any(isinstance(entry, Row) for entry in read_spool(part))
    if kept:
        part.rename(part.with_suffix(".spool"))
    else:
        part.unlink()
    return kept


def _plain(stamps: Mapping[str, float]) -> dict[str, float]:
    return {name: float(stamp) for name, stamp in stamps.items()}
