import pytest
import torch

from takt.policies.common import flow


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_tau_favours_noise(generator):
    tau = flow.draw_tau(20_000, generator)
    assert tau.min() >= 0
    assert tau.max() <= 0.999
    # E[1 - u] = 1 / 2.5 for u ~ Beta(1.5, 1).
    assert tau.mean().item() == pytest.approx(0.999 * 0.4, abs=0.01)


def test_draws_repeat_with_their_generator():
    draws = [flow.draw_tau(4, torch.Generator().manual_seed(7)) for _ in range(2)]
    assert torch.equal(*draws)


def test_prefix_lengths_are_zero_half_of_the_time(generator):
    lengths = flow.draw_prefix_length(10_000, 6, generator)
    assert set(lengths.tolist()) == set(range(7))
    assert (lengths == 0).float().mean().item() == pytest.approx(0.5, abs=0.03)


def test_interpolation_ends_at_noise_and_action_and_keeps_the_prefix(generator):
    actions = torch.randn(3, 5, 2, generator=generator)
    noise = flow.draw_noise(actions, generator)
    tau = torch.tensor([0.0, 1.0, 0.25])
    noisy = flow.interpolate(actions, noise, tau, torch.tensor([2, 0, 5]))
    assert torch.equal(noisy[0, :2], actions[0, :2])
    torch.testing.assert_close(noisy[0, 2:], noise[0, 2:])
    torch.testing.assert_close(noisy[1], actions[1])
    assert torch.equal(noisy[2], actions[2])


def test_loss_sees_only_what_it_may():
    actions, noise = torch.zeros(2, 4, 3), torch.zeros(2, 4, 3)
    active = torch.ones(1, 4, 3)
    active[..., 2] = 0
    valid = torch.tensor([[True] * 4, [True, True, True, False]])
    mask = flow.loss_mask(active, valid, torch.tensor([0, 2]))
    assert mask.sum() == 2 * 4 + 2 * 1
    velocity = torch.where(mask > 0, 2.0, 1e6)
    assert flow.flow_loss(velocity, actions, noise, mask).item() == pytest.approx(4.0)
    assert flow.flow_loss(velocity, actions, noise, torch.zeros_like(mask)) == 0
