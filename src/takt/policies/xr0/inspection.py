"""What a checkpoint directory holds, read without its weights and without torch."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from takt.policies.xr0.config import HF_RELEASE, Contract, XR0Config
from takt.policies.xr0.released_config import from_json
from takt.policies.xr0.safetensors_header import StoredTensor, read_header
from takt.transforms.normalise import Normalise
from takt.types import TaktError

_PARTS = {
    "vision": ("vlm.model.visual.",),
    "language": ("vlm.model.language_model.", "vlm.lm_head."),
    "DiT": ("dit.",),
    "projectors": (
        "state_projector.",
        "action_projector.",
        "action_output_layer.",
        "t_embedder.",
        "t_projector.",
        "sink.",
    ),
}

_UNNAMED = (
    "not named: config.json does not say under which forward contract the weights were trained. "
    "Load with HF_RELEASE for the released checkpoints, XR0_POSTTRAIN for weights from the "
    "released trainer; the wrong one gives silently wrong actions"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Stored size of one part of the model; `dtypes` in safetensors' own names."""

    name: str
    parameters: int
    bytes: int
    dtypes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveColumn:
    """Action statistics of one used column: smallest and largest over the chunk's steps."""

    index: int
    mean_min: float
    mean_max: float
    std_min: float
    std_max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """One body: chunk length T, executed steps T_e and its used columns of `width`."""

    name: str
    horizon: int
    execute_horizon: int
    state_normalised: bool
    width: int
    columns: tuple[ActiveColumn, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A checkpoint; `contract` is None where config.json names none, and then not in `config`."""

    directory: Path
    config: XR0Config
    contract: Contract | None
    parts: tuple[Part, ...]
    bodies: tuple[Body, ...]

    @property
    def total(self) -> Part:
        """All parts together."""
        dtypes = {dtype for part in self.parts for dtype in part.dtypes}
        return Part(
            name="total",
            parameters=sum(part.parameters for part in self.parts),
            bytes=sum(part.bytes for part in self.parts),
            dtypes=tuple(sorted(dtypes)),
        )

    @property
    def contract_text(self) -> str:
        """The contract in words; for an unnamed one, what that means."""
        contract = self.contract
        if contract is None:
            return _UNNAMED
        window = "all" if contract.local_window is None else f"the last {contract.local_window}"
        return (
            f"{contract.name}: actions see {window} earlier ones, noisy ones stand "
            f"{contract.rope_offset} positions further, up to {contract.max_prefix} clean ones in "
            f"front, decoded with eps {contract.decode_eps:g}"
        )


def inspect(directory: Path) -> Inspection:
    """Read `config.json`, `preprocessor_config.json` and the headers of the weight files.

    Raises:
        TaktError: A file is missing or broken, or a shard lacks what the index promises.
    """
    data = _read_json(directory / "config.json")
    is_named = "contract" in data.get("takt", {})
    config = from_json(data, None if is_named else HF_RELEASE)
    tensors = _stored_tensors(directory)
    return Inspection(
        directory=directory,
        config=config,
        contract=config.contract if is_named else None,
        parts=_parts(tensors),
        bodies=_bodies(directory / "preprocessor_config.json", config),
    )


def _stored_tensors(directory: Path) -> dict[str, StoredTensor]:
    """Tensors of one file, or of all shards that the index names."""
    whole, index = (directory / f"model.safetensors{suffix}" for suffix in ("", ".index.json"))
    if whole.exists() or not index.exists():
        return read_header(whole)
    shard_of = _read_json(index).get("weight_map", {})
    found: dict[str, StoredTensor] = {}
    for shard in sorted({Path(name).name for name in shard_of.values()}):
        found |= read_header(directory / shard)
    missing = sorted(set(shard_of) - set(found))
    if missing:
        raise TaktError(f"{index} promises tensors that no shard holds: {', '.join(missing)}")
    return found


def _parts(tensors: dict[str, StoredTensor]) -> tuple[Part, ...]:
    groups: dict[str, list[StoredTensor]] = {name: [] for name in (*_PARTS, "other")}
    for key, tensor in tensors.items():
        owner = next(
            (name for name, prefixes in _PARTS.items() if key.startswith(prefixes)), "other"
        )
        groups[owner].append(tensor)
    return tuple(
        Part(
            name=name,
            parameters=sum(tensor.parameters for tensor in group),
            bytes=sum(tensor.bytes for tensor in group),
            dtypes=tuple(sorted({tensor.dtype for tensor in group})),
        )
        for name, group in groups.items()
        if group
    )


def _bodies(path: Path, config: XR0Config) -> tuple[Body, ...]:
    if not path.exists():
        return ()
    entries = _read_json(path).get("action_config", {})
    return tuple(_body(name, entry, config) for name, entry in entries.items())


def _body(name: str, entry: dict[str, Any], config: XR0Config) -> Body:
    try:
        mean, std = (np.array(entry[key], np.float32) for key in ("mean", "std"))
    except (KeyError, TypeError, ValueError) as error:
        raise TaktError(
            f"action statistics of {name!r}: expected mean and std: {error!r}"
        ) from error
    if mean.shape != std.shape or mean.ndim != 2 or mean.shape[1] != config.action_dim:
        raise TaktError(
            f"action statistics of {name!r}: expected two (steps, {config.action_dim}) arrays, "
            f"got {mean.shape} and {std.shape}"
        )
    statistics = Normalise(mean, std)
    columns = tuple(
        ActiveColumn(
            index=int(index),
            mean_min=float(mean[:, index].min()),
            mean_max=float(mean[:, index].max()),
            std_min=float(std[:, index].min()),
            std_max=float(std[:, index].max()),
        )
        for index in np.flatnonzero(statistics.mask.any(axis=0))
    )
    return Body(
        name=name,
        horizon=statistics.horizon,
        execute_horizon=entry.get("execute_horizon", statistics.horizon),
        state_normalised="state_mean" in entry,
        width=config.action_dim,
        columns=columns,
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise TaktError(f"expected a checkpoint directory with {path.name}: {error}") from error
    except ValueError as error:
        raise TaktError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise TaktError(f"{path}: expected one JSON object, got {type(data).__name__}")
    return data
