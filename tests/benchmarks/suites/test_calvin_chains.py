"""CALVIN's chains: how they are drawn, how their scenes begin, what their figures are."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from takt.benchmarks.suites.assets import find_assets
from takt.benchmarks.suites.calvin import TREE, Calvin, published_chains
from takt.benchmarks.suites.calvin_chains import (
    fnv1_32,
    initial_state,
    read_chains,
    state_seed,
    subtask_results,
)
from takt.benchmarks.suites.calvin_sequences import (
    LENGTH,
    SUBTASKS,
    Chain,
    chains_from,
    conditions,
    generate,
    possible,
)
from takt.benchmarks.suites.suite import Played, SuiteError, Trial
from takt.benchmarks.suites.summary import summarise

HAND_CHECKED = Path(__file__).parents[2] / "data" / "suites" / "calvin_chains.json"
# Sequence 0 of the published 1000, and what simulators.md says of it.
FIRST = Chain(
    condition={
        **{"led": 1, "lightbulb": 1, "slider": "left", "drawer": "open"},
        **{"red_block": "slider_left", "blue_block": "table", "pink_block": "slider_right"},
        "grasped": 0,
    },
    subtasks=(
        *("rotate_blue_block_right", "move_slider_right", "lift_red_block_slider"),
        *("place_in_slider", "turn_off_lightbulb"),
    ),
)
needs_assets = pytest.mark.skipif(
    not os.environ.get("TAKT_ASSETS"), reason="TAKT_ASSETS names no folder of calvin-env-data"
)


def test_hash_is_that_of_pyhash() -> None:
    assert fnv1_32(b"hello world") == 2805756500  # pyhash's README


def test_scene_of_the_first_sequence_begins_as_published() -> None:
    assert state_seed(FIRST.condition) == 47886304
    robot, scene = initial_state(FIRST.condition)
    assert robot.shape == (15,)
    assert scene[11] == pytest.approx(1.33455, abs=5e-6)
    assert scene[:6].tolist() == [0.28, 0.22, 0, 0.088, 1, 1]
    assert scene[6] == pytest.approx(-0.240851662)  # the red block, left on the slider
    assert scene[12] in (0.0500000896, 0.229995412)  # the blue one, on the table


def test_two_blocks_on_the_table_never_share_a_place() -> None:
    for condition in conditions():
        blocks = [tuple(part[:3]) for part in np.split(initial_state(condition)[1][6:], 3)]
        assert len(set(blocks)) == 3


def test_order_of_keys_is_part_of_the_seed() -> None:
    turned = dict(reversed(list(FIRST.condition.items())))
    assert state_seed(turned) != state_seed(FIRST.condition)


def test_rule_gives_the_published_chain() -> None:
    every = list(conditions())
    assert (len(every), len(SUBTASKS)) == (192, 34)
    assert FIRST in chains_from(FIRST.condition, 5, every.index(FIRST.condition))


@needs_assets
def test_recorded_chains_keep_the_rule() -> None:
    chains = _recorded()
    assert chains[0] == FIRST
    assert all(possible(chain) for chain in chains)
    assert len({(str(chain.condition), chain.subtasks) for chain in chains}) == 1000
    shares = Counter(str(chain.condition) for chain in chains)
    assert Counter(shares.values()) == {6: 40, 5: 152}
    assert {str(condition) for condition in conditions()} == set(shares)


@needs_assets
@pytest.mark.slow
def test_recorded_chains_are_those_of_the_rule() -> None:
    assert generate() == _recorded()


def _recorded() -> list[Chain]:
    root = find_assets(TREE)
    assert root is not None
    return published_chains(root)


def test_figures_agree_with_those_worked_out_by_hand() -> None:
    hand = json.loads(HAND_CHECKED.read_text())
    chains = [Chain(condition=FIRST.condition, subtasks=tuple(names)) for names in hand["chains"]]
    played = [
        _played(trial, stages)
        for trial, stages in zip(Calvin(chains=5).trials(), hand["stages"], strict=True)
    ]
    played.reverse()  # the order of playing says nothing about who did what
    found = summarise("calvin-n5", {}, LENGTH, played).chain
    assert found is not None
    assert [one.k for one in found.in_a_row] == hand["in_a_row"]
    assert found.mean_length.rate == pytest.approx(hand["mean_length"])
    tried = subtask_results(chains, played)
    assert {name: [one.k, one.n] for name, one in tried.items()} == hand["subtasks"]


def test_chain_that_could_not_be_played_failed_at_its_first_subtask() -> None:
    trial = Calvin(chains=1).trials()[0]
    crashed = Played(trial=trial, stages=3, steps=0, stalls=0, cpu_s=0, error="crash")
    (name,) = (found := subtask_results([FIRST], [crashed]))
    assert (name, found[name].k, found[name].n) == (FIRST.subtasks[0], 0, 1)


def _played(trial: Trial, stages: int) -> Played:
    return Played(trial=trial, stages=stages, steps=1, stalls=0, cpu_s=0.1)


@pytest.mark.parametrize("text", ["{}", "[[{}, []]]", '[["led", ["turn_on_led"]]]', "no json"])
def test_file_of_other_things_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "chains.json").write_text(text if text != "{}" else '{"a": 1}')
    with pytest.raises(SuiteError, match="delete the file"):
        read_chains(tmp_path / "chains.json")
