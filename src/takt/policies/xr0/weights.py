"""Weights on disk: released safetensors, whole or sharded, and the trainer's DeepSpeed file.

Files are mapped into memory and only tensors are read; nothing is unpickled. Axes do not matter
here: a tensor keeps its key, shape, dtype and bits.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint
from transformers.models.qwen3_vl.modeling_qwen3_vl import (
    Qwen3VLTextRotaryEmbedding,
    Qwen3VLVisionRotaryEmbedding,
)

from takt.policies.xr0.checkpoint_files import (
    INDEX,
    WHOLE,
    CheckpointError,
    find_weights,
    require_promised,
    shards_of,
)
from takt.policies.xr0.config import XR0Config
from takt.policies.xr0.memory import Need, named_refusal, require_memory
from takt.policies.xr0.model import XR0
from takt.policies.xr0.safetensors_header import read_header

SHARD_BYTES = 5_000_000_000  # two shards at the released size, as released

_TRAINER_PREFIX = "model."
_HEAD, _TABLE = "vlm.lm_head.weight", "vlm.model.language_model.embed_tokens.weight"


def load_weights(
    config: XR0Config,
    path: Path,
    *,
    dtype: torch.dtype | None = torch.float32,
    device: torch.device | str = "cpu",
) -> XR0:
    """A model of `config` in evaluation mode with the weights found at `path`.

    Nothing is allocated for the model but its weights. On the CPU, weights that are stored in the
    wanted dtype stay in the mapped file: memory fills as they are used, and writing to them copies.

    Args:
        config: Sizes and contract.
        path: As for `read_weights`.
        dtype: Of the loaded weights; None keeps what is stored.
        device: Where they go.

    Raises:
        CheckpointError: The file is missing or broken, or keys or shapes disagree with the config.
        NotEnoughMemoryError: The weights do not fit on the device.
    """
    weights, device = read_weights(path), torch.device(device)
    with torch.device("meta"):
        model = XR0(config)
    check_keys(model, weights)
    require_memory(weights, dtype, device)
    with named_refusal(Need.of(weights, dtype), device):
        state = {name: x.to(device, dtype or x.dtype) for name, x in weights.items()}
    model.load_state_dict(state, assign=True)
    _make_buffers(model)
    return model.to(device).eval()


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by released key, still in the mapped file: bytes are read when they are used.

    Args:
        path: A safetensors file, a shard index, the trainer's `mp_rank_00_model_states.pt`, or any
            folder above one of them.

    Raises:
        CheckpointError: A file is missing or broken, or holds more than tensors.
    """
    file = find_weights(path)
    if file.name.endswith(".json"):
        weights = _read_shards(file)
    elif file.suffix == ".safetensors":
        weights = _read_safetensors(file)
    else:
        weights = _read_trainer(file)
    head, table = weights.pop(_HEAD, None), weights.get(_TABLE)
    if head is not None and table is not None and not _same(head, table):
        raise CheckpointError(
            f"{file}: expected {_HEAD} to be absent or equal to {_TABLE}, which it is tied to; "
            "got other values: these weights belong to another architecture"
        )
    return weights


