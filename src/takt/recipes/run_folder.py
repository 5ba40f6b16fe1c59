"""A run's folder belongs to one set of settings, so that resuming never mixes two."""

import json
from collections.abc import Mapping
from pathlib import Path

from takt.types import EmbodimentSpec, TaktError

_FILE = "run.json"

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


def claim(folder: Path, settings: Mapping[str, object]) -> None:
    """Write `settings` to `folder/run.json`, or check that the run there has the same.

    Raises:
        TaktError: the folder holds a run with other settings; names the first ones that differ.
    """
    path = folder / _FILE
    text = json.dumps(settings, indent=1)
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".tmp")
        draft.write_text(text + "\n")
        draft.rename(path)
        return
    there, ours = _leaves(json.loads(path.read_text())), _leaves(json.loads(text))
    differ = [key for key in {**there, **ours} if there.get(key) != ours.get(key)]
    if differ:
        changes = [f"{key}: {there.get(key)}, now {ours.get(key)}" for key in differ[:3]]
        raise TaktError(
            f"{folder} holds a run with other settings ({'; '.join(changes)}); "
            "continue it with its own, or choose another --out"
        )


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
