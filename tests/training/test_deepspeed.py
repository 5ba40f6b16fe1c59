"""Two ranks of DeepSpeed's ZeRO-2, killed or not, do what one process does."""

import shutil
from importlib.util import find_spec

import pytest
import ranks
import tiny
import torch

from takt.extras import EXTRAS
from takt.recipes.finetune import run
from takt.training.deepspeed_updater import DeepSpeedUpdater
from takt.training.engine import Replicated, ZeRO2
from takt.training.finetune_config import FinetuneConfig
from takt.training.parallel import launch
from takt.types import TaktError

installed = pytest.mark.skipif(
    find_spec("deepspeed") is None,
    reason="deepspeed is not installed (pip install '.[deepspeed]')",
)


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    """What they left behind; the last thing they did was to be killed."""
    folder = tmp_path_factory.mktemp("deepspeed")
    with pytest.raises(TaktError, match=r"rank 0 died \(SIGKILL\).*run it again"):
        launch(ranks.compare_then_die, 2, folder, ranks.DEEPSPEED, ZeRO2())
    return folder


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return ranks.train("post", ranks.STOPPED, tmp_path_factory.mktemp("one"), Replicated())


@installed
@pytest.mark.parametrize("comparison", ranks.DEEPSPEED)
def test_two_ranks_take_the_steps_of_one(two_ranks, tmp_path, comparison):
    name, _ = ranks.DEEPSPEED[comparison]
    one, _ = ranks.train(name, ranks.COMPARED, tmp_path, Replicated())
    first, second = (torch.load(two_ranks / f"{comparison}.{rank}") for rank in range(2))
    assert tiny.largest_difference(first, second) == 0
    assert tiny.largest_difference(first, one) < 1e-6
    assert tiny.largest_difference(first, tiny.course(name)[0].state_dict()) > 1e-3


@installed
@pytest.mark.parametrize("count", [1, 2])
def test_killed_ranks_are_gone_on_from(two_ranks, uninterrupted, tmp_path, count):
    shutil.copytree(two_ranks / "stopped", tmp_path / "stopped")
    launch(ranks.finish, count, tmp_path, ZeRO2())
    weights, losses = torch.load(tmp_path / "finished")
    whole, expected = uninterrupted
    assert list(losses) == list(range(ranks.KILLED_AT, ranks.STOPPED.steps + 1))
    for step, loss in losses.items():
        assert loss == pytest.approx(expected[step], abs=1e-6)
    assert tiny.largest_difference(weights, whole) < 1e-4
    untouched = [k for k, w in tiny.course("post")[0].state_dict().items() if w.equal(whole[k])]
    assert any(key.endswith("weight") for key in untouched)  # no loss reaches them
    assert all(weights[key].equal(whole[key]) for key in untouched)


def test_without_the_package_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(EXTRAS, "deepspeed", ("takt_no_deepspeed",))
    stage, _ = tiny.course("post")
    optimiser = torch.optim.SGD(stage.trainable())
    with pytest.raises(TaktError, match=r"ZeRO-2 engine needs takt_no_deepspeed.*\[deepspeed\]"):
        DeepSpeedUpdater(stage, optimiser, stage.trainable(), 1.0)
    # Before the data is looked for.
    chosen, nothing = FinetuneConfig(engine="deepspeed"), tmp_path / "nothing"
    with pytest.raises(TaktError, match=r"--engine deepspeed needs takt_no_deepspeed"):
        run(chosen, data=nothing, init=None, body=None, out=nothing, ranks=2, log=print)
