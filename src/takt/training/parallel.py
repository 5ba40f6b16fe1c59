"""Data parallelism over processes: each rank computes its own part of a batch.

Ranks are started by `launch` or by torchrun. Two ranks of one thread beat two threads for small
models, and a busy neighbour slows them less.
"""

import atexit
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import (
    ProcessExitedException,
    ProcessRaisedException,
    start_processes,
)

from takt.datasets.atomic import NO_SPACE
from takt.processes import deaf_to_interrupts, die_with_parent
from takt.types import TaktError

# Others wait while one rank records or decodes data; launchers notice a rank that died.
_PATIENCE = timedelta(days=2)
_LONGEST = 1 << 14  # bytes of a message from rank to rank


def launch(work: Callable[..., None], ranks: int, *arguments: Any) -> None:  # noqa: ANN401
    """Run `work(*arguments)` in `ranks` processes of one thread each, joined in a gloo group.

    Under torchrun this process is a rank already and runs it alone, whatever `ranks`.
    A rank's TaktError is raised here with its message; any other error with its traceback.
    """
    join()
    if dist.is_initialized():
        work(*arguments)
        return
    if torch.cuda.is_available():
        print(
            "warning: the GPU is not used, which only torchrun gives out: "
            "torchrun --nproc-per-node GPUS --no-python takt train ...",
            file=sys.stderr,
            flush=True,
        )
    if ranks == 1:
        torch.set_num_threads(1)
        work(*arguments)
        return
    messages, sender = get_context("spawn").Pipe(duplex=False)
    heard = signal.getsignal(signal.SIGINT)
    try:
        with deaf_to_interrupts():
            started = start_processes(
                _run,
                (work, ranks, _free_port(), sender, heard != signal.SIG_IGN, arguments),
                ranks,
                join=False,
                daemon=True,  # an interrupted launcher ends them instead of waiting for them
                start_method="spawn",
            )
        assert started is not None
        while not started.join():
            pass
    except ProcessRaisedException:
        if messages.poll():
            raise TaktError(messages.recv_bytes().decode()) from None
        raise
    except ProcessExitedException as error:
        raise TaktError(
            f"rank {error.error_index} died ({error.signal_name or error.exit_code}); if nobody "
            "killed it, memory ran out: use a smaller batch; run it again to go on"
        ) from error


def join() -> None:
    """Join the group of ranks that torchrun started this process for; without torchrun nothing.

    Each rank has a GPU where there are any.
    """
    if dist.is_initialized() or "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group(backend, timeout=_PATIENCE)
    atexit.register(dist.destroy_process_group)


def device() -> torch.device:
    """Where this rank trains: its GPU under torchrun, else the CPU."""
    if dist.is_initialized() and dist.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def rank() -> int:
    """This process's number; 0 without a group."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of ranks; 1 without a group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def barrier() -> None:
    """Wait for every rank."""
    if dist.is_initialized():
        dist.barrier()


def on_first_rank(work: Callable[..., object], *arguments: Any) -> None:  # noqa: ANN401
    """Run `work(*arguments)` on one rank while the others wait.

    Raises:
        TaktError: on the others, with what `work` raised on the first: none goes on alone.
    """
    failure: Exception | None = None
    if rank() == 0:
        try:
            work(*arguments)
        except Exception as error:
            failure = error
    message = _told_by_first("" if failure is None else _told(failure) or _traced(failure))
    if failure is not None:
        raise failure
    if message:
        raise TaktError(message)


def agree(value: bool) -> bool:
    """The first rank's `value`, on all."""
    if world_size() == 1:
        return value
    flag = torch.tensor([float(value)], device=device())
    dist.broadcast(flag, 0)
    return bool(flag.item())


def gathered(text: str) -> list[str]:
    """What each rank says, in their order, on all."""
    if world_size() == 1:
        return [text]
    own = torch.tensor(list(text.encode()), dtype=torch.uint8, device=device())
    lengths = [torch.zeros(1, dtype=torch.int64, device=device()) for _ in range(world_size())]
    dist.all_gather(lengths, torch.tensor([len(own)], device=device()))
    longest = int(torch.stack(lengths).max())
    # not all_gather_object: it unpickles what the other ranks send
    letters = [torch.zeros(longest, dtype=torch.uint8, device=device()) for _ in lengths]
    dist.all_gather(letters, torch.nn.functional.pad(own, (0, longest - len(own))))
    pairs = zip(letters, lengths, strict=True)
    return [bytes(said[: int(length)].tolist()).decode() for said, length in pairs]


def _told_by_first(message: str) -> str:
    """The first rank's `message`, on all, once all are here."""
    if not dist.is_initialized():
        return message
    text = message.encode()[:_LONGEST]
    letters = torch.zeros(_LONGEST, dtype=torch.uint8)
    letters[: len(text)] = torch.tensor(list(text), dtype=torch.uint8)
    letters = letters.to(device())
    dist.broadcast(letters, 0)
    barrier()
    return bytes(letters.tolist()).rstrip(b"\0").decode(errors="ignore")


def _told(error: Exception) -> str | None:
    """What a user is told of an error that was foreseen."""
    if isinstance(error, TaktError):
        return str(error)
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        return "the disk is full; make room, run it again to go on"
    return None


def _traced(error: Exception) -> str:
    return "the first rank failed:\n" + "".join(traceback.format_exception(error))


def mean(values: Tensor) -> Tensor:
    """Mean of `values` over ranks, without gradient."""
    if world_size() == 1:
        return values.detach()
    total = values.detach().clone()
    dist.all_reduce(total)
    return total / world_size()


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Replace every gradient by its mean over ranks; one that every rank lacks stays missing."""
    if world_size() == 1:
        return
    present = torch.tensor([float(p.grad is not None) for p in parameters], device=device())
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([present, *(gradient.flatten() for gradient in gradients)])
    dist.all_reduce(flat)
    flat /= world_size()
    present, *parts = flat.split([len(parameters), *(p.numel() for p in parameters)])
    for parameter, part, known in zip(parameters, parts, present.tolist(), strict=True):
        parameter.grad = part.view_as(parameter) if known else None


def _run(
    index: int,
    work: Callable[..., None],
    ranks: int,
    port: int,
    messages: Connection,
    hears: bool,
    arguments: tuple[Any, ...],
) -> None:
    die_with_parent()
    if hears:  # from here on an interrupted rank says nothing, and leaves its files in order
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=index, world_size=ranks, timeout=_PATIENCE)
    try:
        work(*arguments)
    except Exception as error:
        if message := _told(error):
            messages.send_bytes(message.encode())
        raise
    finally:
        dist.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
