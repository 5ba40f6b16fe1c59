"""What a checkpoint directory holds, read without its weights.

Torch is imported only for a trainer's file, which nothing else can read.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from takt.policies.xr0.checkpoint_files import (
    CONFIG,
    PREPROCESSOR,
    CheckpointError,
    find_weights,
    read_json,
    require_promised,
    shards_of,
)
from takt.policies.xr0.config import HF_RELEASE, Contract, XR0Config
from takt.policies.xr0.preprocessor_config import BodyStatistics, read_bodies, with_image_settings
from takt.policies.xr0.released_config import HOW_TO_NAME_IT, from_json, own_block
from takt.policies.xr0.safetensors_header import StoredTensor, read_header

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
    "not named: config.json does not say under which forward contract the weights were trained; "
    f"the wrong one gives silently wrong actions. {HOW_TO_NAME_IT}"
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
    """A checkpoint as it would be run.

    Attributes:
        directory: What was read.
        config: With the image rule of preprocessor_config.json, as `load_checkpoint` applies it.
        contract: None where config.json names none; the one in `config` then means nothing.
        parts: Sizes of what is stored.
        bodies: In the file's order; none without preprocessor_config.json.
    """

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
    def image_text(self) -> str:
        """How images are sized."""
        smallest, largest = self.config.image_pixels
        unit = self.config.vision.token_pixels
        rule = f"sides rounded to multiples of {unit} px, area {smallest:,} to {largest:,} px"
        if self.config.image_rule == "misfits":
            return f"kept if both sides are multiples of {unit} px; else {rule}"
        return rule

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
        TaktError: A file is missing or broken, as for `load_checkpoint`; or a shard lacks what the
            index promises.
    """
    data = read_json(directory / CONFIG)
    is_named = "contract" in own_block(data)
    config = from_json(data, None if is_named else HF_RELEASE)
    path = directory / PREPROCESSOR
    preprocessor = read_json(path) if path.exists() else {}
    config = with_image_settings(config, preprocessor)
    bodies = read_bodies(preprocessor, config)
    return Inspection(
        directory=directory,
        config=config,
        contract=config.contract if is_named else None,
        parts=_parts(_stored_tensors(find_weights(directory))),
        bodies=tuple(_body(name, statistics) for name, statistics in bodies.items()),
    )


def _stored_tensors(file: Path) -> dict[str, StoredTensor]:
    """Tensors of one file, or of all shards that an index names."""
    match file.suffix:
        case ".safetensors":
            return _sound_header(file)
        case ".json":
            return _sharded_tensors(file)
        case _:
            return _trainer_tensors(file)


def _sound_header(file: Path) -> dict[str, StoredTensor]:
    """A header that loading would accept: known dtypes, and shapes that agree with the offsets."""
    tensors = read_header(file)
    try:
        with safe_open(file, framework="np"):
            return tensors
    except SafetensorError as error:
        raise CheckpointError(f"{file} is not a complete safetensors file: {error}") from error


def _sharded_tensors(index: Path) -> dict[str, StoredTensor]:
    promised = shards_of(index)
    held = {shard: _sound_header(shard) for shard in promised}
    require_promised(index, promised, held)
    return {name: tensor for tensors in held.values() for name, tensor in tensors.items()}


def _trainer_tensors(file: Path) -> dict[str, StoredTensor]:
    import torch

    from takt.policies.xr0.weights import read_weights

    dtypes = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
    return {
        name: StoredTensor(
            dtype=dtypes.get(x.dtype, str(x.dtype)), shape=tuple(x.shape), bytes=x.nbytes
        )
        for name, x in read_weights(file).items()
    }


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


def _body(name: str, body: BodyStatistics) -> Body:
    mean, std = body.action.mean, body.action.std
    columns = tuple(
        ActiveColumn(
            index=int(index),
            mean_min=float(mean[:, index].min()),
            mean_max=float(mean[:, index].max()),
            std_min=float(std[:, index].min()),
            std_max=float(std[:, index].max()),
        )
        for index in np.flatnonzero(body.action.mask.any(axis=0))
    )
    return Body(
        name=name,
        horizon=body.action.horizon,
        execute_horizon=body.execute_horizon,
        state_normalised=body.state is not None,
        width=mean.shape[1],
        columns=columns,
    )
