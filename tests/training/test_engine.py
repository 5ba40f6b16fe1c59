"""Two ranks, whole or sharded, killed or not, do what one process does."""

import pytest
import ranks
import tiny
import torch

from takt.policies.common.layers import set_recompute
from takt.training.engine import Replicated, Sharded
from takt.training.parallel import launch
from takt.training.shards import Shard
from takt.types import TaktError


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    """What they left behind; the last thing they did was to be killed."""
    folder = tmp_path_factory.mktemp("ranks")
    with pytest.raises(TaktError, match=r"rank 0 died \(SIGKILL\).*run it again"):
        launch(ranks.compare_then_die, 2, folder, ranks.COMPARISONS, Sharded())
    return folder


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    return {
        name: ranks.train(name, ranks.COMPARED, folder / name, Replicated())[0]
        for name in ("choice", "words", "post", "released")
    }


@pytest.mark.parametrize("comparison", ranks.COMPARISONS)
def test_two_ranks_take_the_steps_of_one(two_ranks, one_process, comparison):
    name, _ = ranks.COMPARISONS[comparison]
    first, second = (torch.load(two_ranks / f"{comparison}.{rank}") for rank in range(2))
    assert tiny.largest_difference(first, second) == 0
    assert tiny.largest_difference(first, one_process[name]) < 1e-6
    assert tiny.largest_difference(first, tiny.course(name)[0].state_dict()) > 1e-3


def test_one_process_goes_on_where_two_shards_were_killed(two_ranks, tmp_path):
    whole, losses = ranks.train("post", ranks.STOPPED, tmp_path, Replicated())
    resumed, rest = ranks.train("post", ranks.STOPPED, two_ranks / "stopped", Replicated())
    assert list(rest) == list(range(ranks.KILLED_AT, ranks.STOPPED.steps + 1))
    for step, loss in rest.items():
        assert loss == pytest.approx(losses[step], abs=1e-6)
    assert tiny.largest_difference(resumed, whole) < 1e-4


def test_recomputing_changes_no_gradient(batcher, tmp_path):
    for name in ("choice", "post"):
        stages = [tiny.stage(name, batcher) for _ in range(2)]
        set_recompute(stages[1].policy.layers(), recompute=True)
        batch = batcher.draw(4, torch.Generator().manual_seed(0))
        kept = [saved_bytes(stage, batch) for stage in stages]
        assert kept[1] < 0.6 * kept[0]
        for ours, theirs in zip(*(stage.trainable() for stage in stages), strict=True):
            assert (ours.grad is None) == (theirs.grad is None)
            assert ours.grad is None or torch.equal(ours.grad, theirs.grad)


def saved_bytes(stage, batch):
    """Run forward and backward; bytes kept in between, weights not counted."""
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = stage.losses(batch, torch.Generator().manual_seed(1))["loss"]
    loss.backward()
    weights = {parameter.untyped_storage().data_ptr() for parameter in stage.parameters()}
    return sum(size for pointer, size in kept.items() if pointer not in weights)


def test_a_batch_that_ranks_do_not_divide_is_refused():
    assert [Shard(index, 2).rows(6) for index in range(2)] == [slice(0, 3), slice(3, 6)]
    with pytest.raises(TaktError, match="divide a batch of 5, got 2"):
        Shard(0, 2).rows(5)
