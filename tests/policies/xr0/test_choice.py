import pytest
import torch

from takt.policies.xr0.cache import VLMCache
from takt.policies.xr0.choice import (
    ChoiceConfig,
    ChoiceHeads,
    ChoiceOutput,
    choice_losses,
    point_loss,
)

CONFIG = ChoiceConfig(candidates=3, horizon=5, views=3, points_per_view=2)


@pytest.fixture(scope="module")
def heads(model):
    torch.manual_seed(3)
    return ChoiceHeads(model, CONFIG)


@pytest.fixture
def state(model):
    return torch.randn(2, 1, model.config.state_dim, generator=torch.Generator().manual_seed(4))


def test_one_pass_leaves_the_prompt_as_encode_gives_it(model, heads, prompts, state):
    with torch.no_grad():
        output, alone = heads(model, prompts, state), model.encode(prompts)
    assert output.candidates.shape == (2, 3, 5, model.config.action_dim)
    assert output.scores.shape == (2, 3)
    assert output.points.shape == (2, 6, 2)
    pairs = zip(
        (*output.cache.keys, *output.cache.values), (*alone.keys, *alone.values), strict=True
    )
    for ours, plain in pairs:
        torch.testing.assert_close(ours, plain, atol=1e-5, rtol=0)
    assert torch.equal(output.cache.max_position, alone.max_position)


def test_state_and_image_reach_every_output(model, heads, prompts, state):
    with torch.no_grad():
        first, second = heads(model, prompts, state), heads(model, prompts, state + 0.1)
    for name in ("candidates", "scores", "points"):
        assert (getattr(first, name) - getattr(second, name)).abs().max() > 1e-6


def test_losses_train_the_vlm_and_the_heads(model, heads, prompts, state):
    output = heads(model, prompts, state)
    actions = torch.zeros_like(output.candidates[:, 0])
    losses = choice_losses(output, actions, torch.ones_like(actions))
    total = losses.action + losses.score + point_loss(output, output.points * 0, output.points**0)
    parameters = [*heads.parameters(), *model.vlm.parameters()]
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    assert all(gradient is not None for gradient in gradients)


def output_of(candidates, scores):
    empty = VLMCache(keys=(), values=(), attention_mask=None, max_position=torch.zeros(3, 1))
    return ChoiceOutput(candidates=candidates, scores=scores, points=torch.zeros(1), cache=empty)


def test_only_the_winner_learns_and_scores_learn_the_distances():
    candidates = torch.tensor([[0.0, 2.0, 5.0]])[..., None, None].requires_grad_()
    scores = torch.tensor([[1.0, 1.0, 1.0]], requires_grad=True)
    output = output_of(candidates, scores)
    losses = choice_losses(output, torch.tensor([[[1.5]]]), torch.ones(1, 1, 1))
    assert losses.action.item() == pytest.approx(0.5)
    assert losses.score.item() == pytest.approx((0.5**2 + 0.5**2 + 2.5**2) / 3)
    (learned,) = torch.autograd.grad(losses.action, candidates)
    assert learned.flatten().tolist() == [0, 1, 0]
    assert torch.autograd.grad(losses.score, candidates, allow_unused=True) == (None,)


def test_best_is_the_lowest_predicted_distance():
    candidates = torch.arange(6.0).view(2, 3, 1, 1)
    output = output_of(candidates, torch.tensor([[3.0, 1.0, 2.0], [0.0, 1.0, 2.0]]))
    assert output.best().flatten().tolist() == [1, 3]


def test_masked_actions_decide_nothing():
    candidates = torch.tensor([[[[0.0, 9.0]], [[1.0, 0.0]]]])
    mask = torch.tensor([[[1.0, 0.0]]])
    losses = choice_losses(output_of(candidates, torch.zeros(1, 2)), torch.zeros(1, 1, 2), mask)
    assert losses.action == 0
