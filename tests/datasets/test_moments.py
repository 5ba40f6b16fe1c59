"""Images are counted, not gathered: the same statistics."""

import numpy as np
import pytest

from takt.datasets.moments import IMAGE_STRIDE, NAMES, QUANTILES, Moments


@pytest.mark.parametrize("values", [256, 3])
def test_counted_images_have_the_statistics_of_their_pixels(values: int) -> None:
    frames = np.random.default_rng(0).integers(0, values, (37, 5, 8, 3)).astype(np.uint8)
    found = Moments.of_images(frames)
    wanted = Moments.of(frames[::IMAGE_STRIDE].reshape(-1, 3))
    assert found.count == 4
    for name in NAMES:
        got = getattr(found, name).ravel()
        np.testing.assert_allclose(255 * got, getattr(wanted, name), atol=1e-9)
    for name in QUANTILES:
        got = found.quantiles[name].ravel()
        np.testing.assert_allclose(255 * got, wanted.quantiles[name], atol=1e-9)
