"""Every tick of every episode into a LeRobot v3.0 dataset, off the control path.

Rows go to a spool file as they happen; a process of its own turns finished spools into episodes.
An episode that a kill cut short is there up to its last written row: the next recorder keeps it.
"""

import contextlib
import logging
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from takt.folder_lock import FolderLock
from takt.processes import deaf_to_interrupts
from takt.runtime.closing import Closing
from takt.runtime.row import Row, RowLayout
from takt.runtime.spool import Spool, Spooled
from takt.runtime.spooled_episodes import (
    PART,
    SPOOL,
    convert_all,
    convert_until,
    finish,
    finished,
    is_added,
    number,
    require_fit,
    written_episodes,
)
from takt.runtime.tick import Tick
from takt.types import EmbodimentSpec, TaktError

SPOOLS = "-spools"
BACKLOG_BYTES = 1 << 30  # 13 s of three cameras of 480 x 640 px at 30 Hz

_log = logging.getLogger("takt.recorder")


class RecorderError(TaktError):
    """A recording that could not be made whole."""


class Recorder(Closing):
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
        self._root, self._spec, self._touch = root.resolve(), spec, touch
        self._layout = RowLayout.of(spec, touch)
        self._folder = self._root.with_name(self._root.name + SPOOLS)
        self._lock = FolderLock(self._folder)
        self._spool: Spool | None = None
        try:
            require_fit(self._root, spec, touch)
            self._number = self._recover()
        except BaseException:
            self._leave()
            raise
        context = multiprocessing.get_context("spawn")
        self._closing = context.Event()
        arguments = (self._folder, self._root, spec, touch, self._closing)
        self._converter = context.Process(target=convert_until, args=arguments, daemon=True)
        with deaf_to_interrupts():
            self._converter.start()

    def __exit__(self, *error: object) -> None:
        """End an open episode and close."""
        try:
            if self._spool is not None:
                self.end(None)
        finally:
            self.close()

    def begin(self) -> None:
        """A new episode.

        Raises:
            RecorderError: inside an episode.
            SpoolError: there is no room for it.
        """
        if self._spool is not None:
            raise RecorderError("expected end() before the next begin(); end the episode first")
        self._spool = Spool(self._part, self._layout, BACKLOG_BYTES)

    def on_tick(self, tick: Tick) -> None:
        """Queue a row.

        Raises:
            RecorderError: outside an episode.
            RowError: the body reports what no dataset of it would take.
            SpoolError: the disk does not keep up, or failed.
        """
        seen = tick.observation
        if self._spool is None or seen is None:
            raise RecorderError("expected begin() and observed ticks; begin an episode first")
        self._spool.put(
            Row(
                stamp=tick.now,
                wall_s=time.monotonic(),
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

    def end(self, success: bool | None) -> None:
        """The episode is over; when this returns it survives a kill.

        `success` is None if nobody judged it. Interrupted while it waits for the disk, it may be
        called again.

        Raises:
            RecorderError: outside an episode.
            SpoolError: the disk failed; the rows before that are kept.
        """
        spool = self._spool
        if spool is None:
            raise RecorderError("expected begin() before end(); begin an episode first")
        try:
            spool.end(success)
        finally:
            if spool.closed:
                finish(self._part)
                self._spool, self._number = None, self._number + 1

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
        except (TaktError, OSError) as error:
            raise RecorderError(
                f"{error}; what is not in the dataset yet is kept in {self._folder}, and the next "
                f"recording into {self._root} adds it"
            ) from error
        finally:
            self._leave()

    @property
    def _part(self) -> Path:
        return self._folder / f"{self._number:06d}{PART}"

    def _recover(self) -> int:
        """Tell what a kill left; the number of the next episode."""
        for part in sorted(self._folder.glob(f"[0-9]*{PART}")):
            finish(part)
        numbers = [written_episodes(self._root)]
        lengths: list[int] = []
        cut: list[int] = []
        for path, spooled in finished(self._folder):
            numbers.append(number(path) + 1)
            if spooled.layout != self._layout:
                path = path.rename(self._folder / f"{number(path):06d}{SPOOL}")  # of no dataset
                _log.warning(_foreign(path, spooled, self._layout))
            elif not is_added(path, spooled, self._root):
                (cut if spooled.cut else lengths).append(len(spooled.rows))
        if lengths or cut:
            _log.warning(_recovered(lengths, cut, self._root))
        return max(numbers)

    def _leave(self) -> None:
        self._lock.release()
        with contextlib.suppress(OSError):  # not empty: something is kept, or another recorder came
            self._folder.rmdir()


def _recovered(lengths: Sequence[int], cut: Sequence[int], root: Path) -> str:
    ticks = ", ".join(map(str, cut))
    return (
        f"an earlier recording into {root} was not ended: {len(lengths) + len(cut)} of its "
        f"episodes, {sum(lengths) + sum(cut)} ticks, are added"
        + (f"; {len(cut)} of them cut short, after {ticks} ticks" if cut else "")
    )


def _foreign(path: Path, spooled: Spooled, layout: RowLayout) -> str:
    return (
        f"{path}: {len(spooled.rows)} ticks that a killed recording left do not fit this one "
        f"({layout.differences(spooled.layout)}) and stay there; to keep them, move the file to "
        f"OTHER{SPOOLS} and record {spooled.layout.body!r} into OTHER, else remove it"
    )


def _plain(stamps: Mapping[str, float]) -> dict[str, float]:
    return {name: float(stamp) for name, stamp in stamps.items()}
