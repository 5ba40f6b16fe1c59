"""Data parallelism over processes: each rank draws its own part of a batch, gradients are averaged.

Two ranks of one thread beat two threads for small models, and a busy neighbour slows them less.
"""

import os
import socket
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import ProcessRaisedException, start_processes

from takt.datasets.atomic import NO_SPACE
from takt.processes import die_with_parent
from takt.types import TaktError


def launch(work: Callable[..., None], ranks: int, *arguments: Any) -> None:  # noqa: ANN401
    """Run `work(*arguments)` in `ranks` processes of one thread each, joined in a gloo group.

    A rank's TaktError is raised here with its message; any other error with its traceback.
    """
    if ranks == 1:
        torch.set_num_threads(1)
        work(*arguments)
        return
    messages, sender = get_context("spawn").Pipe(duplex=False)
    try:
        start_processes(
            _run,
            (work, ranks, _free_port(), sender, arguments),
            ranks,
            daemon=True,  # an interrupted launcher ends them instead of waiting for them
            start_method="spawn",
        )
    except ProcessRaisedException:
        if messages.poll():
            raise TaktError(messages.recv_bytes().decode()) from None
        raise


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


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Replace every gradient by its mean over ranks; a missing one counts as zero.

    Each rank's loss is a mean over its own visible entries (masks, prefixes), so the result differs
    a little from the joint batch's where the ranks see unequally many; equal counts agree.
    """
    if world_size() == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
    dist.all_reduce(flat)
    flat /= world_size()
    for parameter, part in zip(
        parameters, flat.split([p.numel() for p in parameters]), strict=True
    ):
        parameter.grad = part.view_as(parameter)


def _run(
    index: int,
    work: Callable[..., None],
    ranks: int,
    port: int,
    messages: Connection,
    arguments: tuple[Any, ...],
) -> None:
    die_with_parent()
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=index, world_size=ranks)
    try:
        work(*arguments)
    except TaktError as error:
        messages.send_bytes(str(error).encode())
        raise
    except OSError as error:
        if error.errno in NO_SPACE:
            messages.send_bytes(b"the disk is full; make room, run it again to go on")
        raise
    finally:
        dist.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
