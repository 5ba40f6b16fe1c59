"""The loop: every stage learns, resumes to the bit, and stops when the loss is no number."""

import copy
import threading
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from takt.training import loop as training_loop
from takt.training.checkpoint import DRAFT, load_tensors, save_tensors, saved_step
from takt.training.ema import Ema
from takt.training.loop import Check, DivergedError, draw_seed, learning_rate, train_stage
from takt.training.shards import WHOLE
from takt.training.updater import Updater
from takt.types import TaktError


class StoppedError(Exception):
    """The run was killed."""


def weights(stage):
    return {name: x.clone() for name, x in stage.state_dict().items()}


def equal(a, b):
    return all(torch.equal(a[name], b[name]) for name in a) and a.keys() == b.keys()


def stop_at(step):
    def report(report):
        if report.step == step:
            raise StoppedError

    return report


@pytest.mark.parametrize("name", ["choice", "expert", "post"])
def test_a_stopped_stage_goes_on_to_the_same_weights(batcher, tmp_path, name):
    whole, stopped, resumed = (tiny.stage(name, batcher) for _ in range(3))
    fresh = weights(whole)
    train_stage(whole, batcher, tiny.LOOP, tmp_path / "whole", lambda report: None)
    path = tmp_path / "stopped"
    with pytest.raises(StoppedError):
        train_stage(stopped, batcher, tiny.LOOP, path, stop_at(3))
    assert [folder.name for folder in path.iterdir()] == ["00000002"]
    train_stage(resumed, batcher, tiny.LOOP, path, lambda report: None)
    assert equal(weights(resumed), weights(whole))
    assert not equal(weights(whole), fresh)
    again = tiny.stage(name, batcher)
    train_stage(again, batcher, tiny.LOOP, path, lambda report: pytest.fail("was finished"))
    assert equal(weights(again), weights(whole))


def test_checks_see_the_average_and_change_nothing(batcher, tmp_path):
    plain, watched = (tiny.stage("post", batcher) for _ in range(2))
    losses, seen = ([], []), []
    plan = replace(tiny.LOOP, save_every_s=60.0)

    def look(step):
        torch.rand(3)
        seen.append((step, weights(watched)))

    train_stage(plain, batcher, plan, tmp_path / "a", losses[0].append)
    checks = [Check(every=3, run=look)]
    train_stage(watched, batcher, plan, tmp_path / "b", losses[1].append, checks=checks)
    assert [step for step, _ in seen] == [3, 4]
    assert equal(weights(watched), weights(plain))
    assert equal(seen[-1][1], weights(plain))  # a stage ends with its average
    assert not equal(seen[0][1], weights(plain))
    assert [x.losses for x in losses[0]] == [x.losses for x in losses[1]]


def test_a_stopped_mixture_drawn_ahead_goes_on_to_the_same_losses(
    batcher, mixture, tmp_path, monkeypatch
):
    plan, found, seen = replace(tiny.LOOP, accumulate=2), {}, []

    def train(name, report=lambda report: None, **options):
        def remember(step):
            found.setdefault(name, {}).setdefault(step.step, []).append(step.losses)
            report(step)

        stage = tiny.stage("choice", batcher)
        train_stage(stage, mixture, plan, tmp_path / name, remember, **options)
        return weights(stage)

    whole = train("whole")
    monkeypatch.setattr(training_loop, "_draws_ahead", lambda: True)
    checks = [Check(every=2, run=seen.append)]
    with pytest.raises(StoppedError):
        train("stopped", stop_at(3), checks=checks)
    assert not drawing_threads()
    assert equal(train("stopped", checks=checks), whole)
    assert not drawing_threads()
    again = {step: losses[0] for step, losses in found["whole"].items()}
    assert found["stopped"] == {step: [again[step]] * (1 + (step == 3)) for step in again}
    assert {"loss", "words"} <= again[4].keys()
    assert seen == [2, 4]


def drawing_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


