"""A stage's resumable state on disk: safetensors, a file per rank, read on any number of ranks.

`folder/STEP/` is complete: it was renamed to that name once every rank had written its part.
"""

import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from takt.datasets.atomic import sync_directory
from takt.training.parallel import on_first_rank
from takt.types import TaktError

Shapes = dict[str, torch.Size]
"""Of every stored tensor, by name."""
DRAFT = "draft"


def save_tensors(folder: Path, step: int, tensors: dict[str, Tensor]) -> None:
    """Write what every rank holds of `tensors` as the state after `step`; replaces older ones.

    Every rank calls it. A kill leaves the old state or the new one.

    Raises:
        OSError: no space; the old state is still there.
    """
    draft = folder / DRAFT
    on_first_rank(_make_anew, draft)
    writer = HuggingFaceStorageWriter(str(draft), save_distributed=True)
    try:
        with _alone_or_not() as alone:
            save(tensors, storage_writer=writer, no_dist=alone)
    except CheckpointException as error:
        causes = [cause for cause, _ in error.failures.values() if isinstance(cause, OSError)]
        raise causes[0] if causes else error from error
    on_first_rank(_publish, draft, folder / f"{step:08d}")


def saved_step(folder: Path) -> Path | None:
    """The folder of the newest complete state."""
    steps = [path for path in folder.glob("*") if path.name.isdigit()]
    return max(steps, default=None, key=lambda path: int(path.name))


def load_tensors(path: Path, wanted: Callable[[Shapes], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Fill the tensors that `wanted` names, given what there is; each rank its own part.

    Raises:
        TaktError: not a readable state, or one of other tensors.
    """
    reader = HuggingFaceStorageReader(str(path))
    try:
        stored = reader.read_metadata().state_dict_metadata
        shapes = {name: torch.Size(getattr(entry, "size", ())) for name, entry in stored.items()}
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise TaktError(
            f"{path} is not a readable training state ({error}); delete it to start the stage anew"
        ) from error
    tensors = wanted(shapes)
    ours = {name: tensor.shape for name, tensor in tensors.items()}
    if differing := [name for name in {**ours, **shapes} if ours.get(name) != shapes.get(name)]:
        name = differing[0]
        raise TaktError(
            f"{path} holds the state of another model: expected {name} {ours.get(name)}, "
            f"got {shapes.get(name)}; delete it to start the stage anew"
        )
    with _alone_or_not() as alone:
        load(tensors, storage_reader=reader, no_dist=alone)
    return tensors


@contextmanager
def _alone_or_not() -> Iterator[bool]:
    """Whether this process is the only one, which torch warns of."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield not dist.is_initialized()


def _make_anew(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _publish(draft: Path, path: Path) -> None:
    older = [other for other in path.parent.iterdir() if other.name.isdigit() and other != path]
    shutil.rmtree(path, ignore_errors=True)
    draft.rename(path)
    sync_directory(path.parent)
    for other in older:
        shutil.rmtree(other)
