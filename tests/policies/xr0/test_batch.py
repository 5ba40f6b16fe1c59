"""Several robots in one inference get what each would get alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from takt.policies.xr0.config import TRAINING_TIME_RTC
from takt.policies.xr0.engine import Engine
from takt.policies.xr0.model import XR0
from takt.policies.xr0.planner import ObservationError
from takt.policies.xr0.policy import XR0Policy
from takt.policies.xr0.presets import nano
from takt.runtime.client import RemotePolicy
from takt.runtime.server.policy_server import MAX_MESSAGE_BYTES, PolicyServer
from takt.runtime.server.replies import ServerFacts
from takt.runtime.server.scheduler import OneForAll, OnePerRobot
from takt.types import ActionChunk

TOLERANCE = 1e-5
PREFIXES = (0, 3, 6)


@pytest.fixture
def questions(observation, spec):
    """Observations that differ in everything but their shapes, and 0, 3 and 6 committed actions."""
    rng = np.random.default_rng(5)
    asked = []
    for length in PREFIXES:
        images = {name: rng.permuted(image) for name, image in observation.images.items()}
        state = observation.state + rng.normal(0, 0.05, len(spec.slots)).astype(np.float32)
        actions = rng.normal(0, 0.05, (length, len(spec.slots))).astype(np.float32)
        chunk = ActionChunk(stamp=observation.stamp, dt=spec.dt, actions=actions)
        asked.append((replace(observation, images=images, state=state), chunk if length else None))
    return asked


def team(policy):
    """Three robots' policies, seeded apart."""
    policies = [policy, policy.another(), policy.another()]
    for seed, each in enumerate(policies):
        each.reset(seed)
    return policies


def assert_alike(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.actions, theirs.actions, atol=TOLERANCE, rtol=0)
        assert ours.stamp == theirs.stamp


@pytest.mark.parametrize("words", [("", "", ""), ("", " Then rest.", "")], ids=["alike", "longer"])
def test_a_batch_equals_single_inferences(checkpoint, spec, questions, words):
    """In one engine where prompts are of one length, else in two, and twice on kept buffers."""
    asked = [
        (replace(seen, instruction=seen.instruction + more), committed)
        for (seen, committed), more in zip(questions, words, strict=True)
    ]
    alone, together = XR0Policy(checkpoint, spec), XR0Policy(checkpoint, spec)
    alone.reset(3)
    together.reset(3)
    for turn in (asked, asked[::-1]):
        expected = [alone.infer(*question) for question in turn]
        assert_alike(together.infer_batch(*zip(*turn, strict=True)), expected)
    assert together.infer_batch([], []) == []


def test_clean_actions_at_a_time_of_their_own_are_planned_for_in_groups(
    checkpoint, spec, questions
):
    torch.manual_seed(0)
    model = XR0(nano(TRAINING_TIME_RTC)).eval()
    alone, together = (XR0Policy(replace(checkpoint, model=model), spec) for _ in range(2))
    expected = [alone.infer(*question) for question in questions]
    assert_alike(together.infer_batch(*zip(*questions, strict=True)), expected)


def test_every_robot_draws_its_own_noise(checkpoint, spec, questions):
    """Whoever else is in its batch, and whoever of them fails."""
    policies, seen = team(XR0Policy(checkpoint, spec)), [seen for seen, _ in questions]
    chunk = questions[1][1]
    huge = replace(chunk, actions=np.full_like(chunk.actions, 3e38))
    for state, committed, says in (
        (seen[1].state * np.nan, None, "not finite"),
        (seen[1].state, huge, "normalised"),
    ):
        bad = replace(seen[1], state=state)
        with pytest.raises(ObservationError, match=says):
            XR0Policy.infer_together(policies, [seen[0], bad, seen[2]], [None, committed, None])
    first = XR0Policy.infer_together(policies[1:], seen[1:], [None] * 2)
    second = XR0Policy.infer_together(policies[::-1], seen[::-1], [None] * 3)
    for seed, found in ((0, second[2:]), (1, [first[0], second[1]]), (2, [first[1], second[0]])):
        alone = XR0Policy(checkpoint, spec)
        alone.reset(seed)
        assert_alike(found, [alone.infer(seen[seed], None) for _ in found])


def test_engines_of_a_team_are_built_once(checkpoint, spec, questions, monkeypatch):
    """One for each number of robots, before they ask."""
    policies, built = team(XR0Policy(checkpoint, spec)), []
    policies[0].warm_up()
    monkeypatch.setattr(Engine, "__init__", lambda *_: built.append(1))
    for robots in (1, 2, 3, 2, 1):
        seen, committed = zip(*questions[:robots], strict=True)
        XR0Policy.infer_together(policies[:robots], seen, committed)
    assert not built


class Watched(XR0Policy):
    """Remembers how many robots it planned for at once."""

    sizes: list[int] = []

    @staticmethod
    def infer_together(policies, observations, committed):
        Watched.sizes.append(len(policies))
        return XR0Policy.infer_together(policies, observations, committed)


def one_for_all(first):
    return OneForAll(policy=first, robots=3)


def one_per_robot(first):
    made = iter([first, first.another(), first.another()])
    return OnePerRobot(factory=lambda: next(made), robots=3)


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
@pytest.mark.parametrize("policies", [one_for_all, one_per_robot])
def test_robots_of_one_server_share_inferences_and_nothing_else(
    checkpoint, spec, questions, policies
):
    facts = ServerFacts(
        policy="tiny",
        embodiment=spec.name,
        rate_hz=spec.rate_hz,
        cameras=tuple(camera.name for camera in spec.cameras),
        state=spec.state_names,
        actions=spec.action_space.names,
        max_message_bytes=MAX_MESSAGE_BYTES,
    )
    Watched.sizes.clear()
    found = [[] for _ in questions]
    with PolicyServer(policies(Watched(checkpoint, spec)), facts, spec) as server:
        robots = [RemotePolicy(f"ws://127.0.0.1:{server.port}") for _ in questions]
        for seed, robot in enumerate(robots):
            robot.reset(seed)
        while len(found[0]) < 2 or (max(Watched.sizes) < 2 and len(found[0]) < 20):
            for robot, question in zip(robots, questions, strict=True):
                robot.submit(*question)
            for robot, chunks in zip(robots, found, strict=True):
                chunks.append(robot.result().chunk)
        for robot in robots:
            robot.close()
    assert max(Watched.sizes) >= 2
    for seed, (question, chunks) in enumerate(zip(questions, found, strict=True)):
        alone = XR0Policy(checkpoint, spec)
        alone.reset(seed)
        assert_alike(chunks, [alone.infer(*question) for _ in chunks])
