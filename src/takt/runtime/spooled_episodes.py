"""Finished spools become episodes of a dataset, in a process beside the control loop.

000007.part       an episode while it happens
000007.spool      finished, or cut by a kill
000007-3.adding   on its way to be episode 3 of the dataset
"""

import os
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np

from takt.datasets.fit import require_even
from takt.datasets.layout import read_metadata
from takt.datasets.writer import LeRobotWriter
from takt.processes import die_with_parent
from takt.runtime.row import IMAGE, RowLayout
from takt.runtime.spool import Spooled, read_spool
from takt.types import EmbodimentSpec, Episode, TaktError

AUTHORITY, SUCCESS, PLANNED, WALL = "intervention", "success", "planned_action", "wall_s"
SUCCESSES = {None: -1.0, False: 0.0, True: 1.0}
"""Values of the column `success`, the same on every row; `intervention` counts
`takt.runtime.row.AUTHORITIES`."""
PART, SPOOL, ADDING = ".part", ".spool", ".adding"
POLL_S = 0.2
RETRY_S = 5.0  # after a failure: a full disk, or the process of a recorder that was killed
NICENESS = 10  # the control loop comes first


def convert_until(
    folder: Path, root: Path, spec: EmbodimentSpec, touch: int, closing: Event
) -> None:
    """Convert spools as they are finished, until `closing` is set and none is left."""
    die_with_parent()
    os.nice(NICENESS)
    pause_s = POLL_S
    while True:
        last = closing.wait(pause_s)
        try:
            convert_all(folder, root, spec, touch)
            pause_s = POLL_S
        except (TaktError, OSError):
            pause_s = RETRY_S  # the recorder tries a last time when it closes, and names the error
        if last:
            return


def convert_all(folder: Path, root: Path, spec: EmbodimentSpec, touch: int) -> None:
    """Every finished spool of this body in `folder` into the dataset in `root`.

    Spools of other bodies stay as they are.

    Raises:
        DatasetError, SpoolError: one cannot be written; it is kept, and so are all after it.
    """
    layout = RowLayout.of(spec, touch)
    own = [path for path, spooled in finished(folder) if spooled.layout == layout]
    if not own:
        return
    with _writer(root, spec, touch) as writer:
        for path in own:
            spooled = read_spool(path)  # one open at a time
            assert spooled is not None
            if not is_added(path, spooled, root):
                path = path.rename(folder / f"{number(path):06d}-{writer.num_episodes}{ADDING}")
                writer.add_episode(episode_of(spooled, spec))
            path.unlink()


def finished(folder: Path) -> Iterator[tuple[Path, Spooled]]:
    """What waits in `folder`, in the order in which it was recorded.

    Raises:
        SpoolError: a file is no spool.
    """
    paths = [path for path in folder.glob("[0-9]*") if path.suffix in (SPOOL, ADDING)]
    for path in sorted(paths, key=number):
        spooled = read_spool(path)
        if spooled is not None:
            yield path, spooled


def finish(part: Path) -> None:
    """Nothing more comes: it is to become an episode, if it has a row.

    Raises:
        SpoolError: the file is no spool.
    """
    if read_spool(part) is None:
        part.unlink()
    else:
        part.rename(part.with_suffix(SPOOL))


def number(path: Path) -> int:
    """Of an episode in the order of recording; no two in a folder have the same."""
    return int(path.stem.split("-")[0])


def is_added(path: Path, spooled: Spooled, root: Path) -> bool:
    """Whether a kill came when it was in the dataset, but not yet removed."""
    if path.suffix != ADDING or not written_episodes(root):
        return False
    index, records = int(path.stem.split("-")[1]), read_metadata(root).episodes
    return index < len(records) and records[index].length == len(spooled.rows)


def require_fit(root: Path, spec: EmbodimentSpec, touch: int) -> None:
    """Raise the writer's `DatasetError` now if episodes of `spec` could not be added to `root`."""
    require_even(spec, root)
    if root.exists():
        with _writer(root, spec, touch):
            pass


def _writer(root: Path, spec: EmbodimentSpec, touch: int) -> LeRobotWriter:
    extras = {AUTHORITY: 1, SUCCESS: 1, WALL: 1, PLANNED: len(spec.action_space.names)}
    return LeRobotWriter(root, spec, extras=extras, touch=touch)


def written_episodes(root: Path) -> int:
    """Episodes in the dataset at `root`, which may not exist yet."""
    return len(list((root / "meta" / "episodes").glob("*/*.parquet")))


def episode_of(spooled: Spooled, spec: EmbodimentSpec) -> Episode:
    """The episode in a spool of `spec`; its images are still on disk, mapped."""
    rows, first = spooled.rows, spooled.rows[0]
    captures = rows["image_stamps"] - first["stamp"]
    instructions = tuple(text.decode() for text in rows["instruction"].tolist())
    return Episode(
        embodiment=spec.name,
        instruction=instructions[0],
        rate_hz=spec.rate_hz,
        stamps=rows["stamp"] - first["stamp"],
        images={camera.name: rows[IMAGE + camera.name] for camera in spec.cameras},
        image_stamps={camera.name: captures[:, k] for k, camera in enumerate(spec.cameras)},
        state=np.array(rows["state"]),
        actions=np.array(rows["executed"]),
        touch=np.array(rows["touch"]) if spooled.layout.touch else None,
        extras={
            AUTHORITY: rows["authority"][:, None].astype(np.float32),
            SUCCESS: np.full((len(rows), 1), SUCCESSES[spooled.success], np.float32),
            WALL: (rows["wall_s"] - first["wall_s"])[:, None].astype(np.float32),
            PLANNED: np.array(rows["planned"]),
        },
        instructions=instructions if len(set(instructions)) > 1 else (),
    )
