"""The blocks recipe, from nothing to a policy that answers and acts, in a few steps."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from takt.embodiments.blocks import SPEC
from takt.policies.xr0.chat import Chat
from takt.policies.xr0.policy import XR0Policy
from takt.recipes.blocks import HORIZON, blocks, reach_frames, run, varied
from takt.recipes.training_page import read_stages
from takt.recipes.watch import WatchConfig
from takt.seeds import SeedError
from takt.simulation.blocks.table import BlocksTable, plan
from takt.training.pipeline import STAGES
from takt.types import TaktError


def few(**options):
    config = varied(blocks(), scale=1e-9, seed=0, **options)
    loops = {name: getattr(config, name) for name in STAGES}
    small = {name: loop and replace(loop, batch_size=8) for name, loop in loops.items()}
    return replace(config, **small)


def test_every_stage_runs_and_the_checkpoint_plans_and_talks(tmp_path):
    config = few(words=True, co_training=True)
    said = []
    watch = WatchConfig(validate_every=1, rollout_every=1, rollouts=2)
    policy = run(config, tmp_path / "run", scenes=20, ranks=1, log=said.append, watch=watch)
    assert said == ["drawing 20 scenes"]
    stages = {"words", "choice", "expert", "post"}
    assert stages <= {path.name for path in (tmp_path / "run").iterdir()}
    assert run(config, tmp_path / "run", scenes=20, ranks=1, log=pytest.fail) == policy
    words, choice, expert, post = read_stages(tmp_path / "run")
    assert [len(stage.validations) for stage in (words, choice, expert, post)] == [0, 1, 1, 1]
    assert [seen.attempts for seen in (*expert.rollouts, *post.rollouts)] == [2, 2]
    assert "post: success" in (tmp_path / "run" / "training.html").read_text()
    chunk = XR0Policy.load(policy, SPEC).infer(BlocksTable().observe(), None)
    assert chunk.actions.shape == (HORIZON, 2)
    chat = Chat.load(policy)
    prompt = chat.prompt([BlocksTable().observe().images["table"]], "Where?")
    list(chat.answer(prompt, 3))
    with pytest.raises(TaktError, match="other settings"):
        run(few(words=False, co_training=False), tmp_path / "run", scenes=20, ranks=1, log=print)


def test_frames_hold_the_way_to_the_block_that_is_named():
    frames = reach_frames(6)
    table = BlocksTable()
    for seed in range(6):
        table.reset(seed)
        assert frames.instructions[seed] == table.observe().instruction
        way = plan(frames.state[seed], np.array(table.target.centre), HORIZON)
        np.testing.assert_allclose(frames.plans[seed], way, atol=1e-6)
    with pytest.raises(SeedError):
        reach_frames(10**6)
