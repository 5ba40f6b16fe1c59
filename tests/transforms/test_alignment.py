"""The one alignment rule."""

import numpy as np
import pytest

from takt.transforms.alignment import NoSampleError, align

FRAMES = {"ego": np.array([0.0, 0.033, 0.067])}
STAMPS = np.array([0.0, 0.02, 0.04, 0.06])
JOINTS = np.stack([STAMPS * 10, -STAMPS], axis=1)


def test_causal_takes_the_latest_past_frame_and_interpolates_joints() -> None:
    aligned = align(0.05, FRAMES, STAMPS, JOINTS)
    assert aligned.frames == {"ego": 1}
    np.testing.assert_allclose(aligned.joints, [0.5, -0.05], rtol=1e-6)


def test_a_frame_captured_at_the_tick_counts_as_not_after_it() -> None:
    assert align(1 / 30, {"ego": np.array([0.0, 1 / 30 + 1e-9])}, STAMPS, JOINTS).frames["ego"] == 1


def test_nearest_may_look_ahead() -> None:
    aligned = align(0.051, FRAMES, STAMPS, JOINTS, rule="nearest")
    assert aligned.frames == {"ego": 2}
    np.testing.assert_allclose(aligned.joints, [0.6, -0.06], rtol=1e-6)


def test_nothing_yet_is_an_error() -> None:
    with pytest.raises(NoSampleError, match="ego"):
        align(0.05, {"ego": np.array([0.06])}, STAMPS, JOINTS)
