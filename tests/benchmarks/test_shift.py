"""A shift is resumable at every cycle, deterministic, and refuses what would mislead."""

import gc
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import SPEC, FakePolicy, FakeStation, Silent

from takt.benchmarks.checkpoint import packaged_checkpoint, read_chunking
from takt.benchmarks.cycle import CycleRecord
from takt.benchmarks.player import GreyWorker, HoldPolicy, Seat, chain, player_named
from takt.benchmarks.shift import require_valid, resolve, run_shift
from takt.benchmarks.shift_config import Mode, ShiftConfig
from takt.benchmarks.store import CycleFileError, ShiftMismatchError, ShiftStore, read_shift
from takt.folder_lock import FolderInUseError
from takt.runtime.chunking import (
    Chunking,
    ChunkingError,
    LambdaPrefix,
    NaiveAsynchronous,
    Synchronous,
)
from takt.runtime.inference import InlinePolicy, PolicyWorker
from takt.runtime.supervision import Supervision
from takt.runtime.watchdog import WatchdogError
from takt.seeds import SeedError
from takt.types import StateSpace, TaktError

CONFIG = ShiftConfig(
    cycles=4,
    mode="async",
    seed=10**6,
    split="evaluation",
    clock="virtual",
    latency_ms=80,
    policy="fake",
    grey=False,
)


def seat(worker: PolicyWorker) -> Seat:
    return Seat(
        worker=worker,
        chunking=LambdaPrefix(8, 3),
        horizon=16,
        delay=3,
        latency_ms=80.0,
        digest="fake",
    )


def shift(
    folder: Path,
    config: ShiftConfig = CONFIG,
    tick_s: float = 0.0,
    worker: PolicyWorker | None = None,
) -> list[CycleRecord]:
    taken = seat(worker or InlinePolicy(FakePolicy()))
    with closing(ShiftStore(folder, resolve(config, taken, SPEC))) as store:
        return run_shift(config, FakeStation(tick_s), taken, store, Silent())


def same(one: CycleRecord, other: CycleRecord) -> bool:
    """All but the measured compute times, bit for bit."""
    none = np.zeros(0)
    bare = [replace(record, actions=none, chunk=none, compute_ms=none) for record in (one, other)]
    return (
        np.array_equal(one.actions, other.actions)
        and np.array_equal(one.chunk, other.chunk)
        and repr(bare[0]) == repr(bare[1])
    )


def test_records_survive_the_disk_and_more_cycles_extend_a_shift(tmp_path: Path) -> None:
    first = shift(tmp_path, replace(CONFIG, cycles=2))
    longer = shift(tmp_path)
    fresh = shift(tmp_path / "fresh")
    assert [record.seed for record in longer] == [10**6 + i for i in range(4)]
    assert all(map(same, longer, fresh))
    assert all(map(same, first, longer))
    assert all(map(same, read_shift(tmp_path)[1], longer))


