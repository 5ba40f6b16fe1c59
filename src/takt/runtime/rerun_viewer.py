"""Every tick into a rerun recording, to be looked at in the rerun viewer."""

import logging
import queue
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

from takt.extras import require_extra
from takt.runtime.closing import Closing
from takt.runtime.tick import Tick
from takt.types import EmbodimentSpec

WAITING = 300  # ticks that may wait for the viewer's thread; what comes then is dropped

_log = logging.getLogger("takt.rerun")


class RerunViewer(Closing):
    """A listener that writes `path`, an .rrd file, from a thread of its own."""

    wants_observations = True

    def __init__(self, path: Path, spec: EmbodimentSpec) -> None:
        """Begin the file.

        Raises:
            TaktError: rerun is not installed.
        """
        require_extra("rerun", "--rerun")
        self._rerun: Any = import_module("rerun")
        self._stream = self._rerun.RecordingStream(f"takt {spec.name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream.save(path)
        self._path, self._dropped, self._lost = path, 0, 0
        self._error: Exception | None = None
        self._axes = spec.action_space.names
        self._elapsed, self._last = 0.0, 0.0
        self._ticks: queue.Queue[Tick | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._write, name="rerun", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Ticks that are not in the file."""
        return self._dropped + self._lost

    def on_tick(self, tick: Tick) -> None:
        """Hand it to the thread, if there is room."""
        try:
            self._ticks.put_nowait(tick)
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        """Write what waits, end the file, say what it lacks. Idempotent."""
        if not self._thread.is_alive():
            return
        self._ticks.put(None)
        self._thread.join()
        self._stream.disconnect()
        if self.dropped:
            why = self._error or "the viewer's thread did not keep up"
            _log.warning("%s: %d ticks are missing: %s", self._path, self.dropped, why)

    def _write(self) -> None:
        while (tick := self._ticks.get()) is not None:
            if self._error is None:
                try:
                    self._log(tick)
                    continue
                except Exception as error:  # a viewer must not end a run
                    self._error = error
            self._lost += 1

    def _log(self, tick: Tick) -> None:
        if tick.number == 0:  # episodes follow each other on one time line
            self._elapsed += self._last
        self._last = tick.now
        rerun, stream = self._rerun, self._stream
        stream.set_time("control", duration=self._elapsed + tick.now)
        for axis, wanted, done in zip(self._axes, tick.planned, tick.executed, strict=True):
            stream.log(f"planned/{axis}", rerun.Scalars(float(wanted)))
            stream.log(f"executed/{axis}", rerun.Scalars(float(done)))
        stream.log("chunk/index", rerun.Scalars(tick.index))
        if tick.arrival is not None:
            stream.log("chunk/delay", rerun.Scalars(tick.arrival.delay))
        for cause in tick.causes:
            stream.log("governor", rerun.TextLog(cause))
        seen = tick.observation
        for camera, image in seen.images.items() if seen else ():
            stream.log(f"camera/{camera}", rerun.Image(image))
