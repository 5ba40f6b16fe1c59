"""Points survive being written."""

import numpy as np

from takt.transforms.image_points import point_text, read_point


def test_a_point_is_read_as_it_was_written():
    for point in np.random.default_rng(0).uniform(0, 1, (50, 2)):
        found = read_point(point_text((point[0], point[1])))
        assert found is not None
        assert np.abs(found - point).max() <= 0.005 + 1e-9
    assert read_point("yes") is None
    assert read_point("1,2") is None