def write_weights(
    directory: Path,
    tensors: Iterable[tuple[str, Tensor]],
    dtype: torch.dtype | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write the released layout: one file, or shards and their index if it would be too large.

    One shard is held in memory at a time, so `tensors` may be a generator of a model that does not
    fit. Older weights in the directory go; the file that makes them whole appears last, by rename.

    Args:
        directory: Must exist.
        tensors: Released key and values.
        dtype: Of the stored tensors; None keeps their own.
        shard_bytes: Largest file, unless one tensor is larger.
    """
    shards: list[list[str]] = []
    total, pending, size = 0, {}, 0
    for name, tensor in tensors:
        tensor = tensor.detach().to("cpu", dtype or tensor.dtype).contiguous()
        if pending and size + tensor.nbytes > shard_bytes:
            shards.append(_write_draft(directory, len(shards), pending))
            pending, size = {}, 0
        pending[name] = tensor
        size, total = size + tensor.nbytes, total + tensor.nbytes
    shards.append(_write_draft(directory, len(shards), pending))
    _publish(directory, shards, total)


def check_keys(model: XR0, weights: Mapping[str, Tensor]) -> None:
    """Raise a `CheckpointError` that lists every missing, extra, mis-shaped or integer key."""
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    problems = [f"missing {name} {shape}" for name, shape in expected.items() if name not in found]
    problems += [
        f"unexpected {name} {shape}" for name, shape in found.items() if name not in expected
    ]
    problems += [
        f"{name}: expected {shape}, got {found[name]}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    problems += [
        f"{name}: expected a floating dtype, got {str(tensor.dtype).removeprefix('torch.')}"
        for name, tensor in weights.items()
        if not tensor.is_floating_point()
    ]
    if problems:
        raise CheckpointError(
            f"weights do not fit the config ({len(problems)} keys):\n  " + "\n  ".join(problems)
        )


def _make_buffers(model: XR0) -> None:
    """Compute transformers' rotary buffers, which no file stores and the meta device left empty."""
    text, visual = model.vlm.model.language_model, model.vlm.model.visual
    text.rotary_emb = Qwen3VLTextRotaryEmbedding(text.config)
    visual.rotary_pos_emb = Qwen3VLVisionRotaryEmbedding(visual.config)


def _read_shards(index: Path) -> dict[str, Tensor]:
    promised = shards_of(index)
    require_promised(index, promised, {file: read_header(file) for file in promised})
    weights: dict[str, Tensor] = {}
    for file in promised:
        weights |= _read_safetensors(file)
    return weights


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    tensors = read_header(file).values()
    size = Need(
        parameters=sum(tensor.parameters for tensor in tensors),
        bytes=sum(tensor.bytes for tensor in tensors),
    )
    try:
        with named_refusal(size, torch.device("cpu")):
            return load_file(file)
    except SafetensorError as error:
        raise CheckpointError(f"{file} is not a complete safetensors file: {error}") from error


def _read_trainer(file: Path) -> dict[str, Tensor]:
    """`{"module": {"model.<key>": tensor}}`, whatever else the trainer stored beside it."""
    try:
        refused = get_unsafe_globals_in_checkpoint(str(file))
        content = None
        if not refused:
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise CheckpointError(f"{file} is not a complete torch file: {error}") from error
    if refused:
        raise CheckpointError(
            f"{file}: expected tensors and plain containers, got {', '.join(refused)}, which could "
            "run code and is not loaded; where it was written, keep the weights alone: "
            'torch.save({"module": checkpoint["module"]}, path)'
        )
    module = content.get("module") if isinstance(content, dict) else None
    if not isinstance(module, dict) or not all(isinstance(x, Tensor) for x in module.values()):
        raise CheckpointError(f'{file}: expected {{"module": {{key: tensor}}}} as DeepSpeed writes')
    weights: dict[str, Tensor] = {}
    twice: list[str] = []
    for name, tensor in module.items():
        key = name.removeprefix(_TRAINER_PREFIX)
        twice += [key] if key in weights else []
        weights[key] = tensor.detach()
    if twice:
        raise CheckpointError(
            f"{file}: expected every key once, with or without {_TRAINER_PREFIX!r} in front; got "
            f"both of {', '.join(twice)}; keep the set that was trained"
        )
    return weights


def _same(first: Tensor, second: Tensor) -> bool:
    return first.dtype == second.dtype and torch.equal(first, second)


def _draft(directory: Path, number: int) -> Path:
    return directory / f"model-{number:05d}.safetensors.tmp"


def _write_draft(directory: Path, number: int, tensors: dict[str, Tensor]) -> list[str]:
    draft = _draft(directory, number)
    save_file(tensors, draft, metadata={"format": "pt"})
    # the library makes it its owner's alone: whoever may list the folder may read it
    draft.chmod(directory.stat().st_mode & 0o666)
    return list(tensors)


def _publish(directory: Path, shards: list[list[str]], total: int) -> None:
    """Give the drafts their names; a directory with neither WHOLE nor INDEX has no weights."""
    count = len(shards)
    if count == 1:
        names = [WHOLE]
    else:
        names = [f"model-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)]
        (directory / WHOLE).unlink(missing_ok=True)
        (directory / INDEX).unlink(missing_ok=True)
    for number, name in enumerate(names):
        _draft(directory, number).replace(directory / name)
    if count > 1:
        owner = {key: name for name, keys in zip(names, shards, strict=True) for key in keys}
        draft = directory / f"{INDEX}.tmp"
        draft.write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": owner}))
        draft.replace(directory / INDEX)
        names.append(INDEX)
    for older in (directory / INDEX, *directory.glob("model-*.safetensors*")):
        if older.name not in names:
            older.unlink(missing_ok=True)
