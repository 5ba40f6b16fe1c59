"""A stage's lines: none lost, none twice, whatever ends the run."""

from pathlib import Path

import pytest

from takt.training.divergence import Divergence
from takt.training.metrics import (
    NAME,
    Alarm,
    Metric,
    MetricsFile,
    Rollouts,
    StepReport,
    Validation,
    is_kept,
    read_lines,
    scalars,
)


def report(step: int, loss: float = 1.0) -> StepReport:
    return StepReport(step=step, steps=100, losses={"loss": loss, "mse": 0.5}, samples_per_s=8.0)


VALIDATION = Validation(
    step=3,
    frames=7,
    losses={"loss": 0.25},
    error_by_step=(0.5, 1.0, None),
    mean_action_by_step=(1.0, 1.0, None),
)
ROLLOUTS = Rollouts(step=3, successes=3, attempts=4, low=0.3, high=0.95)


def metrics(path: Path) -> list[Metric]:
    return [line.metric for line in read_lines(path)]


def test_every_kind_comes_back_as_it_was(tmp_path):
    written = [report(3), VALIDATION, ROLLOUTS, Alarm(step=3, message="too hot")]
    file = MetricsFile(tmp_path, 1)
    for metric in written:
        file.add(metric)
        assert metrics(tmp_path / NAME)[-1] == metric  # at once, not when the file is closed
    assert metrics(tmp_path / NAME) == written


@pytest.mark.parametrize("torn", ["", '{"kind": "step", "stamp": 1', "\0" * 40])
def test_a_killed_stage_goes_on_without_a_gap_or_a_repetition(tmp_path, torn):
    first = MetricsFile(tmp_path, 1)
    for step in range(1, 8):
        first.add(report(step, loss=9.0))
    first.add(VALIDATION)
    first.close()
    path = tmp_path / NAME
    path.write_text(path.read_text() + torn)
    second = MetricsFile(tmp_path, 6)  # its state was saved after step 5
    assert [line.metric.step for line in second.history] == [1, 2, 3, 4, 5, 3]
    for step in (6, 7, 8):
        second.add(report(step))
    steps = [metric for metric in metrics(path) if isinstance(metric, StepReport)]
    assert [step.step for step in steps] == list(range(1, 9))
    assert [step.losses["loss"] for step in steps] == [9.0] * 5 + [1.0] * 3
    assert VALIDATION in metrics(path)


def test_a_line_every_ten_steps_and_at_both_ends():
    assert [step for step in range(1, 101) if is_kept(report(step))] == [1, *range(10, 101, 10)]
    assert is_kept(VALIDATION)


def test_trackers_get_single_numbers():
    assert scalars(report(3)) == {"loss": 1.0, "mse": 0.5, "samples_per_s": 8.0}
    found = scalars(VALIDATION)
    assert found["validation/action_error"] == 0.75
    assert found["validation/first_action_error"] == 0.5
    assert scalars(ROLLOUTS)["rollouts/success"] == 0.75


def said(losses: list[float]) -> list[tuple[int, str]]:
    watch = Divergence()
    found = [(10 * k, watch.check(10 * k, loss)) for k, loss in enumerate(losses)]
    return [(step, message) for step, message in found if message is not None]


def test_a_loss_that_stays_high_is_named_once():
    falling = [1.0 / (1 + k) for k in range(30)]
    assert said(falling + [1.9 * falling[-1]] * 100) == []
    assert said(falling + [9.0] * 19 + [falling[-1]] * 50) == []  # it came back in time
    ((step, message),) = said(falling + [0.5] * 100)
    assert step == 300 + 200
    assert "0.03333 at step 290" in message
    assert "since step 300" in message


def test_odd_batches_of_what_is_learnt_are_no_climb():
    """A running mean of 3, then 1e-4, then with a loss of 0.5 in every hundredth step."""
    mean, found = 3.0, []
    for step in range(3000):
        mean = 0.98 * mean + 0.02 * (0.5 if step > 1500 and step % 100 == 50 else 1e-4)
        found += [mean] if step % 10 == 0 else []
    assert min(found[-100:]) > 4 * min(found)
    assert said(found) == []


def test_a_lucky_first_batch_is_no_best():
    assert said([0.01] + [1.0] * 100) == []
