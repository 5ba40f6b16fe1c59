import json

import pytest

from takt.benchmarks.delay_strategies import Strategy
from takt.commands import bench
from takt.commands.bench import main
from takt.recipes.delay import HEAD, DelayBenchmark, evaluate, train
from takt.seeds import SeedError
from takt.training.track_networks import TrackTraining
from takt.types import TaktError

TINY = TrackTraining(steps=2, batch_size=4, head_steps=2)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    lines = []
    train(TINY, folder, [0], 1, lines.append, demonstrations=4)
    assert len(lines) == 5
    return folder


def test_cells_are_run_once_and_the_same_each_time(networks, tmp_path):
    def run(folder, *strategies: Strategy):
        benchmark = DelayBenchmark(
            networks=networks,
            cells=tmp_path / folder,
            seeds=[0],
            delays=[3],
            strategies=strategies,
            episodes=1,
        )
        lines = []
        return evaluate(benchmark, lines.append), lines

    first, lines = run("a", "lambda", "corrected")
    again, nothing = run("a", "lambda", "corrected")
    other, _ = run("b", "lambda")
    assert len(lines) == 2
    assert nothing == []
    assert first == again == {**first, **other}
    copying = {key.strategy: cell.following_count for key, cell in first.items()}
    assert copying == {"lambda": 1, "corrected": 0}
    for path in (tmp_path / "a").glob("lambda*"):  # measured otherwise than it is now
        path.write_text(path.read_text().replace('"measures": 2', '"measures": 1'))
    assert run("a", "lambda", "corrected") == (first, lines[:1])


def test_training_goes_on_and_networks_are_made_once(networks):
    before = (networks / "seed-0" / f"{HEAD}.safetensors").stat().st_mtime_ns
    train(TINY, networks, [0], 1, lambda line: pytest.fail(line), demonstrations=4)
    assert (networks / "seed-0" / f"{HEAD}.safetensors").stat().st_mtime_ns == before


def test_seeds_of_training_are_not_evaluated(networks, tmp_path):
    benchmark = DelayBenchmark(
        networks=networks, cells=tmp_path, seeds=[0], delays=[0], first_episode=5
    )
    with pytest.raises(SeedError):
        evaluate(benchmark, print)


def test_the_command_trains_runs_and_prints(tmp_path, capsys):
    options = ["--steps", "1", "--episodes", "1", "--seeds", "1", "--workers", "1", "--json"]
    which = ["--delays", "8", "--strategies", "naive,streaming", "--out", str(tmp_path)]
    assert main(["delay", *options, *which]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(found["strategies"]) == {"naive", "streaming"}
    assert found["strategies"]["naive"]["stalls"] == 0
    assert {
        "success",
        "seam_vs_naive",
        "jerk_vs_naive",
        "success_vs_d0",
        "success_vs_naive",
    } <= set(found["best"])
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    with pytest.raises(TaktError, match="other settings"):
        main(["delay", *options, *which, "--steps", "2"])
    with pytest.raises(TaktError, match="--delays"):
        main(["delay", "--delays", "0,9"])
    with pytest.raises(TaktError, match="--task nut-station"):
        main(["delay", "--rtc-policy", "x"])
    for options in (["--steps", "9"], ["--jitter"], ["--workers", "2"]):
        with pytest.raises(TaktError, match="of the tracking task"):
            main(["delay", "--task", "nut-station", *options])
    assert main([]) == 2


def test_a_quick_look_is_as_long_as_it_is_asked_to_be(tmp_path):
    for asked, run in ((None, bench.QUICK_EPISODES), (99, 99)):
        command = bench.Delay(quick=True, episodes=asked, out=tmp_path)
        assert bench._benchmark(command).episodes == run  # noqa: SLF001


def test_a_quick_look_leaves_the_report_of_hours_alone(tmp_path, capsys):
    (tmp_path / "report.html").write_text("of hours")
    options = ["--quick", "--episodes", "1", "--workers", "1", "--jitter", "--delays", "0"]
    assert main(["delay", *options, "--strategies", "naive", "--out", str(tmp_path)]) == 0
    assert "report-quick-jitter.html" in capsys.readouterr().out
    assert (tmp_path / "report.html").read_text() == "of hours"
    assert (tmp_path / "summary-quick-jitter.json").is_file()
