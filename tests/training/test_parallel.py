"""Ranks and their launcher."""

import pytest
import ranks

from takt.training.parallel import launch, rank, world_size
from takt.types import TaktError


def test_without_a_group_there_is_one_rank():
    assert (rank(), world_size()) == (0, 1)


def test_a_ranks_error_is_the_launchers():
    with pytest.raises(TaktError, match="^rank 0 is tired$"):
        launch(ranks.complain, 2)
