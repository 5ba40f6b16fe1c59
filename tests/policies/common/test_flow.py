import numpy as np
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


def test_weights_have_mean_one_where_the_loss_looks_and_are_then_clamped(generator):
    raw = torch.rand(3, 4, 2, generator=generator) + 0.1
    seen = (torch.rand(3, 4, 2, generator=generator) < 0.7).float()
    mean = flow.masked_mean(raw, seen)
    free = flow.online_error_weight(raw, mean, seen, 0.0, 100.0)
    assert flow.masked_mean(free, seen).item() == pytest.approx(1)
    assert torch.equal(free[seen == 0], raw[seen == 0])
    ratio = (free / raw)[seen > 0]
    assert ratio.max().item() == pytest.approx(ratio.min().item())
    clamped = flow.online_error_weight(raw, mean, seen, 0.9, 1.1)
    torch.testing.assert_close(clamped, free.clamp(0.9, 1.1))


def test_a_perfect_rollout_weighs_little_and_is_a_number():
    raw, seen = torch.zeros(2, 3, 2), torch.ones(2, 3, 2)
    assert flow.online_error_weight(raw, raw.mean(), seen, 0.5, 5.0).eq(0.5).all()


def test_the_spectral_error_sums_what_it_sees(generator):
    error = torch.randn(3, 7, 4, generator=generator)
    weight = torch.rand(3, 7, 4, generator=generator)
    length = torch.tensor([0, 3, 3])
    expected, summands = 0.0, 0
    for row, clean in enumerate(length.tolist()):
        spectrum = np.abs(np.fft.rfft(error[row, clean:, :3].numpy(), axis=0))
        expected += weight[row, clean:, :3].mean().item() * spectrum.sum()
        summands += spectrum.size
    mask = torch.ones(3, 7, 4)
    mask[..., 3] = 0
    louder = error.clone()
    louder[..., 3] += 9
    for heard in (error, louder):
        total, count = flow.spectral_error(heard, weight, mask, length)
        assert total.item() == pytest.approx(expected, rel=1e-5)
        assert count == summands
    everything = torch.ones_like(mask)
    quiet, loud = (flow.spectral_error(x, weight, everything, length)[0] for x in (error, louder))
    assert loud > quiet + 1
