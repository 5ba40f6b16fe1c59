"""Two ranks see what one process would see, if all of their entries count."""

import numpy as np
import pytest
import tiny

from takt.training.parallel import launch, rank, world_size
from takt.types import TaktError


def test_two_ranks_average_to_the_gradient_of_the_joint_batch(tmp_path):
    shares = [[0, 5], [14, 20]]
    launch(tiny.save_gradient, 2, tmp_path, shares)
    first, second = (np.load(tmp_path / f"{k}.npy") for k in range(2))
    np.testing.assert_array_equal(first, second)
    joint = tiny.gradient(np.concatenate(shares)).numpy()
    np.testing.assert_allclose(first, joint, atol=1e-6, rtol=1e-4)
    assert np.abs(joint).max() > 1e-3


def test_without_a_group_there_is_one_rank():
    assert (rank(), world_size()) == (0, 1)


def test_a_ranks_error_is_the_launchers():
    with pytest.raises(TaktError, match="^rank 0 is tired$"):
        launch(tiny.complain, 2)
