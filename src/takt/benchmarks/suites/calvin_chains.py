"""CALVIN's chains: read from a file, how their scenes begin, and what came of each subtask."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from takt.benchmarks.suites.calvin_sequences import BLOCKS, LENGTH, SUBTASKS, Chain, Condition
from takt.benchmarks.suites.outcomes import stages_of
from takt.benchmarks.suites.suite import Played, SuiteError
from takt.benchmarks.wilson import Proportion, wilson

# From `get_env_state_for_initial_condition` in mees/calvin: the robot's 15 numbers, where blocks
# are put (m), and the range of their yaw (rad).
ROBOT = (
    *(0.02586889, -0.2313129, 0.5712808, 3.09045411, -0.02908596, 1.50013585, 0.07999963),
    *(-1.21779124, 1.03987629, 2.11978254, -2.34205014, -0.87015899, 1.64119093, 0.55344928),
    1.0,
)
_ON_SLIDER = {
    "slider_left": (-2.40851662e-01, 9.24044687e-02, 4.60990009e-01),
    "slider_right": (7.03416330e-02, 9.24044687e-02, 4.60990009e-01),
}
_ON_TABLE = (
    (5.00000896e-02, -1.20000177e-01, 4.59990009e-01),
    (2.29995412e-01, -1.19995140e-01, 4.59990010e-01),
)
_YAW = (np.pi / 2 - np.pi / 8, np.pi / 2 + np.pi / 8)
_SLIDER_LEFT, _DRAWER_OPEN, _SWITCH_ON = 0.28, 0.22, 0.088
_FNV_PRIME = 0x01000193


def fnv1_32(data: bytes) -> int:
    """FNV-1 from the basis 0, which pyhash has by default; others begin with 0x811c9dc5."""
    value = 0
    for byte in data:
        value = (value * _FNV_PRIME & 0xFFFFFFFF) ^ byte
    return value


def state_seed(condition: Condition) -> int:
    """What upstream seeds NumPy with: the hash of the values as Python prints them."""
    return fnv1_32(str(dict(condition).values()).encode())


def initial_state(condition: Condition) -> tuple[np.ndarray, np.ndarray]:
    """`robot_obs` (15,) and `scene_obs` (24,), float64, with which a chain begins.

    `scene_obs`: slider, drawer, button, switch, bulb, LED, then position and Euler angles of the
    red, the blue and the pink block. Which block gets which place on the table, and every yaw, is
    drawn from the condition's own seed.
    """
    draw = np.random.RandomState(state_seed(condition))
    table = list(_ON_TABLE)
    draw.shuffle(table)  # pyright: ignore[reportArgumentType] - any sequence may be shuffled
    scene = np.zeros(24)
    scene[0] = _SLIDER_LEFT if condition["slider"] == "left" else 0.0
    scene[1] = _DRAWER_OPEN if condition["drawer"] == "open" else 0.0
    scene[3] = _SWITCH_ON if condition["lightbulb"] == 1 else 0.0
    scene[4], scene[5] = condition["lightbulb"], condition["led"]
    for block, place in zip(BLOCKS, _table_places(condition), strict=True):
        first = 6 + 6 * BLOCKS.index(block)
        where = str(condition[block])
        scene[first : first + 3] = table[place] if where == "table" else _ON_SLIDER[where]
        scene[first + 5] = draw.uniform(*_YAW)
    return np.array(ROBOT), scene


def _table_places(condition: Condition) -> tuple[int, int, int]:
    """Which place a block would have on the table: red the first, pink the second."""
    return 0, int(condition["red_block"] == "table"), 1


def read_chains(path: Path) -> list[Chain]:
    """Chains from a JSON list of `[condition, [five subtasks]]`, in its order.

    Raises:
        SuiteError: there is no such file, or it is something else.
    """
    try:
        chains = [
            Chain(condition=condition, subtasks=tuple(subtasks))
            for condition, subtasks in json.loads(path.read_text())
        ]
        for chain in chains:
            initial_state(chain.condition)
            if len(chain.subtasks) != LENGTH or not set(chain.subtasks) <= set(SUBTASKS):
                raise ValueError(f"no chain: {', '.join(chain.subtasks)}")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SuiteError(
            f"expected CALVIN's evaluation sequences in {path}, got {error!r}; delete the file to "
            "have them generated"
        ) from error
    return chains


def subtask_results(chains: Sequence[Chain], played: Sequence[Played]) -> dict[str, Proportion]:
    """How often each subtask succeeded where it was tried, by name.

    Every result is looked up in the chain that its trial has played. (The released evaluation of
    Xiaomi-Robotics-0 plays a shuffled list and counts by the list that was not shuffled: its rates
    of chains stand, those of subtasks belong to others.)
    """
    tried: dict[str, list[bool]] = {}
    for one in played:
        subtasks, done = chains[one.trial.index].subtasks, stages_of(one)
        for place, subtask in enumerate(subtasks[: done + 1]):
            tried.setdefault(subtask, []).append(place < done)
    order: Mapping[str, int] = {name: place for place, name in enumerate(SUBTASKS)}
    return {
        name: wilson(sum(tried[name]), len(tried[name]))
        for name in sorted(tried, key=order.__getitem__)
    }
