"""The whole recipe's order, seeds and resumption, with recording and training stood in for."""

from dataclasses import replace

import pytest

from takt.recipes import nut_station as recipe
from takt.recipes.station_rollouts import FIRST_SEED
from takt.recipes.watch import STANDARD, WatchConfig
from takt.seeds import VALIDATION_BEGIN
from takt.types import TaktError

EPISODES, CORRECTIONS, RANKS = 7, 5, 2


class Shop:
    """Remembers what was recorded and trained; a policy is a file."""

    def __init__(self, monkeypatch):
        self.recorded, self.trained, self.unseen = [], [], []
        monkeypatch.setattr("takt.recipes.demonstrations.record", self.record)
        monkeypatch.setattr("takt.training.parallel.launch", self.launch)

    def record(self, root, episodes, seed, workers, report, attempt=None, split="training"):
        if split == "validation":
            self.unseen.append((root, range(seed, seed + episodes)))
            return
        policy = attempt.keywords["checkpoint"] if attempt else None
        self.recorded.append((root, episodes, seed, policy))

    def launch(self, work, ranks, config, watch, data, cache, *rest):
        out = rest[-1]
        self.trained.append((work.__name__, data, cache, rest))
        (out / "policy").mkdir(parents=True)
        (out / "policy" / "model.safetensors").touch()

    def run(self, out, config=None, episodes=EPISODES, watch=STANDARD):
        return recipe.run(
            config or recipe.nut_station(),
            out,
            episodes=episodes,
            corrections=CORRECTIONS,
            ranks=RANKS,
            log=lambda line: None,
            watch=watch,
        )


@pytest.fixture
def shop(monkeypatch):
    return Shop(monkeypatch)


def test_each_round_corrects_the_policy_of_the_round_before(shop, tmp_path):
    last = shop.run(tmp_path)
    assert last == tmp_path / f"round-{recipe.ROUNDS}" / "policy"
    policies = [tmp_path / name / "policy" for name in ("first", "round-1", "round-2")]
    assert [policy for *_, policy in shop.recorded] == [None, *policies]
    assert [name for name, *_ in shop.trained] == ["_train"] + ["_refine"] * recipe.ROUNDS
    datasets = [root for root, *_ in shop.recorded]
    _, data, _, (start, _) = shop.trained[-1]
    assert data == tuple(datasets)
    assert start == policies[-1]


def test_another_contract_changes_nothing_else():
    ours, other = recipe.nut_station(), recipe.nut_station("training_time_rtc")
    assert other.model.contract.prefix_time == "one"
    assert replace(other, model=replace(other.model, contract=ours.model.contract)) == ours


def test_no_seed_is_used_twice_and_all_are_for_training(shop, tmp_path):
    shop.run(tmp_path)
    drawn = [range(seed, seed + episodes) for _, episodes, seed, _ in shop.recorded]
    seeds = [seed for one in drawn for seed in one]
    assert len(set(seeds)) == EPISODES + recipe.ROUNDS * CORRECTIONS
    assert max(seeds) < 10**5
    spare = recipe.CORRECTIONS_SEED - recipe.EPISODES  # for attempts that fail
    assert spare > 10 * recipe.EPISODES


def test_validation_has_demonstrations_of_its_own(shop, tmp_path):
    shop.run(tmp_path)
    ((root, seeds),) = shop.unseen
    assert root not in {root for root, *_ in shop.recorded}
    assert min(seeds) >= VALIDATION_BEGIN
    assert FIRST_SEED not in seeds
    shop.run(tmp_path / "blind", watch=WatchConfig(validate_every=0))
    assert len(shop.unseen) == 1


def test_a_stopped_run_goes_on_and_another_one_is_refused(shop, tmp_path):
    shop.run(tmp_path)
    trained = len(shop.trained)
    shop.run(tmp_path)
    assert len(shop.trained) == trained
    with pytest.raises(TaktError, match="episodes: 7, now 8"):
        shop.run(tmp_path, episodes=8)


def test_the_scale_touches_nothing_but_the_steps():
    config = recipe.nut_station()
    half = recipe.scaled(config, 0.5)
    assert half.refine.steps == config.refine.steps // 2
    assert replace(half.refine, steps=config.refine.steps) == config.refine
    assert recipe.scaled(config, 1e-9).refine.steps == 1
