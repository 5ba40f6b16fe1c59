"""Frames and batches: tails, plans, symmetry, repeatability."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from takt.policies.common.flow import loss_mask
from takt.training.frames import Frames, stack_episodes
from takt.types import TaktError

EVERY = np.arange(24)
LAST_OF_FIRST = 11  # row of the first episode's last tick


def test_a_chunk_repeats_the_last_action_past_the_end(frames):
    chunk, valid = frames.chunk(np.array([LAST_OF_FIRST - 1]), tiny.HORIZON)
    assert valid.tolist() == [[True, True, False, False]]
    end = frames.actions[LAST_OF_FIRST]
    np.testing.assert_array_equal(chunk[0], [frames.actions[LAST_OF_FIRST - 1], end, end, end])


def test_what_lies_past_the_end_does_not_count(frames, batcher):
    batch = tiny.batch(batcher, frames, np.array([LAST_OF_FIRST, 12]), np.zeros(2, bool))
    mask = loss_mask(batcher.action_mask, batch.valid)
    assert mask[0, 1:].abs().sum() == 0
    used = sorted(tiny.BODY.slots)
    assert (mask[0, 0].nonzero().flatten().tolist(), mask[1].sum().item()) == (used, 16)


def test_a_plan_stands_for_the_chunk_where_there_is_one(frames):
    plans = np.zeros((12, tiny.HORIZON + 1, 4), np.float32)
    plans[[3, LAST_OF_FIRST]] = np.arange(1, 6)[:, None]
    episode = tiny.episode(0)
    extras = {**episode.extras, tiny.PLAN_KEY: plans.reshape(12, -1)}
    episode = replace(episode, extras=extras)
    planned = stack_episodes([episode], tiny.BODY, tiny.POINTS_KEY, tiny.PLAN_KEY)
    np.testing.assert_array_equal(planned.images, frames.images[[3, LAST_OF_FIRST]])
    chunk, valid = planned.chunk(np.arange(2), tiny.HORIZON)
    assert valid.all()
    np.testing.assert_array_equal(chunk[1, :, 0], [1, 2, 3, 4])


def test_mapped_frames_are_the_saved_ones(frames, tmp_path):
    frames.save(tmp_path)
    mapped = Frames.map(tmp_path)
    flips = np.arange(24) % 2 == 0
    ours = tiny.batch(tiny.batcher(mapped), mapped, EVERY, flips)
    theirs = tiny.batch(tiny.batcher(frames), frames, EVERY, flips)
    assert torch.equal(ours.inputs.pixel_values, theirs.inputs.pixel_values)
    assert torch.equal(ours.actions, theirs.actions)
    np.testing.assert_array_equal(mapped.images, frames.images)


def mirrored(frames):
    """The mirror image of every row."""
    mirror, points = tiny.BODY.mirror, list(tiny.CONFIG.grounding.mirror)
    assert mirror is not None
    return replace(
        frames,
        images=frames.images[:, list(mirror.cameras), :, ::-1],
        state=frames.state[:, list(mirror.axes)] * np.array(mirror.signs, np.float32),
        actions=frames.actions[:, list(mirror.axes)] * np.array(mirror.signs, np.float32),
        points=frames.points[:, points] * np.array([-1, 1], np.float32),
    )


def same(a, b):
    return (
        torch.equal(a.inputs.pixel_values, b.inputs.pixel_values)
        and torch.equal(a.state, b.state)
        and torch.equal(a.actions, b.actions)
        and torch.equal(a.points, b.points)
    )


def test_mirroring_twice_changes_nothing(frames, batcher):
    flips = np.ones(24, bool)
    plain = tiny.batch(batcher, frames, EVERY, ~flips)
    assert same(tiny.batch(batcher, mirrored(frames), EVERY, flips), plain)
    assert not same(tiny.batch(batcher, frames, EVERY, flips), plain)


def test_mirroring_leaves_the_data_alone(frames, batcher):
    before = frames.images.copy(), frames.state.copy(), frames.points.copy()
    tiny.batch(batcher, frames, EVERY, np.ones(24, bool))
    for kept, now in zip(before, (frames.images, frames.state, frames.points), strict=True):
        np.testing.assert_array_equal(kept, now)


def test_a_batch_depends_on_its_generator_only(batcher):
    first, again, other = (
        batcher.draw(8, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert same(first, again)
    assert not same(first, other)


def test_no_episodes_is_an_error():
    with pytest.raises(TaktError, match="record"):
        stack_episodes([], tiny.BODY)


CAMERA = tiny.BODY.cameras[0]


@pytest.mark.parametrize(
    ("other", "keys", "named"),
    [
        (replace(tiny.BODY, cameras=(replace(CAMERA, name="roof"),)), {}, "'roof'.*none"),
        (replace(tiny.BODY, cameras=(replace(CAMERA, width=64),)), {}, r"\(32, 64\).*\(32, 32\)"),
        (replace(tiny.BODY, rate_hz=30.0), {}, "rate.*30.*10"),
        (tiny.BODY, {"plan_key": tiny.PLAN_KEY}, f"{tiny.PLAN_KEY}.*none"),
    ],
)
def test_another_bodys_episode_is_an_error(other, keys, named):
    with pytest.raises(TaktError, match=named):
        stack_episodes([tiny.episode(0)], other, **keys)


def test_plans_shorter_than_a_chunk_are_an_error(frames):
    with pytest.raises(TaktError, match="at least 4 actions"):
        tiny.batcher(replace(frames, plans=np.ones((24, 3, 4), np.float32)), fitted=frames)


def test_every_dataset_has_the_same_share_of_a_batch(frames):
    few = stack_episodes([tiny.episode(2, ticks=3)], tiny.BODY, tiny.POINTS_KEY)
    high, low = (replace(f, points=f.points * 0 + y) for f, y in ((few, 0.5), (frames, -0.5)))
    drawn = tiny.batcher(high, low, fitted=frames).draw(8, torch.Generator().manual_seed(0))
    assert sorted(drawn.points[:, 0, 1].tolist()) == [-0.5] * 4 + [0.5] * 4


def test_views_of_different_size_keep_their_own(frames):
    wide = replace(tiny.BODY.cameras[1], width=2 * tiny.PX)
    body = replace(tiny.BODY, cameras=(wide, tiny.BODY.cameras[0]), mirror=None)
    episode = tiny.episode(0)
    images = {**episode.images, wide.name: episode.images[wide.name].repeat(2, axis=2)}
    mixed = stack_episodes([replace(episode, images=images)], body, tiny.POINTS_KEY)
    assert mixed.sizes.tolist() == [[tiny.PX, 2 * tiny.PX], [tiny.PX, tiny.PX]]
    stored = mixed.images[np.arange(len(mixed))]
    np.testing.assert_array_equal(stored[:, 1, :, : tiny.PX], images[CAMERA.name])
    batch = tiny.batch(tiny.batcher(mixed, body=body), mixed, EVERY[:2], np.zeros(2, bool))
    assert batch.inputs.image_grid_thw.tolist() == [[1, 4, 8], [1, 4, 4]] * 2


def test_a_view_is_mirrored_in_its_own_size():
    front, *others = tiny.BODY.cameras
    body = replace(tiny.BODY, cameras=(replace(front, width=2 * tiny.PX), *others))
    episode = tiny.episode(0)
    images = {**episode.images, front.name: episode.images[front.name].repeat(2, axis=2)}
    twins = dict(zip(images, ("front", "right", "left"), strict=True))
    flipped = {name: images[twin][:, :, ::-1] for name, twin in twins.items()}
    mixed, by_hand = (
        stack_episodes([replace(episode, images=shown)], body, tiny.POINTS_KEY)
        for shown in (images, flipped)
    )
    batches, flips = tiny.batcher(mixed, body=body), np.array([True, False])
    found = tiny.batch(batches, mixed, EVERY[:2], flips).inputs.pixel_values
    plain, mirrored = (
        tiny.batch(batches, x, EVERY[:2], ~flips & flips).inputs.pixel_values
        for x in (mixed, by_hand)
    )
    half = len(found) // 2
    assert torch.equal(found, torch.cat((mirrored[:half], plain[half:])))


def test_every_frame_is_asked_for_its_own_task(frames, batcher):
    first = tiny.batch(batcher, frames, EVERY[:1], np.zeros(1, bool)).inputs.input_ids
    tasks = (*("Bow.",) * 6, *("",) * 6)
    two = stack_episodes([replace(tiny.episode(0), instructions=tasks)], tiny.BODY, tiny.POINTS_KEY)
    ids = tiny.batch(batcher, two, EVERY[5:7], np.zeros(2, bool)).inputs.input_ids
    assert torch.equal(ids[1:], first)  # a frame without a task has the body's
    assert not torch.equal(ids[:1], first)
