"""The ablation: what each variant leaves out, one run from training to score, and the table."""

from dataclasses import asdict, replace

import numpy as np
import pytest

pytest.importorskip("torch")

from takt.benchmarks.motion import Motion
from takt.embodiments.nut_station.one_side import LEFT_SPEC
from takt.embodiments.nut_station.spec import SPEC
from takt.recipes import ablation, ablation_run
from takt.recipes.ablation import VARIANTS, AblationConfig, Variant, left_side, runs, without
from takt.recipes.ablation_run import Result, left_half
from takt.recipes.ablation_table import show, table
from takt.recipes.run_folder import claim
from takt.training.frames import Frames
from takt.training.pipeline import STAGES
from takt.types import TaktError


def frames(count: int = 24) -> Frames:
    """Of the whole station, drawn at random."""
    rng = np.random.default_rng(0)
    axes = len(SPEC.slots)
    plans = rng.normal(0, 0.1, (count, 16, axes)).astype(np.float32)
    return Frames(
        images=rng.integers(0, 256, (count, 3, 64, 64, 3)).astype(np.uint8),
        sizes=np.full((3, 2), 64),
        state=rng.normal(0, 0.1, (count, axes)).astype(np.float32),
        actions=plans[:, 0],
        points=rng.uniform(-1, 1, (count, 12, 2)).astype(np.float32),
        plans=plans,
        last=np.full(count, count - 1),
        instructions=np.full(count, SPEC.instruction),
    )


def changed(one, other, name=""):
    """Names of the leaves in which two trees of settings differ."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return set() if one == other else {name}
    return {
        leaf
        for key in {**one, **other}
        for leaf in changed(one.get(key), other.get(key), f"{name}.{key}".strip("."))
    }


@pytest.mark.parametrize(
    ("variant", "leaves"),
    [
        ("full", set()),
        ("no-vision-language", {"co_trained"}),
        ("causal-mask", {"model.contract.name", "model.contract.local_window"}),
        ("no-offset", {"model.contract.name", "model.contract.rope_offset"}),
        ("no-reweighting", {"objective.weight"}),
        (
            "no-choice",
            {"choice", "expert", "post.steps", "post.lr", "co_trained", "frames_per_conversation"},
        ),
    ],
)
def test_a_variant_differs_in_what_its_name_says(variant, leaves):
    whole, less = left_side(), without(left_side(), variant)
    assert changed(asdict(whole), asdict(less)) == leaves
    seen = [
        sum(stage.steps for name in STAGES if (stage := getattr(config, name)))
        for config in (whole, less)
    ]
    assert seen[0] == seen[1]
    if variant not in ("full", "no-vision-language"):
        talks = [
            sum(getattr(config, name).steps for name in config.co_trained)
            / config.frames_per_conversation
            for config in (whole, less)
        ]
        assert talks[0] == pytest.approx(talks[1], rel=0.05)


def test_the_left_half_is_the_station_without_its_right_columns():
    whole = frames()
    left = left_half(whole)
    assert isinstance(left.images, np.ndarray)
    assert left.images.shape[1] == len(LEFT_SPEC.cameras)
    assert left.plans.shape[2] == left.state.shape[1] == len(LEFT_SPEC.slots)
    np.testing.assert_array_equal(left.plans, whole.plans[:, :, :7])
    assert [name.split("_")[0] for name in LEFT_SPEC.action_space.names] == ["left"] * 7
    assert set(left.instructions.tolist()) == {""}  # the body's own is used


def test_a_run_trains_works_and_goes_on_where_it_was(tmp_path, monkeypatch):
    pytest.importorskip("mujoco")
    monkeypatch.setattr(ablation_run, "_both_sides", lambda run: [frames()])
    monkeypatch.setattr("takt.simulation.nut_station.one_side.CUT_S", 0.4)
    config = AblationConfig(variants=("full",), seeds=1, episodes=2, scale=1e-9)
    (run,) = runs(config, tmp_path / "data", tmp_path)
    loops = {
        name: replace(loop, batch_size=12)
        for name in STAGES
        if (loop := getattr(run.training, name))
    }
    run = replace(run, training=replace(run.training, **loops))
    first = replace(run, episodes=1)
    assert "full-0: 0/1" in ablation_run._perform_one(first)
    before = (run.folder / "policy" / "model.safetensors").stat().st_mtime_ns
    spent = run.core_s()
    assert spent > 0
    ablation_run._perform_one(run)
    assert (run.folder / "policy" / "model.safetensors").stat().st_mtime_ns == before
    results = run.results()
    assert [result.seed for result in results] == [run.first_episode, run.first_episode + 1]
    assert {result.outcome for result in results} == {"missed_pick"}
    assert results[0] == first.results()[0]
    assert run.core_s() == spent
    ablation_run.perform([run], 1, lambda line: None)  # nothing is left to do


def scored(run, installed):
    """The run as if it had worked its scenes with these successes."""
    results = [
        Result(seed=seed, outcome="installed" if good else "spline_jam", motion=Motion(ticks=10))
        for seed, good in enumerate(installed)
    ]

    class Scored(type(run)):
        def results(self):
            return results

        def core_s(self):
            return 600.0

    return Scored(**{name: getattr(run, name) for name in run.__dataclass_fields__})


def test_the_table_pools_seeds_and_pairs_scenes(tmp_path):
    config = AblationConfig(variants=("full", "no-offset"), seeds=2, episodes=8)
    planned = runs(config, tmp_path, tmp_path)
    good = {"full": [True] * 8, "no-offset": [True] * 4 + [False] * 4}
    cells = table([scored(run, good[run.variant]) for run in planned])
    full, less = cells
    assert (full.installed.k, full.installed.n, full.p) == (16, 16, None)
    assert (less.installed.k, less.by_seed) == (8, (4, 4))
    assert less.p == pytest.approx(2 / 2**8)  # eight scenes lost, none won
    assert less.outcomes == {"spline_jam": 8}
    assert less.core_min == 10
    assert "8/16 = 50.0 %" in show(cells)
    for caveat in (
        "all of them warm-up",
        "one warm-up and annealing",
        "adds rollouts",
        "for five",
        "weighs its conversations more",
    ):
        assert caveat in show(cells)


def test_seeds_are_others_for_each_training_and_the_same_scenes_for_all(tmp_path):
    planned = runs(AblationConfig(seeds=2), tmp_path, tmp_path)
    assert len(planned) == 2 * len(VARIANTS)
    assert len({run.folder for run in planned}) == len(planned)
    assert len({run.first_episode for run in planned}) == 1
    one, other = (run.training.seed for run in planned if run.variant == "full")
    assert one != other


def test_an_empty_or_another_ablation_is_refused(tmp_path, monkeypatch):
    with pytest.raises(TaktError, match="at least one seed"):
        ablation.run(AblationConfig(seeds=0), tmp_path, print)
    twice: tuple[Variant, ...] = ("full", "full")
    for variants in ((), twice):
        with pytest.raises(TaktError, match="variant"):
            ablation.run(AblationConfig(variants=variants), tmp_path, print)
    with pytest.raises(TaktError, match="nowhere"):
        ablation.run(AblationConfig(data=tmp_path / "nowhere"), tmp_path, print)
    assert not list(tmp_path.iterdir())
    claim(tmp_path, {"scale": 0.5})
    monkeypatch.setattr("takt.recipes.demonstrations.record", pytest.fail)
    with pytest.raises(TaktError, match=r"scale: 0\.5, now 1\.0"):
        ablation.run(AblationConfig(), tmp_path, print)
