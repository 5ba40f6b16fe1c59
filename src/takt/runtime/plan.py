"""What is due on a tick, from the chunks that came so far."""

from dataclasses import dataclass, replace

import numpy as np

from takt.runtime.chunking import (
    Chunking,
    Prefixed,
    Synchronous,
    TemporalEnsembling,
    usable_steps,
)
from takt.types import ActionChunk, Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A chunk as it is executed.

    `captured` is the stamp of the newest image behind it, `assisted` (action,) what a human had
    added to the plans by then, None for nothing.
    """

    number: int
    chunk: ActionChunk
    captured: Seconds
    assisted: np.ndarray | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """An action (action,) of `entry` and its place in the chunk."""

    action: np.ndarray
    index: int
    entry: Entry


class Plan:
    """The chunk in execution, and what a strategy keeps beside it."""

    def __init__(self, chunking: Chunking, blend_step: np.ndarray) -> None:
        """Nothing is planned.

        Args:
            chunking: The strategy.
            blend_step: (action,) most that an offset left by a late chunk shrinks in a tick.
        """
        self._chunking, self._blend_step = chunking, blend_step
        self.clear()

    def clear(self) -> None:
        """Forget all of it: what was planned is no longer true."""
        self._current: Entry | None = None
        self._older: list[Entry] = []  # of an ensemble, oldest first
        self._first: Entry | None = None  # leading actions of a chunk that is still in the making
        self._offset = np.zeros_like(self._blend_step)

    def forget_assistance(self) -> None:
        """The human let go: whoever assists next begins from nothing."""
        self._current = self._current and replace(self._current, assisted=None)
        self._first = self._first and replace(self._first, assisted=None)

    @property
    def chunk(self) -> ActionChunk | None:
        """The chunk in execution."""
        return self._current.chunk if self._current else None

    @property
    def number(self) -> int:
        """Of the newest chunk whose actions were due, -1 before the first."""
        newest = self._first or self._current
        return newest.number if newest else -1

    @property
    def captured(self) -> Seconds | None:
        """Stamp of the newest image behind it."""
        newest = self._first or self._current
        return newest.captured if newest else None

    def enter_first(self, entry: Entry, now: Seconds) -> None:
        """The leading actions of a chunk whose others are still in the making."""
        self._first = self._anchored(entry, now)

    def enter(self, entry: Entry, now: Seconds, last: np.ndarray) -> bool:
        """A whole chunk came; False when it came too late to be used.

        While the body was held still (synchronous, the cold start, or a plan that had run out when
        the observation was made) its observation is still true, so the chunk begins now. A body in
        motion enters it at its true index. A chunk later than its prefix does not know what was
        executed last (`last`): it is entered from there, and the difference is taken back within
        the blend's speed.
        """
        first, self._first = self._first, None
        held = self._ran_out(entry.chunk.stamp)
        if first is not None and first.number == entry.number:
            entry = replace(entry, chunk=replace(entry.chunk, stamp=first.chunk.stamp))
        else:
            entry = self._anchored(entry, now)
        index = entry.chunk.index_at(now)
        if index >= len(entry.chunk.actions):
            return False
        late = isinstance(self._chunking, Prefixed) and not held and index > self._chunking.prefix
        # where the blend has no speed limit there is nothing to take back slowly
        off = last - entry.chunk.actions[index - 1] if late else np.zeros_like(self._blend_step)
        self._offset = np.where(np.isfinite(self._blend_step), off, 0).astype(np.float32)
        if isinstance(self._chunking, TemporalEnsembling) and self._current and not held:
            self._older.append(self._current)
        elif held:
            self._older.clear()
        self._current = entry
        return True

    def due(self, now: Seconds) -> Due | None:
        """What to do on this tick; None when nothing was planned for it. Ask once a tick."""
        if self._first is not None:
            found = self._of(self._first, now)
            if found is not None:
                return found
        found = self._of(self._current, now) if self._current else None
        if found is None:
            return None
        action = self._ensemble(found, now)
        if self._offset.any():
            self._offset = self._shrunk(self._offset)
            action = action + self._offset
        return replace(found, action=action)

    def blended(self, actions: np.ndarray) -> np.ndarray:
        """`actions` (step, action) of the chunk in execution, as `due` will give them."""
        if not self._offset.any():
            return actions
        offset, rows = self._offset, []
        for action in actions:
            offset = self._shrunk(offset)
            rows.append(action + offset)
        return np.array(rows, actions.dtype)

    def _shrunk(self, offset: np.ndarray) -> np.ndarray:
        return np.copysign(np.maximum(np.abs(offset) - self._blend_step, 0), offset)

    def _anchored(self, entry: Entry, now: Seconds) -> Entry:
        """The same, beginning now if its observation is still true."""
        if not (self._ran_out(entry.chunk.stamp) or isinstance(self._chunking, Synchronous)):
            return entry
        return replace(entry, chunk=replace(entry.chunk, stamp=now))

    def _ran_out(self, at: Seconds) -> bool:
        if self._current is None:
            return True
        return self._current.chunk.index_at(at) >= len(self._current.chunk.actions)

    def _of(self, entry: Entry, now: Seconds) -> Due | None:
        actions = entry.chunk.actions
        index = entry.chunk.index_at(now)
        if not 0 <= index < usable_steps(self._chunking, len(actions)):
            return None
        return Due(action=actions[index], index=index, entry=entry)

    def _ensemble(self, newest: Due, now: Seconds) -> np.ndarray:
        if not isinstance(self._chunking, TemporalEnsembling):
            return newest.action
        asked = [(entry, self._of(entry, now)) for entry in self._older]
        self._older = [entry for entry, due in asked if due is not None]
        said = [due.action for _, due in asked if due is not None] + [newest.action]
        weights = np.exp(-self._chunking.decay * np.arange(len(said)))
        return np.average(said, axis=0, weights=weights).astype(np.float32)
