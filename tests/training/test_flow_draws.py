"""What chance decides, by the law that the objective names."""

from dataclasses import replace

import pytest
import torch

from takt.training.flow_draws import draw, hide
from takt.training.flow_objective import (
    PAPER,
    RELEASED,
    SYNCHRONOUS,
    BetaTime,
    LogitNormalTime,
    PaperPrefix,
    ReleasedHiding,
    ReleasedPrefix,
    UniformTime,
)
from takt.types import TaktError

ACTIONS = torch.zeros(4000, 8, 1)


def drawn(objective, seed=0, actions=ACTIONS, longest=6):
    return draw(objective, longest, actions, torch.Generator().manual_seed(seed))


def test_the_paper_draws_every_length_alike():
    lengths = drawn(PAPER).prefix_length
    shares = lengths.bincount(minlength=7) / len(lengths)
    assert shares == pytest.approx(torch.full((7,), 1 / 7), abs=0.03)
    assert drawn(PAPER).hidden is None


def test_the_released_trainer_draws_once_for_a_batch():
    lengths = [drawn(RELEASED, seed).prefix_length.unique().tolist() for seed in range(60)]
    assert all(len(one) == 1 for one in lengths)
    assert {one[0] for one in lengths} == set(range(7))
    assert 15 <= lengths.count([0]) <= 45
    own = replace(RELEASED, prefix=ReleasedPrefix(each="sample"))
    assert drawn(own).prefix_length.eq(0).float().mean().item() == pytest.approx(0.5, abs=0.03)


def test_a_contract_without_prefix_or_a_synchronous_objective_draws_none():
    assert not drawn(SYNCHRONOUS).prefix_length.any()
    found = drawn(RELEASED, longest=0)
    assert not found.prefix_length.any()
    assert found.hidden is None


def test_the_last_two_prefix_tokens_are_never_hidden():
    objective = replace(
        PAPER, prefix=PaperPrefix(each="sample"), hiding=ReleasedHiding(each="sample")
    )
    found = drawn(objective)
    assert found.hidden is not None
    step = torch.arange(8)
    may = step < (found.prefix_length - 2)[:, None]
    assert not found.hidden[~may].any()
    assert found.hidden[may].float().mean().item() == pytest.approx(0.5, abs=0.03)


def test_hiding_follows_its_draws():
    uniform = torch.tensor([[0.31, 0.77, 0.12]])
    hidden = hide(ReleasedHiding(), uniform, torch.tensor([5, 3]), 9)
    assert [row.nonzero().flatten().tolist() for row in hidden] == [[0, 2], [0]]


@pytest.mark.parametrize(
    ("time", "mean"),
    [
        (BetaTime(), 0.4 * 0.999),
        (BetaTime(alpha=1.0), 0.5 * 0.999),
        (LogitNormalTime(), 0.5 * 0.999),
        (LogitNormalTime(mean=50.0), 0.999),
        (UniformTime(), 0.5 * 0.999),
    ],
)
def test_flow_times_stay_below_the_clean_chunk(time, mean):
    tau = drawn(replace(SYNCHRONOUS, time=time)).tau
    assert tau.mean().item() == pytest.approx(mean, abs=0.015)
    assert tau.min() >= 0
    assert tau.max() <= 0.999


@pytest.mark.parametrize("law", [ReleasedPrefix, ReleasedHiding])
def test_a_probability_is_one(law):
    with pytest.raises(TaktError, match=r"probability in 0\.\.1, got 1\.5"):
        law(probability=1.5)
