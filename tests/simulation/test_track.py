import numpy as np
import pytest

from takt.seeds import SeedError
from takt.simulation.track.body import TrackBody
from takt.simulation.track.demonstrations import demonstrate
from takt.simulation.track.pointer import OBSTACLE_RAD, judge, step, told_for
from takt.simulation.track.scenario import draw

VALIDATION = 10**5


def test_an_episode_depends_on_its_own_seed_alone():
    together, alone = draw([3, 4]), draw([4])
    for name in ("target", "target_rate", "reversed", "push", "start"):
        np.testing.assert_array_equal(getattr(together, name)[1], getattr(alone, name)[0])


def test_the_servo_reaches_the_rate_that_it_was_told_for():
    place, rate, wanted = np.random.default_rng(0).normal(size=(3, 5, 2))
    _, reached = step(place, rate, told_for(place, rate, wanted))
    np.testing.assert_allclose(reached, wanted, atol=1e-9)


def test_the_expert_passes_on_both_sides_and_nearly_always_succeeds():
    played = demonstrate(range(VALIDATION, VALIDATION + 40), "validation", slips=False)
    verdicts = [judge(states[:, :2], states[:, 4:6]) for states in played.states]
    assert sum(verdict.success for verdict in verdicts) >= 38
    passing = played.states[np.abs(played.states[..., 0]) < 0.05]
    over = (passing[:, 1] > OBSTACLE_RAD).mean()
    assert 0.3 < over < 0.7


def test_seeds_of_training_and_evaluation_never_meet():
    with pytest.raises(SeedError):
        demonstrate(range(10**6, 10**6 + 2), "training")


def test_who_stands_still_fails_and_who_touches_fails():
    target = draw([VALIDATION]).target[0]
    still = judge(np.full_like(target, 0.9), target)
    assert not still.success
    assert not still.collided
    assert judge(np.where(np.arange(len(target))[:, None] == 150, 0, target), target).collided


def test_who_never_goes_round_the_obstacle_fails():
    scene = draw(range(VALIDATION, VALIDATION + 100))
    side = np.sign(scene.start[:, :1])
    waiting = scene.target.copy()  # on the target wherever it is on the first side
    waiting[..., 0] = side * np.maximum(side * waiting[..., 0], 0.25)
    verdicts = [judge(*pair) for pair in zip(waiting, scene.target, strict=True)]
    assert not any(verdict.collided for verdict in verdicts)
    assert sum(verdict.success for verdict in verdicts) <= 5  # the target itself rarely stays


def test_a_perturbation_is_seen_on_its_first_frame():
    body = next(b for b in map(TrackBody, range(20)) if len(b.reversals))
    rates = []
    while not body.finished:
        rates.append(body.observe().state[6])
        body.act(body.observe().state[:2])
    tick = body.reversals[0]
    assert np.sign(rates[tick]) == -np.sign(rates[tick - 1])
    assert len(body.places) == len(body.target)
