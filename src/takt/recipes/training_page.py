"""`training.html`: one self-contained page that shows how a run trains, made from its metrics."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from takt.benchmarks.charts import FULL, HALF
from takt.benchmarks.curves import Curve, curves
from takt.benchmarks.page import card, page
from takt.recipes.run_folder import is_claimed
from takt.training.metrics import NAME, Alarm, Line, Rollouts, StepReport, Validation, read_lines

FRAMES, WORDS = "frames", "words"  # parts of a loss; held-out frames have no words beside them
RUNNING = "Loss: running mean that begins with the first step's and forgets it over some 50 steps."


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMetrics:
    """One stage's lines by kind; `name` is its folder below the run's."""

    name: str
    lines: Sequence[Line]

    @property
    def steps(self) -> list[StepReport]:
        """Never empty."""
        return [line.metric for line in self.lines if isinstance(line.metric, StepReport)]

    @property
    def validations(self) -> list[Validation]:
        """On held-out frames."""
        return [line.metric for line in self.lines if isinstance(line.metric, Validation)]

    @property
    def rollouts(self) -> list[Rollouts]:
        """In the simulator."""
        return [line.metric for line in self.lines if isinstance(line.metric, Rollouts)]

    @property
    def alarms(self) -> list[Alarm]:
        """What went wrong."""
        return [line.metric for line in self.lines if isinstance(line.metric, Alarm)]

    @property
    def wall_s(self) -> float:
        """From the first line to the last, breaks included."""
        return self.lines[-1].stamp - self.lines[0].stamp


def read_stages(run: Path) -> list[StageMetrics]:
    """Every stage of the run that has begun, in the order of time."""
    paths = [*run.glob(f"*/{NAME}"), *run.glob(f"*/*/{NAME}")]
    found = [
        StageMetrics(name=path.parent.relative_to(run).as_posix(), lines=read_lines(path))
        for path in paths
    ]
    return sorted((s for s in found if s.lines and s.steps), key=lambda s: s.lines[0].stamp)


def build_page(run: Path) -> str:
    """The whole page."""
    stages = read_stages(run)
    title = f"takt train · {run.resolve().name}"
    sections = [*_alarms(stages), _overview(stages), *(_stage(stage) for stage in stages)]
    return page(title, _header(run, stages), sections, _footer())


def _header(run: Path, stages: Sequence[StageMetrics]) -> str:
    last = stages[-1].steps[-1] if stages else None
    where = f"{stages[-1].name} {last.step} of {last.steps}" if last else "nothing yet"
    link = ' · <a href="run.json">settings</a>' if is_claimed(run) else ""
    return (
        '<header><div><div class="brand">takt · training</div>'
        f"<h1>{escape(run.resolve().name)}</h1></div>"
        f'<p class="sub">{escape(where)} · {_duration(sum(s.wall_s for s in stages))}{link}</p>'
        "</header>"
    )


def _alarms(stages: Sequence[StageMetrics]) -> list[str]:
    rows = [
        f"<p><b>{escape(stage.name)}, step {alarm.step}:</b> {escape(alarm.message)}</p>"
        for stage in stages
        for alarm in stage.alarms
    ]
    return [card("Warnings", "What went wrong, and what to do.", "".join(rows))] if rows else []


def _overview(stages: Sequence[StageMetrics]) -> str:
    heads = ("stage", "steps", "loss", "held-out loss", "action error", "success", "samples/s",
             "time")  # fmt: skip
    rows = []
    for stage in stages:
        step = stage.steps[-1]
        held_out = [f"{seen.losses['loss']:.4f}" for seen in stage.validations[-1:]]
        errors = [_mean(seen.error_by_step) for seen in stage.validations[-1:]]
        success = [f"{seen.successes}/{seen.attempts}" for seen in stage.rollouts[-1:]]
        cells = (
            stage.name,
            f"{step.step} of {step.steps}",
            f"{_frames_loss(step):.4f}",
            "".join(held_out) or "–",
            "".join(f"{error:.3f}" for error in errors if error is not None) or "–",
            "".join(success) or "–",
            f"{step.samples_per_s:.0f}",
            _duration(stage.wall_s),
        )
        rows.append("".join(f"<td>{escape(cell)}</td>" for cell in cells))
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    note = (
        f"The last of each. {RUNNING} Held-out loss: of that one step, with averaged weights; so "
        "it may be far lower early on. Neither has the words that are learnt beside the frames. "
        "Action error: open loop, in standard deviations."
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return card("Stages", note, table)


def _stage(stage: StageMetrics) -> str:
    return "".join([_loss(stage), *_error(stage), *_success(stage)])


def _loss(stage: StageMetrics) -> str:
    steps, held_out = stage.steps, stage.validations
    losses = [_frames_loss(step) for step in steps]
    drawn = [Curve(label="training", x=[step.step for step in steps], y=losses)]
    if held_out:
        x, y = zip(*((seen.step, seen.losses["loss"]) for seen in held_out), strict=True)
        drawn.append(Curve(label="held out", x=x, y=y, colour=1, marked=True))
    if WORDS in steps[-1].losses:
        x, y = zip(*((step.step, step.losses[WORDS]) for step in steps), strict=True)
        drawn.append(Curve(label="words beside it", x=x, y=y, colour=2))
    note = f"Over steps, logarithmic. {RUNNING}"
    if held_out:
        note += " Held out: of one step, the averaged weights on frames that are not trained on."
    chart = curves(drawn, FULL, "loss", logarithmic=True)
    return card(f"{stage.name}: loss", note, chart + _legend(drawn))


def _frames_loss(step: StepReport) -> float:
    """Without words, so that it is of one thing with the held-out one."""
    whole = step.losses["loss"]
    return step.losses.get(FRAMES, whole - step.losses.get(WORDS, 0.0))


def _error(stage: StageMetrics) -> list[str]:
    seen = [validation for validation in stage.validations if validation.error_by_step]
    if not seen:
        return []
    x = [validation.step for validation in seen]
    mean = [_number(_mean(validation.error_by_step)) for validation in seen]
    first = [_number(validation.error_by_step[0]) for validation in seen]
    over_steps = [
        Curve(label="whole chunk", x=x, y=mean, marked=True),
        Curve(label="first action", x=x, y=first, colour=1, marked=True),
    ]
    last = seen[-1]
    ahead = [_by_horizon("policy", last.error_by_step, 0)]
    ahead.append(_by_horizon("mean action", last.mean_action_by_step, 2))
    note = "Open loop on held-out frames, in standard deviations"
    chart = curves(over_steps, HALF, "action error over steps")
    distance = curves(ahead, HALF, "action error by step of the chunk")
    return [
        card(f"{stage.name}: action error", f"{note}.", chart + _legend(over_steps), "half"),
        card(
            f"{stage.name}: action error by step of the chunk",
            f"{note}, after step {last.step}, {last.frames} frames.",
            distance + _legend(ahead),
            "half",
        ),
    ]


def _success(stage: StageMetrics) -> list[str]:
    worked = stage.rollouts
    if not worked:
        return []
    curve = Curve(
        label="success",
        x=[seen.step for seen in worked],
        y=[seen.successes / max(1, seen.attempts) for seen in worked],
        colour=1,
        marked=True,
        low=[seen.low for seen in worked],
        high=[seen.high for seen in worked],
    )
    last = worked[-1]
    note = (
        f"Share of attempts in the simulator over steps; last {last.successes} of {last.attempts}. "
        "Band: 95 % Wilson interval."
    )
    chart = curves([curve], FULL, "success", highest=1.0)
    return [card(f"{stage.name}: success", note, chart)]


def _by_horizon(label: str, errors: Sequence[float | None], colour: int) -> Curve:
    y = [_number(error) for error in errors]
    return Curve(label=label, x=range(1, len(y) + 1), y=y, colour=colour)


def _mean(errors: Sequence[float | None]) -> float | None:
    known = [error for error in errors if error is not None]
    return sum(known) / len(known) if known else None


def _number(error: float | None) -> float:
    """Curves leave nan out."""
    return math.nan if error is None else error


def _legend(drawn: Sequence[Curve]) -> str:
    items = "".join(
        f'<li><span class="dot axis-{curve.colour}"></span>{escape(curve.label)}</li>'
        for curve in drawn
    )
    return f'<ul class="legend">{items}</ul>'


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def _footer() -> str:
    return (
        "<footer>Made from every stage's metrics.jsonl; written anew when a stage ends. "
        "Time is wall clock, breaks included.</footer>"
    )
