"""What is planned is what is there."""

from dataclasses import replace

import pytest
import tiny
import torch

from takt.training.engine import Replicated, Sharded
from takt.training.flow_objective import RELEASED
from takt.training.plan_config import CARDS
from takt.training.plan_recipe import blank_batch, on_meta, samples_per_gpu
from takt.training.planner import elements, plan_stage
from takt.types import TaktError

NAMES = ("choice", "expert", "post")


def planned(name, engine, ranks=1, size=4, bf16=False):
    stage, batch = on_meta(name, tiny.CONFIG, tiny.BODY, size)
    return plan_stage(name, stage, batch, engine, ranks, bf16=bf16)


@pytest.mark.parametrize("name", NAMES)
def test_weights_gradients_and_moments_are_counted_to_the_byte(batcher, name):
    stage = tiny.stage(name, batcher)
    trained = stage.trainable()
    optimiser = torch.optim.AdamW(trained, fused=True)
    batch = blank_batch(tiny.CONFIG, tiny.BODY, 2, torch.device("cpu"))
    stage.losses(batch, torch.Generator())["loss"].backward()
    optimiser.step()
    moments = [x for state in optimiser.state.values() for x in state.values()]
    plan = planned(name, Replicated())
    assert plan.memory.weights == sum(p.nbytes for p in stage.parameters())
    assert plan.memory.gradients == sum(p.grad.nbytes for p in trained if p.grad is not None)
    assert plan.memory.optimiser == sum(x.nbytes for x in moments)
    assert plan.memory.average == sum(p.nbytes for p in trained)
    assert plan.parameters == sum(p.numel() for p in stage.parameters())


def test_the_first_rank_holds_the_larger_part():
    assert elements({"a": torch.Size([5, 3]), "b": torch.Size([1, 2])}, 2) == 9 + 2


def test_shards_are_smaller_and_recomputing_keeps_less():
    whole, sharded = planned("post", Replicated()), planned("post", Sharded(), ranks=4)
    assert sharded.memory.optimiser < 0.3 * whole.memory.optimiser
    assert sharded.memory.gathered == whole.memory.weights
    by_node = planned("post", Sharded(replicas=2), ranks=4)
    assert sharded.memory.optimiser < by_node.memory.optimiser < whole.memory.optimiser
    less = planned("post", Replicated(recompute=True))
    assert less.memory.activations < 0.7 * whole.memory.activations
    assert 1.2 * whole.flops < less.flops < 1.4 * whole.flops


def test_arithmetic_grows_with_the_batch_and_nothing_else():
    few, many = (planned("post", Replicated(), size=size) for size in (20, 60))
    assert few.flops == many.flops
    assert 2.8 < many.memory.activations / few.memory.activations < 3.5
    dit = tiny.stage("post", tiny.batcher(tiny.frames())).policy.dit
    tokens = tiny.CONFIG.draws * (2 + tiny.HORIZON)
    assert few.flops > 6 * tokens * sum(p.numel() for p in dit.parameters() if p.ndim == 2)
    card = CARDS["h100"]
    assert few.samples_per_s(card, 2, 0.5) == pytest.approx(card.tflops * 1e12 / few.flops)


def test_a_frozen_vlm_costs_no_backward_pass():
    frozen, whole = planned("expert", Replicated()), planned("post", Replicated())
    assert frozen.flops < whole.flops
    assert frozen.trained < whole.trained


def test_the_batch_must_divide():
    assert samples_per_gpu(64, 16) == 4
    with pytest.raises(TaktError, match="divide a batch of 64, got 48"):
        samples_per_gpu(64, 48)


def test_any_objective_can_be_planned():
    stage, batch = on_meta("post", replace(tiny.CONFIG, objective=RELEASED), tiny.BODY, 8)
    weighted = plan_stage("post", stage, batch, Replicated(), 1, bf16=True)
    assert weighted.flops > planned("post", Replicated()).flops
