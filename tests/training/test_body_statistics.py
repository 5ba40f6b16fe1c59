"""A body's statistics are those of all its chunks at once, whatever the blocks."""

import tracemalloc
from dataclasses import replace

import numpy as np
import tiny

from takt.training import body_statistics
from takt.training.body_statistics import fit_body
from takt.training.frames import Frames

ROWS = np.arange(24)


def long(frames: Frames, times: int) -> Frames:
    """`frames` so many times, its images left out."""
    assert isinstance(frames.images, np.ndarray)
    empty = replace(frames, images=np.empty((0, *frames.images.shape[1:]), np.uint8))
    return Frames.join([empty] * times)


def fit(sources, horizon):
    return fit_body(sources, tiny.BODY, tiny.MODEL, horizon=horizon, execute=2)


def test_blocks_give_the_numbers_of_all_chunks_together(frames, monkeypatch):
    other = replace(frames, state=frames.state + 3, actions=frames.actions * 2)
    sources, horizon = [frames, other], 11  # only the first two frames of 12 fill the last step
    whole = fit(sources, horizon)
    monkeypatch.setattr(body_statistics, "BLOCK", 5)
    blocks = fit(sources, horizon)

    chunks, valid = (
        np.concatenate(x) for x in zip(*(f.chunk(ROWS, horizon) for f in sources), strict=True)
    )
    state = np.concatenate([f.state for f in sources]).astype(np.float64)
    offsets = chunks - np.where(tiny.BODY.relative, state, 0)[:, None]
    columns = list(tiny.BODY.slots)
    for fitted in (whole, blocks):
        for step in range(horizon):
            rows = offsets[valid[:, step], step]
            np.testing.assert_allclose(fitted.action.mean[step, columns], rows.mean(0), rtol=1e-6)
            np.testing.assert_allclose(fitted.action.std[step, columns], rows.std(0), rtol=1e-6)
        assert fitted.state is not None
        np.testing.assert_allclose(fitted.state.mean[0, columns], state.mean(0), rtol=1e-6)
        np.testing.assert_allclose(fitted.state.std[0, columns], state.std(0), rtol=1e-6)
    assert fitted.action.mask.sum() == horizon * len(columns)


def test_an_axis_that_rests_has_no_deviation_in_any_block(frames, monkeypatch):
    monkeypatch.setattr(body_statistics, "BLOCK", 5)
    resting = frames.actions.copy()
    resting[:, 1] = 0.1
    fitted = fit([replace(frames, actions=resting)], 4)
    assert (fitted.action.std[:, tiny.BODY.slots[1]] == 0).all()


def test_memory_does_not_grow_with_the_data(frames, monkeypatch):
    def peak(data: Frames) -> int:
        tracemalloc.start()
        fit([data], 16)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    monkeypatch.setattr(body_statistics, "BLOCK", 200)
    few, many = long(frames, 20), long(frames, 80)
    assert peak(many) < 1.1 * peak(few)
