"""From a dataset on disk to a checkpoint that plans."""

from dataclasses import replace

import numpy as np
import pytest
import tiny

from takt.benchmarks.checkpoint import read_chunking
from takt.benchmarks.player import chain
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.writer import LeRobotWriter
from takt.policies.xr0.checkpoint import load_checkpoint
from takt.policies.xr0.policy import XR0Policy
from takt.runtime.chunking import ChunkingError
from takt.training.flow_objective import SYNCHRONOUS
from takt.training.pipeline import refine, train
from takt.types import Observation

ONE_STEP = replace(tiny.LOOP, steps=1, batch_size=2)
CONFIG = replace(tiny.CONFIG, choice=ONE_STEP, expert=ONE_STEP, post=ONE_STEP, refine=ONE_STEP)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    with LeRobotWriter(root, tiny.BODY, extras={tiny.POINTS_KEY: 12}) as writer:
        writer.add_episode(tiny.episode(0))
    return root


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out, reports = tmp_path_factory.mktemp("run"), []

    def report(stage, step):
        reports.append((stage, step.step))

    train(CONFIG, tiny.BODY, data, out / "frames", out, report)
    return out, reports


def observation(data):
    first = LeRobotDataset.open(data).episode(0)
    images = {name: rows[0] for name, rows in first.images.items()}
    return Observation(
        stamp=0.0,
        images=images,
        image_stamps=dict.fromkeys(images, 0.0),
        state=first.state[0],
        instruction=tiny.BODY.instruction,
    )


def plan(checkpoint, data):
    policy = XR0Policy.load(checkpoint, tiny.BODY)
    policy.reset(0)
    return policy.infer(observation(data), None)


def test_every_stage_runs_once_and_in_order(run):
    assert run[1] == [("choice", 1), ("expert", 1), ("post", 1)]


def test_the_checkpoint_plans(run, data):
    out, _ = run
    chunk = plan(out / "policy", data)
    assert chunk.actions.shape == (CONFIG.horizon, 4)
    assert np.isfinite(chunk.actions).all()
    assert chunk.dt == tiny.BODY.dt


def test_a_finished_run_is_not_run_again(run, data):
    out, _ = run
    before = plan(out / "policy", data).actions
    train(CONFIG, tiny.BODY, data, out / "frames", out, lambda s, step: pytest.fail(f"{s} again"))
    np.testing.assert_array_equal(plan(out / "policy", data).actions, before)


def test_refining_starts_from_the_checkpoint_and_keeps_its_statistics(run, data, tmp_path):
    out, reports = run[0], []
    refine(
        CONFIG,
        tiny.BODY,
        [data, data],
        tmp_path / "frames",
        out / "policy",
        tmp_path,
        lambda stage, step: reports.append(stage),
    )
    assert reports == ["refine"]
    facts = "preprocessor_config.json"
    assert (tmp_path / "policy" / facts).read_text() == (out / "policy" / facts).read_text()
    refined, first = plan(tmp_path / "policy", data), plan(out / "policy", data)
    assert not np.array_equal(refined.actions, first.actions)
    np.testing.assert_allclose(refined.actions, first.actions, atol=0.2)


def test_what_was_trained_without_prefixes_says_so_until_it_learns_them(data, tmp_path):
    flow = replace(CONFIG, choice=None, expert=None, objective=SYNCHRONOUS)
    train(flow, tiny.BODY, data, tmp_path / "frames", tmp_path / "a", lambda *_: None)
    assert load_checkpoint(tmp_path / "a" / "policy").has_words is False
    facts = read_chunking(tmp_path / "a" / "policy", tiny.BODY.name)
    assert facts.max_prefix == 0
    with pytest.raises(ChunkingError, match="at most 0 actions, as trained"):
        chain("async", facts, 1)
    start = tmp_path / "a" / "policy"
    refine(CONFIG, tiny.BODY, [data], tmp_path / "frames", start, tmp_path / "b", lambda *_: None)
    assert read_chunking(tmp_path / "b" / "policy", tiny.BODY.name).max_prefix == 6
