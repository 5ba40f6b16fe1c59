"""What is measured while a stage trains, and that it changes nothing."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from takt.policies.xr0.checkpoint import Checkpoint, load_checkpoint
from takt.policies.xr0.tokenizer import build_tokenizer
from takt.training.body_statistics import DeadStatisticsError
from takt.training.frames import stack_episodes
from takt.training.measures import NOTHING, Measures
from takt.training.metrics import Rollouts
from takt.training.mixture import RobotFrames
from takt.training.pipeline import fit, train_frames

TWO_STEPS = replace(tiny.LOOP, steps=2, batch_size=2, bf16=True, save_every_s=60.0)
CONFIG = replace(tiny.CONFIG, choice=TWO_STEPS, expert=None, post=TWO_STEPS)


def train(frames, out, measures=NOTHING):
    """The running losses, step by step, and the weights."""
    losses = []

    def report(stage, step):
        losses.append((stage, step.step, dict(step.losses)))

    train_frames(
        CONFIG, [RobotFrames(spec=tiny.BODY, frames=[frames])], out, report, None, measures
    )
    return losses, load_checkpoint(out / "policy").model.state_dict()


def test_training_is_the_same_to_the_bit_and_validation_sees_its_average(frames, tmp_path):
    found, worked = [], []
    held_out = stack_episodes([tiny.episode(7)], tiny.BODY, tiny.POINTS_KEY)

    def attempts(folder, step):
        worked.append(load_checkpoint(folder).model.state_dict())
        torch.rand(1)
        return Rollouts(step=step, successes=1, attempts=2, low=0.1, high=0.9)

    measures = Measures(
        held_out=held_out,
        validate_every=1,
        attempts=attempts,
        rollout_every=2,
        record=lambda stage, metric: found.append((stage, metric)),
    )
    losses, weights = train(frames, tmp_path / "watched", measures)
    plain_losses, plain = train(frames, tmp_path / "plain")
    assert losses == plain_losses
    assert all(torch.equal(weights[name], x) for name, x in plain.items())
    assert all(torch.equal(worked[0][name], x) for name, x in plain.items())
    kinds = [(stage, type(metric).__name__, metric.step) for stage, metric in found]
    assert kinds == [
        ("choice", "Validation", 1),
        ("choice", "Validation", 2),
        ("post", "Validation", 1),
        ("post", "Validation", 2),
        ("post", "Rollouts", 2),
    ]
    choice, post = found[1][1], found[3][1]
    assert choice.error_by_step == ()
    assert {"loss", "points"} <= set(choice.losses)
    assert len(post.error_by_step) == len(post.mean_action_by_step) == tiny.HORIZON
    assert post.frames == len(held_out)
    assert all(np.isfinite(x) for x in (*post.losses.values(), *post.error_by_step))


@pytest.mark.parametrize("name", ["expert", "post"])
def test_a_measurement_keeps_no_graph_and_no_more_frames_than_a_step(
    frames, batcher, monkeypatch, name
):
    stage, kept, sizes = tiny.stage(name, batcher), [], []
    losses = stage.losses

    def count(batch, generator):
        sizes.append(len(batch.actions))
        return losses(batch, generator)

    monkeypatch.setattr(stage, "losses", count)
    measures = Measures(held_out=frames, validate_every=1)
    checkpoint = Checkpoint(model=stage.policy, tokenizer=build_tokenizer(), bodies={})
    checkpoint.bodies[tiny.BODY.name] = fit([frames], tiny.BODY, CONFIG)
    plan = replace(tiny.LOOP, batch_size=20, accumulate=4)
    (check,) = measures.checks(name, stage, batcher, checkpoint, tiny.BODY, plan)
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda tensor: tensor):
        check.run(1)
    assert sizes == [5] * 4 + [4]
    assert not kept


def test_an_axis_that_never_moves_stops_the_recipe(tmp_path):
    episode = tiny.episode(0)
    episode.actions[:, 1] = 0.5
    frames = stack_episodes([episode], tiny.BODY, tiny.POINTS_KEY)
    with pytest.raises(DeadStatisticsError, match="left_jaw"):
        train(frames, tmp_path)
    assert list(tmp_path.iterdir()) == []