@pytest.mark.parametrize("ahead", [False, True])
def test_an_error_of_a_draw_comes_out_at_its_step(batcher, tmp_path, monkeypatch, ahead):
    monkeypatch.setattr(training_loop, "_draws_ahead", lambda: ahead)
    drawn, reported = [], []

    class Torn:
        def draw(self, size, generator, shard=WHOLE):
            drawn.append(size)
            if len(drawn) == 3:
                raise TaktError("frame 7 is torn")
            return batcher.draw(size, generator, shard)

    path = tmp_path / "state"
    with pytest.raises(TaktError, match="frame 7 is torn"):
        train_stage(tiny.stage("post", batcher), Torn(), tiny.LOOP, path, reported.append)
    assert [report.step for report in reported] == [1, 2]
    assert [folder.name for folder in path.iterdir()] == ["00000002"]
    assert not drawing_threads()


def test_a_check_that_fails_does_not_end_the_run(batcher, tmp_path, capsys):
    plain, watched = (tiny.stage("post", batcher) for _ in range(2))

    def fail(step):
        raise ValueError("no simulator")

    train_stage(plain, batcher, tiny.LOOP, tmp_path / "a", lambda report: None)
    checks = [Check(every=3, run=fail)]
    train_stage(watched, batcher, tiny.LOOP, tmp_path / "b", lambda report: None, checks=checks)
    assert equal(weights(watched), weights(plain))
    said = capsys.readouterr().err
    assert said.count("warning") == 2
    assert "step 3 was not measured, training goes on (ValueError: no simulator)" in said


def test_shared_out_weights_are_not_measured(batcher, tmp_path, monkeypatch, capsys):
    stage = tiny.stage("post", batcher)
    monkeypatch.setattr(training_loop, "place", lambda stage, *_, bf16: copy.deepcopy(stage))
    checks = [Check(every=1, run=lambda step: pytest.fail("was measured"))]
    train_stage(stage, batcher, tiny.LOOP, tmp_path, lambda report: None, checks=checks)
    assert capsys.readouterr().err.count("nothing is measured") == 1


def test_a_frozen_vlm_stays_as_it_was(batcher, tmp_path):
    stage = tiny.stage("expert", batcher)
    before = weights(stage)
    train_stage(stage, batcher, tiny.LOOP, tmp_path / "state", lambda report: None)
    changed = {name for name, x in weights(stage).items() if not torch.equal(x, before[name])}
    assert changed
    assert not any(name.startswith("policy.vlm.") for name in changed)


def test_training_lowers_the_loss(frames, batcher, tmp_path):
    stage = tiny.stage("choice", batcher)
    loop = replace(tiny.LOOP, steps=30, lr=3e-3, save_every_s=60.0)
    batch = tiny.batch(batcher, frames, np.arange(24), np.zeros(24, bool))
    before = stage.losses(batch, torch.Generator())["loss"].item()
    train_stage(stage, batcher, loop, tmp_path / "state", lambda report: None)
    assert stage.losses(batch, torch.Generator())["loss"].item() < 0.9 * before


def test_a_loss_that_is_no_number_stops_the_run(frames, batcher, tmp_path):
    stage = tiny.stage("post", batcher)
    broken = tiny.batcher(replace(frames, actions=frames.actions * np.nan), fitted=frames)
    before = weights(stage)
    with pytest.raises(DivergedError, match="state: loss is nan at step 0"):
        train_stage(stage, broken, tiny.LOOP, tmp_path / "state", lambda report: None)
    assert equal(weights(stage), before)
    assert not (tmp_path / "state").exists()


def test_a_gradient_that_is_infinite_stops_the_run_before_its_update(
    batcher, tmp_path, monkeypatch
):
    stage = tiny.stage("post", batcher)
    losses, (weight, *_) = stage.losses, stage.trainable()

    def steep(batch, generator):
        found = losses(batch, generator)
        edge = torch.sqrt(weight - weight.detach()).sum()  # 0, with a slope without bounds
        return {"loss": found["loss"] + edge}

    monkeypatch.setattr(stage, "losses", steep)
    before = weights(stage)
    with pytest.raises(DivergedError, match="state: the gradient's norm is inf at step 0"):
        train_stage(stage, batcher, tiny.LOOP, tmp_path / "state", lambda report: None)
    assert equal(weights(stage), before)
    assert not (tmp_path / "state").exists()


