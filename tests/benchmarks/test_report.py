"""The page stands alone and says what the numbers say."""

import io
import re
from dataclasses import replace

import av
import numpy as np
import pytest
from fakes import SPEC, FakePolicy, FakeStation, Silent
from rich.console import Console

from takt.benchmarks.live_table import LiveTable
from takt.benchmarks.player import Seat
from takt.benchmarks.replay import FRAME_HZ, MAX_FRAMES, SIZE_PX, replay
from takt.benchmarks.report import ShiftRun, build_report, pick_clips
from takt.benchmarks.shift import resolve, run_shift
from takt.benchmarks.shift_config import ShiftConfig
from takt.benchmarks.store import ShiftStore
from takt.runtime.chunking import LambdaPrefix
from takt.runtime.inference import InlinePolicy

CONFIG = ShiftConfig(
    cycles=6,
    mode="async",
    seed=10**6,
    split="evaluation",
    clock="virtual",
    latency_ms=80,
    policy="<b>",
    grey=True,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ShiftRun:
    seat = Seat(
        worker=InlinePolicy(FakePolicy()),
        chunking=LambdaPrefix(8, 3),
        horizon=16,
        delay=3,
        latency_ms=80.0,
        digest="",
    )
    config = resolve(CONFIG, seat, SPEC)
    store = ShiftStore(tmp_path_factory.mktemp("shift"), config)
    records = run_shift(CONFIG, FakeStation(), seat, store, Silent())
    return ShiftRun(config, records)


def test_report_is_self_contained_and_complete(run: ShiftRun) -> None:
    clips = [replay(FakeStation(), title, record) for title, record in pick_clips(run.records)]
    page = build_report(run, clips, beside=run)
    assert not re.search(r'(?:src|href)="(?!data:)', page), "nothing is fetched"
    assert page.count('src="data:video/mp4;base64,') == 2
    both = run.summary.both
    assert f"{both.k} of {both.n}" in page
    for heading in (
        "Cycle times",
        "Outcomes",
        "Line indicators",
        "Inference latency",
        "Side by side",
    ):
        assert heading in page
    motion, kpi = run.summary.motion, run.summary.kpi
    for figure in (
        f"{100 * both.lo:.1f}–{100 * both.hi:.1f}",
        f"{run.summary.cycle_s['p95']:.1f} <small>s",
        f"{100 * kpi.oee:.1f} <small>%",
        f"{motion.seam_ratio:.2f} <small>×",
        f"{motion.jerk_rms:.0f} <small>rad/s³",
        "injected 80 ms = 3 ticks",
        "takt shift --policy &#x27;&lt;b&gt;&#x27; --cycles 6 --mode async --seed 1000000",
    ):
        assert figure in page, figure
    assert "<b></b>" not in page
    assert "&lt;b&gt;" in page, "names are escaped"


def test_clips_show_the_recorded_cycle(run: ShiftRun) -> None:
    record = run.records[0]
    with av.open(io.BytesIO(replay(FakeStation(), "", record).video), "r") as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
        assert video.streams.video[0].codec_context.name == "h264"
    assert frames[0].shape == (SIZE_PX, SIZE_PX, 3)
    assert len(frames) == int(np.ceil(len(record.actions) * FRAME_HZ / SPEC.rate_hz))


def test_a_long_cycle_is_shown_faster_not_longer(run: ShiftRun) -> None:
    actions = np.repeat(run.records[0].actions, 20, axis=0)
    clip = replay(FakeStation(), "", replace(run.records[0], actions=actions))
    with av.open(io.BytesIO(clip.video), "r") as video:
        assert video.streams.video[0].frames <= MAX_FRAMES
    assert clip.speed > 1


def test_best_and_worst_go_by_sides_installed_then_by_time(run: ShiftRun) -> None:
    good = {"left": "installed", "right": "installed"}
    half = {"left": "installed", "right": "dropped"}
    records = [
        replace(run.records[0], cycle=0, cycle_s=60.0, outcomes=good),
        replace(run.records[0], cycle=1, cycle_s=50.0, outcomes=half),
        replace(run.records[0], cycle=2, cycle_s=55.0, outcomes=good),
        replace(run.records[0], cycle=3, cycle_s=90.0, outcomes=half),
    ]
    assert [record.cycle for _, record in pick_clips(records)] == [2, 3]
    assert len(pick_clips(records[:1])) == 1


def test_a_pipe_gets_one_line_a_cycle(run: ShiftRun) -> None:
    out = io.StringIO()
    with LiveTable(6, "shift", Console(file=out)) as table:
        for record in run.records:
            table.cycle_begins(record.cycle)
            table.cycle_ended(record)
    lines = out.getvalue().splitlines()
    assert len(lines) == 6
    assert lines[-1].endswith(f"(both {run.summary.both.k}/6)")


def test_a_screen_gets_a_table_with_the_time_left(run: ShiftRun) -> None:
    out = io.StringIO()
    with LiveTable(12, "shift", Console(file=out, force_terminal=True, width=100)) as table:
        for record in run.records:
            table.cycle_begins(record.cycle)
            table.cycle_runs(1.0)
            table.cycle_ended(record)
    assert "6 of 12 cycles" in out.getvalue()
    assert "s left" in out.getvalue()
