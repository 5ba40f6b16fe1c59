"""A run's folder belongs to one set of settings, so that resuming never mixes two."""

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from takt.folder_lock import FolderLock
from takt.training.metrics import NAME
from takt.types import EmbodimentSpec, TaktError

_FILE = "run.json"
_ASKED = "asked."
_DRAFT = "draft"  # folder of a state that is being written, as training/checkpoint.py names it
_HELD: dict[Path, IO[str]] = {}
"""Settings of this process's runs: locked, as their folders are, until it ends in whatever way."""

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """No other run is at work in `folder` meanwhile, or in one that is killed; makes it if missing.

    Under torchrun every rank calls it and the first one holds the lock.

    Raises:
        TaktError: another run is at work there (`FolderInUseError` on the first rank).
    """
    from takt.training.parallel import join, on_first_rank

    join()
    locks: list[FolderLock] = []
    made = not folder.exists()
    on_first_rank(lambda: locks.append(FolderLock(folder)))
    try:
        yield
    finally:
        for lock in locks:
            lock.release()
            if made:
                with suppress(OSError):  # it is empty where the run was refused
                    folder.rmdir()


def claim(
    folder: Path,
    settings: Mapping[str, object],
    advice: str = "continue it with its own, or choose another --out",
) -> None:
    """Write `settings` to `folder/run.json`, or check that the run there has the same.

    A run that kept nothing and has ended does not count. Options under `asked` are not compared:
    where settings that follow from them differ, they are what is named.

    Raises:
        TaktError: the folder holds a run with other settings; names the first ones that differ, and
            gives the `advice`.
    """
    path = folder / _FILE
    text = json.dumps(settings, indent=1)
    if path.exists():
        changes = _changes(_leaves(json.loads(path.read_text())), _leaves(json.loads(text)))
        if not changes:
            _hold(path)
            return
        if keeps_work(folder) or _is_held(path):
            raise TaktError(
                f"{folder} holds a run with other settings ({'; '.join(changes[:3])}); {advice}"
            )
        for metrics in folder.rglob(NAME):
            metrics.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(text + "\n")
    draft.rename(path)
    _hold(path)


def claim_again(folder: Path, settings: Mapping[str, object], *advice: str) -> None:
    """`claim` a folder that has a run's settings; leave one free until something is trained."""
    if is_claimed(folder):
        claim(folder, settings, *advice)


def keeps_work(folder: Path) -> bool:
    """Whether a state of a training, an episode or a file of rows is there, drafts left out."""
    kinds = ("**/*.safetensors", "**/episodes/**/*.parquet", "*.parquet")
    return any(path.parent.name != _DRAFT for kind in kinds for path in folder.glob(kind))


def _changes(there: Mapping[str, "Json"], ours: Mapping[str, "Json"]) -> list[str]:
    """By option where there are some, else by setting."""
    both = [key for key in {**there, **ours} if there.get(key) != ours.get(key)]
    differ = [key for key in both if not key.startswith(_ASKED)]
    asked = [key for key in both if key in there and key not in differ]
    told = asked if differ and asked else differ
    return [f"{key.removeprefix(_ASKED)}: {there.get(key)}, now {ours.get(key)}" for key in told]


def _hold(path: Path) -> None:
    _HELD[path.resolve()] = file = path.open()
    fcntl.flock(file, fcntl.LOCK_SH)


def _is_held(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def release(folder: Path, key: str) -> None:
    """Forget settings that have `key`, where nothing was made with them; leave others' alone."""
    path = folder / _FILE
    if path.exists() and key in json.loads(path.read_text()):
        path.unlink()


def is_claimed(folder: Path) -> bool:
    """Whether a run has settings there, to which another's must be equal."""
    return (folder / _FILE).exists()


def body_facts(spec: EmbodimentSpec) -> dict[str, object]:
    """What a run must not change of its body, by name, so that a difference reads well."""
    space = spec.action_space
    axes = zip(space.names, spec.slots, spec.relative, space.low, space.high, strict=True)
    return {
        "name": spec.name,
        "rate_hz": spec.rate_hz,
        "instruction": spec.instruction,
        "axes": {name: [slot, rel, float(low), float(high)] for name, slot, rel, low, high in axes},
        "state": dict(zip(spec.state_names, spec.state_slots, strict=True)),
        "cameras": {c.name: [c.view, c.height, c.width] for c in spec.cameras},
    }


def _leaves(tree: Json, name: str = "") -> dict[str, Json]:
    if not isinstance(tree, dict):
        return {name: tree}
    return {
        key: value
        for part, branch in tree.items()
        for key, value in _leaves(branch, f"{name}.{part}" if name else part).items()
    }