def test_the_learning_rate_rises_then_falls_to_its_floor():
    loop = replace(tiny.LOOP, steps=100, warmup=10, lr=0.5, final_ratio=0.1)
    rates = [learning_rate(loop, step) for step in range(101)]
    assert rates[0] == pytest.approx(0.05)
    assert rates[9] == rates[10] == max(rates) == 0.5
    assert np.all(np.diff(rates[:10]) > 0)
    assert np.all(np.diff(rates[10:]) < 0)
    assert rates[100] == pytest.approx(0.05)
    assert learning_rate(loop, 55) == pytest.approx((0.5 + 0.05) / 2)


def test_every_step_and_rank_draws_its_own():
    seeds = {draw_seed(seed, step, rank) for seed in (0, 1) for step in (0, 1) for rank in (0, 1)}
    assert len(seeds) == 8


def test_the_average_forgets_its_start():
    weight = torch.nn.Parameter(torch.zeros(1))
    ema = Ema([weight], decay=0.9)
    weight.data.fill_(1.0)
    for step in range(60):
        ema.update(step)
    assert ema.shadow[0].item() == pytest.approx(1.0, abs=0.02)
    weight.data.fill_(3.0)
    ema.update(1000)
    assert ema.shadow[0].item() == pytest.approx(1.2, abs=0.02)
    ema.copy_to_parameters()
    assert weight.item() == ema.shadow[0].item()


def test_what_is_remembered_of_a_weight_lies_beside_it():
    """A GPU's fused kernels read the steps there; the meta device stands for one."""
    weight = torch.nn.Parameter(torch.zeros(3, device="meta"))
    optimiser = torch.optim.AdamW([weight])
    stored = {"step": torch.tensor(7.0), "exp_avg": torch.zeros(3, device="meta")}
    Updater(optimiser, [weight], clip=1.0).restore({weight: stored})
    assert {slot: x.device for slot, x in optimiser.state[weight].items()} == dict.fromkeys(
        stored, weight.device
    )


def test_the_state_of_another_model_names_itself(batcher, tmp_path):
    stage = tiny.stage("post", batcher)
    path = tmp_path / "post"
    train_stage(tiny.stage("choice", batcher), batcher, tiny.LOOP, path, lambda report: None)
    with pytest.raises(TaktError, match=r"(?s)post.*another model.*delete"):
        train_stage(stage, batcher, tiny.LOOP, path, lambda report: None)


def test_a_kill_while_a_state_is_written_leaves_the_one_before(tmp_path):
    save_tensors(tmp_path, 3, {"w": torch.ones(9)})
    (tmp_path / DRAFT).mkdir()
    (tmp_path / DRAFT / "shard.safetensors").write_bytes(b"half")
    assert saved_step(tmp_path) == tmp_path / "00000003"
    save_tensors(tmp_path, 4, {"w": torch.zeros(9)})
    assert [path.name for path in tmp_path.iterdir()] == ["00000004"]
    path = saved_step(tmp_path)
    assert path is not None
    assert not load_tensors(path, lambda shapes: {"w": torch.ones(9)})["w"].any()


@pytest.mark.parametrize("keep", [0, 7, 300])
def test_a_broken_state_names_itself(tmp_path, keep):
    path = tmp_path / "state"
    save_tensors(path, 3, {"w": torch.ones(99)})
    (part,) = (path / "00000003").iterdir()
    part.write_bytes(part.read_bytes()[:keep])
    with pytest.raises(TaktError, match=r"00000003.*delete"):
        load_tensors(path / "00000003", lambda shapes: {"w": torch.zeros(99)})
