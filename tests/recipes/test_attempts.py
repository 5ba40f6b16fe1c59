"""Attempts by several processes: in seed order, and their errors by name."""

from contextlib import closing
from itertools import islice
from multiprocessing import Pipe

import pytest
from attempts import killed, refused, slow_start

from takt.recipes.attempts import WorkerDiedError, _exchange, attempts
from takt.types import TaktError


def test_attempts_come_in_seed_order_whoever_is_first():
    with closing(attempts(slow_start, 0, 2)) as stream:
        found = list(islice(stream, 5))
    assert [seed for seed, _ in found] == [0, 1, 2, 3, 4]
    assert [episode is None for _, episode in found] == [False, True, False, False, True]


def test_an_attempts_error_arrives():
    with (
        closing(attempts(refused, 0, 1)) as stream,
        pytest.raises(TaktError, match="expected a magnet, got none"),
    ):
        next(stream)


def test_an_attempts_error_arrives_from_a_worker_that_has_ended():
    ours, theirs = Pipe()
    theirs.send(TaktError("expected a magnet, got none"))
    theirs.close()
    with pytest.raises(TaktError, match="expected a magnet"):
        _exchange(ours, 1)


def test_a_dead_worker_is_named():
    with closing(attempts(killed, 0, 1)) as stream, pytest.raises(WorkerDiedError, match="died"):
        next(stream)
