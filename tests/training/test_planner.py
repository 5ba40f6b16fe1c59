"""What is planned is what is there."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from takt.policies.xr0.tokenizer import build_tokenizer
from takt.training.engine import Replicated, Sharded
from takt.training.flow_objective import RELEASED
from takt.training.mixture import CoTraining
from takt.training.plan_config import CARDS, PlanConfig
from takt.training.plan_recipe import (
    META,
    blank_batch,
    blank_dialogues,
    blank_questions,
    long_conversation,
    on_meta,
    plan_recipe,
    samples_per_gpu,
)
from takt.training.planner import elements, plan_stage
from takt.training.shards import Shard
from takt.training.vision_language import Conversations
from takt.types import TaktError

CPU = torch.device("cpu")
NAMES = ("choice", "expert", "post")
NAMED = replace(
    tiny.CONFIG,
    grounding=replace(tiny.CONFIG.grounding, names=("cup", "plate")),
    frames_per_conversation=2,
)


def planned(name, engine, ranks=1, size=4, bf16=False):
    stage, batch = on_meta(name, tiny.CONFIG, tiny.BODY, size)
    return plan_stage(name, stage, batch, engine, ranks, bf16=bf16)


@pytest.mark.parametrize("name", NAMES)
def test_weights_gradients_and_moments_are_counted_to_the_byte(batcher, name):
    stage = tiny.stage(name, batcher)
    trained = stage.trainable()
    optimiser = torch.optim.AdamW(trained, fused=True)
    batch = blank_batch(tiny.CONFIG, tiny.BODY, 2, CPU)
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


def test_conversations_beside_a_stage_cost_memory_and_arithmetic():
    asked = PlanConfig(micro_batch=8)
    talk = long_conversation(NAMED, tiny.BODY)
    alone = plan_recipe(NAMED, tiny.BODY, asked, ("choice", "post"))
    beside = plan_recipe(NAMED, tiny.BODY, asked, ("choice", "post"), talk)
    assert beside[1].flops == alone[1].flops  # not a co-trained stage
    assert beside[0].memory.peak > alone[0].memory.peak
    assert beside[0].flops > 1.1 * alone[0].flops
    assert beside[0].tokens > alone[0].tokens


def test_as_many_and_as_long_conversations_are_planned_as_the_loop_draws(batcher):
    points = np.random.default_rng(0).uniform(-1.2, 1.2, (20, 2, 2))
    questions = blank_questions(NAMED, tiny.BODY, points)
    source = CoTraining(batcher, Conversations(questions, tiny.MODEL, build_tokenizer()), 2)
    drawn = source.draw(24, torch.Generator().manual_seed(0), Shard(0, 2)).conversations
    assert drawn is not None
    talk = long_conversation(NAMED, tiny.BODY)
    planned = blank_dialogues(tiny.MODEL, talk, 6, CPU).dialogues
    real = drawn.dialogues
    assert real.inputs.pixel_values.shape == planned.inputs.pixel_values.shape
    assert planned.inputs.attention_mask is not None
    assert real.inputs.input_ids.shape[0] == planned.inputs.input_ids.shape[0]
    assert 0 <= planned.inputs.input_ids.shape[1] - real.inputs.input_ids.shape[1] <= 4


def test_gradients_with_conversations_are_counted_to_the_byte(batcher):
    talk = long_conversation(NAMED, tiny.BODY)
    words = [blank_dialogues(tiny.MODEL, talk, 2, device) for device in (META, CPU)]
    stage, batch = on_meta("choice", tiny.CONFIG, tiny.BODY, 2, words[0])
    plan = plan_stage("choice", stage, batch, Replicated(), 1, bf16=False)
    real = tiny.stage("choice", batcher)
    batch = replace(blank_batch(tiny.CONFIG, tiny.BODY, 2, CPU), conversations=words[1])
    real.losses(batch, torch.Generator())["loss"].backward()
    given = sum(p.grad.nbytes for p in real.parameters() if p.grad is not None)
    assert plan.memory.gradients == given
