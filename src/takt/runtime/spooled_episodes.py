"""Finished spools become episodes of a dataset, in a process beside the control loop."""

import os
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np

from takt.datasets.writer import LeRobotWriter
from takt.processes import die_with_parent
from takt.runtime.spool import End, Row, read_spool
from takt.types import EmbodimentSpec, Episode, TaktError

AUTHORITY, SUCCESS, PLANNED, WALL = "intervention", "success", "planned_action", "wall_s"
AUTHORITIES = {"policy": 0.0, "assist": 1.0, "takeover": 2.0}
"""Values of the column `intervention`."""
SUCCESSES = {None: -1.0, False: 0.0, True: 1.0}
"""Values of the column `success`, the same on every row of an episode."""
POLL_S = 0.2
NICENESS = 10  # the control loop comes first


def convert_until(
    folder: Path, root: Path, spec: EmbodimentSpec, touch: int, closing: Event
) -> None:
    """Convert spools as they are finished, until `closing` is set and none is left."""
    die_with_parent()
    os.nice(NICENESS)
    while True:
        last = closing.wait(POLL_S)
        try:
            convert_all(folder, root, spec, touch)
        except TaktError:
            return  # the recorder tries again when it closes, and names the error
        if last:
            return


def convert_all(folder: Path, root: Path, spec: EmbodimentSpec, touch: int) -> int:
    """Every finished spool in `folder` into the dataset in `root`; returns how many.

    Raises:
        DatasetError, SpoolError: one cannot be written; it is kept, and so are all after it.
    """
    spools = sorted(folder.glob("*.spool"))
    if not spools:
        return 0
    with _writer(root, spec, touch) as writer:
        for spool in spools:
            # a spool is named as its episode: a kill may have come between the two lines below
            if int(spool.stem) >= writer.num_episodes:
                writer.add_episode(read_episode(spool, spec))
            spool.unlink()
    return len(spools)


def require_fit(root: Path, spec: EmbodimentSpec, touch: int) -> None:
    """Raise the writer's `DatasetError` now if episodes of `spec` could not be added to `root`."""
    if root.exists():
        with _writer(root, spec, touch):
            pass


def _writer(root: Path, spec: EmbodimentSpec, touch: int) -> LeRobotWriter:
    extras = {AUTHORITY: 1, SUCCESS: 1, WALL: 1, PLANNED: len(spec.action_space.names)}
    return LeRobotWriter(root, spec, extras=extras, touch=touch)


def written_episodes(root: Path) -> int:
    """Episodes in the dataset at `root`, which may not exist yet."""
    return len(list((root / "meta" / "episodes").glob("*/*.parquet")))


def read_episode(spool: Path, spec: EmbodimentSpec) -> Episode:
    """What a spool with at least one row holds."""
    entries = list(read_spool(spool))
    rows = [entry for entry in entries if isinstance(entry, Row)]
    ends = [entry for entry in entries if isinstance(entry, End)]
    success = ends[-1].success if ends else None
    first = rows[0].stamp
    instructions = tuple(row.instruction for row in rows)
    return Episode(
        embodiment=spec.name,
        instruction=instructions[0],
        rate_hz=spec.rate_hz,
        stamps=np.array([row.stamp - first for row in rows]),
        images={c.name: np.stack([row.images[c.name] for row in rows]) for c in spec.cameras},
        image_stamps={
            c.name: np.array([row.image_stamps[c.name] - first for row in rows])
            for c in spec.cameras
        },
        state=_float32([row.state for row in rows]),
        actions=_float32([row.executed for row in rows]),
        touch=None if rows[0].touch is None else _float32([row.touch for row in rows]),
        extras={
            AUTHORITY: _float32([[AUTHORITIES[row.authority]] for row in rows]),
            SUCCESS: _float32([[SUCCESSES[success]]] * len(rows)),
            WALL: _float32([[row.wall_s - rows[0].wall_s] for row in rows]),
            PLANNED: _float32([row.planned for row in rows]),
        },
        instructions=instructions if len(set(instructions)) > 1 else (),
    )


def _float32(rows: list) -> np.ndarray:
    return np.asarray(rows, np.float32)
