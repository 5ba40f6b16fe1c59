"""What is left of a training for those who watch it."""

import io
import math
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")

from takt.extras import EXTRAS
from takt.recipes.training_page import read_stages
from takt.recipes.watch import PAGE, Watch, WatchConfig
from takt.training.metrics import Rollouts, StepReport, Validation
from takt.types import TaktError

PLAIN = WatchConfig(tensorboard=False)
STEPS = 40


class KilledError(Exception):
    """The run was killed."""


def losses(step):
    return {"loss": 1.0 / step, "words": 0.25 / step}


def work(run, config=PLAIN, **options):
    """A phase that is killed."""
    with pytest.raises(KilledError):
        report(run, config, **options)


def report(run, config, first=1, until=STEPS, stages=("choice", "post"), lift=1.0):
    """Stages that report as a training does, then a kill."""
    with Watch(config, run, run / "first", io.StringIO()) as watch:
        for stage in stages:
            for step in range(first, until + 1):
                loss = {name: lift * loss for name, loss in losses(step).items()}
                watch.report(
                    stage, StepReport(step=step, steps=STEPS, losses=loss, samples_per_s=9.0)
                )
                if step % 20 == 0:
                    watch.record(stage, validation(step))
                    watch.record(stage, rollouts(step))
        raise KilledError


def validation(step):
    return Validation(
        step=step,
        frames=5,
        losses={"loss": 0.5},
        error_by_step=(0.25, None),
        mean_action_by_step=(1.0, None),
    )


def rollouts(step):
    return Rollouts(step=step, successes=1, attempts=4, low=0.05, high=0.7)


def steps(stage):
    return [step.step for step in stage.steps]


def test_every_stage_is_recorded_and_shown(tmp_path):
    work(tmp_path)
    choice, post = read_stages(tmp_path)
    assert (choice.name, post.name) == ("first/choice", "first/post")
    assert steps(choice) == [1, 10, 20, 30, 40]
    assert post.validations == [validation(20), validation(40)]
    assert post.rollouts == [rollouts(20), rollouts(40)]
    page = (tmp_path / PAGE).read_text()
    assert "<td>0.0188</td><td>0.5000</td>" in page  # without words, as on held-out frames
    for words in ("first/choice: loss", "first/post: success", "1/4", "0.250", "40 of 40"):
        assert words in page


def test_a_stage_that_goes_on_has_every_step_once(tmp_path):
    work(tmp_path, until=27, stages=("post",))
    work(tmp_path, first=15, stages=("post",), lift=2.0)
    (post,) = read_stages(tmp_path)
    assert steps(post) == [1, 10, 20, 30, 40]
    assert [step.losses["loss"] for step in post.steps] == [1.0, 0.1, 0.1, 2 / 30, 0.05]
    assert [seen.step for seen in post.validations] == [20, 40]


def test_nothing_is_made_before_the_first_step(tmp_path):
    with Watch(WatchConfig(), tmp_path, tmp_path / "first", io.StringIO()):
        assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


def test_a_diverging_loss_is_said_once_and_shown(tmp_path, capsys):
    with Watch(PLAIN, tmp_path, tmp_path, io.StringIO()) as watch:
        for step in range(1, 701):
            loss = {"loss": 1.0 if step < 300 else 5.0}
            watch.report("post", StepReport(step=step, steps=900, losses=loss, samples_per_s=1.0))
    said = capsys.readouterr().err
    assert said.count("warning: post, step 500: the loss diverges") == 1
    assert "the loss diverges" in (tmp_path / PAGE).read_text()


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_tensorboard_shows_what_the_lines_say_after_a_kill_too(tmp_path):
    pytest.importorskip("tensorboard")
    config = replace(PLAIN, tensorboard=True)
    work(tmp_path, config, until=27, stages=("post",))
    work(tmp_path, config, first=15, stages=("post",))
    found = scalars(tmp_path / "tensorboard" / "first" / "post")
    assert [step for step, _ in found["loss"]] == [1, 10, 20, 30, 40]
    assert found["validation/action_error"] == [(20, 0.25), (40, 0.25)]
    assert found["rollouts/success"] == [(20, 0.25), (40, 0.25)]


def test_wandb_gets_each_stage_with_its_own_steps(tmp_path, monkeypatch):
    asked, logged, axes = [], [], []
    session = SimpleNamespace(
        define_metric=lambda name, step_metric: axes.append((name, step_metric)),
        log=logged.append,
        finish=lambda: logged.append("end"),
    )

    def init(**options):
        asked.append(options)
        return session

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    work(tmp_path, replace(PLAIN, wandb="arms"))
    assert [(x["project"], x["resume"]) for x in asked] == [("arms", "allow")]
    assert axes[1] == ("first/post/*", "first/post/step")
    assert {"first/choice/loss": 0.1, "first/choice/step": 10}.items() <= logged[1].items()
    assert logged[-1] == "end"


def test_nothing_that_was_measured_can_stop_a_run(tmp_path):
    with Watch(PLAIN, tmp_path, tmp_path, io.StringIO()) as watch:
        watch.report("post", StepReport(step=1, steps=2, losses=losses(1), samples_per_s=math.inf))
        for step, loss in ((1, math.inf), (2, math.nan)):
            unknown = replace(validation(step), losses={"loss": loss}, error_by_step=(None, None))
            watch.record("post", replace(unknown, mean_action_by_step=()))
    assert "post: action error by step" in (tmp_path / PAGE).read_text()


def test_a_page_that_cannot_be_written_and_a_broken_tracker_are_said_once(
    tmp_path, monkeypatch, capsys
):
    def refuse(**options):
        raise RuntimeError("no network")

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=refuse))
    (tmp_path / PAGE).mkdir()
    work(tmp_path, replace(PLAIN, wandb="arms"))
    said = capsys.readouterr().err
    assert said.count("warning: training goes on without Wandb, which failed: no network") == 1
    assert said.count(f"warning: training goes on, {PAGE} could not be written") == 1
    assert len(read_stages(tmp_path)) == 2


def test_what_cannot_be_is_named(monkeypatch):
    with pytest.raises(TaktError, match="--rollout-every of at least 0, got -1"):
        WatchConfig(rollout_every=-1)
    monkeypatch.setitem(EXTRAS, "wandb", ("takt_no_wandb",))
    with pytest.raises(TaktError, match="--wandb needs takt_no_wandb"):
        WatchConfig(wandb="arms").require()