KILLED = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from test_shift import shift
shift(Path({folder!r}), tick_s=0.004)
"""


def test_a_killed_shift_resumes_with_the_same_result(tmp_path: Path) -> None:
    path = [str(Path(__file__).parent), str(Path(__file__).parents[1]), *sys.path]
    code = KILLED.format(path=path, folder=str(tmp_path))
    child = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob("cycles/*.msgpack")) and child.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    kept = len(list(tmp_path.glob("cycles/*.msgpack")))
    assert 1 <= kept < CONFIG.cycles
    assert all(map(same, shift(tmp_path), shift(tmp_path / "fresh")))


class Button:
    """A board whose stop button is pressed on its 70th tick."""

    wants_observations = False
    ticks, told = 0, dict[str, str]()

    @property
    def stop_requested(self) -> bool:
        return self.ticks >= 70

    def on_tick(self, tick: object) -> None:
        self.ticks += 1

    def tell(self, facts: dict[str, str]) -> None:
        self.told = facts


class Stuttering(FakeStation):
    """Its tenth tick takes half a second; sees how the loop that calls it is run."""

    def act(self, action: np.ndarray) -> None:
        super().act(action)
        self.collected = gc.isenabled()
        if self.ticks == 10:
            time.sleep(0.5)


def test_on_the_wall_clock_a_watchdog_and_priority_guard_the_cycle(tmp_path: Path) -> None:
    config, station = replace(CONFIG, clock="wall"), Stuttering()
    taken, supervision = seat(InlinePolicy(FakePolicy())), Supervision(watchdog_s=0.3)
    with closing(ShiftStore(tmp_path, resolve(config, taken, SPEC))) as store:
        with pytest.raises(WatchdogError, match="300 ms"):
            run_shift(config, station, taken, store, Silent(), supervision=supervision)
        assert not station.collected, "as in `takt run`: nothing is collected between two ticks"
        assert station.stops
        assert gc.isenabled()
        run_shift(replace(CONFIG, cycles=1), station, taken, store, Silent())
        assert station.collected, "there is nothing to guard on the virtual clock"


def test_a_priority_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TaktError, match="1 to 99"):
        Supervision(priority=100)


def test_the_boards_button_ends_a_shift_that_can_go_on(tmp_path: Path) -> None:
    taken, button = seat(InlinePolicy(FakePolicy())), Button()
    with closing(ShiftStore(tmp_path, resolve(CONFIG, taken, SPEC))) as store:
        with pytest.raises(KeyboardInterrupt):
            run_shift(CONFIG, FakeStation(), taken, store, Silent(), button)  # pyright: ignore
        assert button.told["cycles"] == "1 of 4"
        assert button.told["good parts"] in ("0 of 1", "1 of 1")
        assert float(button.told["last cycle"].removesuffix(" s")) > FakeStation.CONSTANT_S
        assert len(run_shift(CONFIG, FakeStation(), taken, store, Silent())) == 4


def test_another_shift_in_the_folder_is_refused_by_name(tmp_path: Path) -> None:
    shift(tmp_path, replace(CONFIG, cycles=1))
    with pytest.raises(ShiftMismatchError, match="seed: found 1000000, asked 1000007"):
        shift(tmp_path, replace(CONFIG, seed=10**6 + 7))
    with pytest.raises(TaktError, match="expected a shift"):
        read_shift(tmp_path / "nothing")


def test_a_folder_without_a_finished_cycle_takes_any_shift(tmp_path: Path) -> None:
    ShiftStore(tmp_path, resolve(CONFIG, seat(InlinePolicy(FakePolicy())), SPEC)).close()
    assert len(shift(tmp_path, replace(CONFIG, cycles=1, seed=10**6 + 7))) == 1


def test_a_second_shift_on_the_folder_is_refused(tmp_path: Path) -> None:
    first = ShiftStore(tmp_path, resolve(CONFIG, seat(InlinePolicy(FakePolicy())), SPEC))
    with pytest.raises(FolderInUseError, match="only writer"):
        shift(tmp_path)
    first.close()
    assert len(shift(tmp_path)) == CONFIG.cycles


def test_an_unfinished_or_damaged_shift_is_not_read(tmp_path: Path) -> None:
    shift(tmp_path, replace(CONFIG, cycles=2))
    (tmp_path / "cycles" / "000001.msgpack").unlink()
    with pytest.raises(TaktError, match="2 cycles.*found 1"):
        read_shift(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(TaktError, match="damaged"):
        read_shift(tmp_path)


def test_fewer_cycles_of_a_shift_are_its_first_ones(tmp_path: Path) -> None:
    longer = shift(tmp_path)
    shift(tmp_path, replace(CONFIG, cycles=2))
    config, records = read_shift(tmp_path)
    assert (config.cycles, len(records)) == (2, 2)
    assert all(map(same, records, longer[:2]))


def test_on_the_wall_clock_a_slow_body_stalls(tmp_path: Path) -> None:
    config = replace(CONFIG, cycles=1, clock="wall")
    (on_time,) = shift(tmp_path / "quick", config)
    (slow,) = shift(tmp_path / "slow", config, tick_s=2 / SPEC.rate_hz)
    assert slow.motion.missed >= slow.motion.ticks
    assert slow.motion.stalls >= slow.motion.missed
    assert on_time.motion.missed < on_time.motion.ticks / 2


def test_learned_policies_are_scored_on_evaluation_seeds_only() -> None:
    require_valid(CONFIG, learned=True)
    require_valid(replace(CONFIG, seed=0), learned=False)
    for seed in (0, 10**5, 10**6 - 1):
        with pytest.raises(SeedError, match="evaluation"):
            require_valid(replace(CONFIG, seed=seed), learned=True)
    with pytest.raises(TaktError, match="at least one cycle"):
        require_valid(replace(CONFIG, cycles=0), learned=False)
    with pytest.raises(TaktError, match="seed of at least 0"):
        require_valid(replace(CONFIG, seed=-1), learned=False)


def test_grey_hides_the_images_and_nothing_else() -> None:
    policy = FakePolicy()
    observation = FakeStation().observe()
    GreyWorker(InlinePolicy(policy)).submit(observation, None)
    seen = policy.observations[0]
    assert all((image == 128).all() for image in seen.images.values())
    np.testing.assert_array_equal(seen.state, observation.state)


def test_the_hold_player_does_not_move() -> None:
    station, policy = FakeStation(), HoldPolicy(SPEC)
    station.reset(3)
    policy.reset(3)
    first = policy.infer(station.observe(), None).actions
    station.act(first[0] + 0.1)
    np.testing.assert_array_equal(policy.infer(station.observe(), None).actions, first)


def test_a_body_with_other_measured_axes_is_held_where_it_is() -> None:
    names = SPEC.action_space.names
    states = StateSpace(names=("lift", *reversed(names)), slots=(30, *reversed(SPEC.slots)))
    spec = replace(SPEC, state_space=states, relative=(False,) * len(names))
    seen = FakeStation().observe()
    measured = np.concatenate([[np.float32(0.7)], seen.state[::-1]])
    held = HoldPolicy(spec).infer(replace(seen, state=measured), None).actions
    np.testing.assert_array_equal(held[0], seen.state)


def test_a_player_without_a_model_takes_no_dtype() -> None:
    hold, expert = (player_named(replace(CONFIG, policy=name)) for name in ("hold", "expert"))
    assert hold != expert
    with pytest.raises(TaktError, match="'hold' has no model"):
        player_named(replace(CONFIG, policy="hold", dtype="bfloat16"))


@pytest.mark.parametrize(
    ("mode", "chunking"),
    [
        ("sync", Synchronous(6)),
        ("naive", NaiveAsynchronous(6)),
        ("async", LambdaPrefix(6, 6)),
    ],
)
def test_the_modes_of_the_packaged_policy(mode: Mode, chunking: Chunking) -> None:
    facts = read_chunking(packaged_checkpoint("nano_station"), SPEC.name)
    assert chain(mode, facts, delay=6) == chunking
    with pytest.raises(ChunkingError, match="--mode sync"):
        chain("naive", facts, delay=7)


def test_a_cycle_file_that_is_not_its_own_is_named(tmp_path: Path) -> None:
    shift(tmp_path, replace(CONFIG, cycles=2))
    first, second = sorted((tmp_path / "cycles").iterdir())
    second.write_bytes(first.read_bytes())
    with pytest.raises(CycleFileError, match="000001.msgpack: expected cycle 1.*got cycle 0"):
        shift(tmp_path)
    second.write_bytes(first.read_bytes()[:100])
    with pytest.raises(CycleFileError, match="000001.msgpack: expected a finished.*delete"):
        shift(tmp_path)
    second.unlink()
    assert len(shift(tmp_path)) == CONFIG.cycles
    (tmp_path / "config.json").unlink()
    with pytest.raises(ShiftMismatchError, match="not the config.json"):
        shift(tmp_path)
