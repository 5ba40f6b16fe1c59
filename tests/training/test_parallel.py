"""Ranks and their launcher."""

import signal

import pytest
import ranks
import torch

from takt.training.parallel import launch, rank, world_size
from takt.types import TaktError


def test_without_a_group_there_is_one_rank():
    assert (rank(), world_size()) == (0, 1)


def test_a_gpu_that_stays_idle_is_said(monkeypatch, capsys):
    launch(lambda: None, 1)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    launch(lambda: None, 1)
    assert "torchrun --nproc-per-node" in capsys.readouterr().err


def test_ctrl_c_while_ranks_import_is_no_childs_business(monkeypatch):
    seen, before = [], signal.getsignal(signal.SIGINT)  # ignored already under nohup

    def start(*arguments, **options):
        seen.append(signal.getsignal(signal.SIGINT))
        raise KeyboardInterrupt

    monkeypatch.setattr("takt.training.parallel.start_processes", start)
    with pytest.raises(KeyboardInterrupt):
        launch(ranks.complain, 2)
    assert seen == [signal.SIG_IGN]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_ranks_error_is_the_launchers_and_every_rank_hears_all():
    with pytest.raises(TaktError, match=r"^rank 0 is tired of \['', 'ééé'\]$"):
        launch(ranks.complain, 2)
