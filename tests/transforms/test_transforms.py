import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from takt.embodiments import embodiment_spec
from takt.transforms.actions import ActionTransform, fit_action_statistics
from takt.transforms.normalise import Normalise
from takt.transforms.slots import Slots
from takt.transforms.states import StateTransform, fit_state_statistics
from takt.types import TaktError

SPEC = embodiment_spec("nut-station")
AXES, WIDTH, HORIZON = len(SPEC.slots), 32, 6
FINITE = st.floats(-3, 3, width=32)
ALL = np.ones((50, HORIZON), bool)


def chunks(steps):
    return hnp.arrays(np.float32, (steps, AXES), elements=FINITE)


def fitted():
    rng = np.random.default_rng(0)
    state = rng.normal(0, 1, (50, AXES)).astype(np.float32)
    actions = state[:, None] + rng.normal(0.1, 0.2, (50, HORIZON, AXES)).astype(np.float32)
    return actions, state, fit_action_statistics([(actions, state, ALL)], SPEC, WIDTH, 1e-6)


TRANSFORM = ActionTransform.of(SPEC, fitted()[2])


@given(
    actions=st.integers(1, HORIZON).flatmap(chunks),
    state=hnp.arrays(np.float32, (AXES,), elements=FINITE),
)
def test_inverse_undoes_forward(actions, state):
    chunk = TRANSFORM.forward(actions, state)
    assert chunk.shape == (len(actions), WIDTH)
    np.testing.assert_allclose(TRANSFORM.inverse(chunk, state), actions, atol=1e-5)


@given(actions=chunks(HORIZON), state=hnp.arrays(np.float32, (AXES,), elements=FINITE))
def test_batch_is_row_by_row(actions, state):
    batch = TRANSFORM.forward(np.stack([actions, actions + 1]), np.stack([state, state - 1]))
    np.testing.assert_array_equal(batch[0], TRANSFORM.forward(actions, state))
    np.testing.assert_array_equal(batch[1], TRANSFORM.forward(actions + 1, state - 1))


def test_demonstrations_come_out_standard():
    actions, state, statistics = fitted()
    chunk = ActionTransform.of(SPEC, statistics).forward(actions, state)
    used = list(SPEC.slots)
    np.testing.assert_allclose(chunk[..., used].mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(chunk[..., used].std(0), 1, atol=1e-3)
    unused = np.setdiff1d(np.arange(WIDTH), used)
    assert not chunk[..., unused].any()
    assert statistics.mask.sum() == HORIZON * AXES


def test_relative_axes_follow_the_state_and_others_do_not():
    chunk = np.zeros((HORIZON, WIDTH), np.float32)
    state = np.zeros(AXES, np.float32)
    moved = TRANSFORM.inverse(chunk, state + 1) - TRANSFORM.inverse(chunk, state)
    np.testing.assert_allclose(moved, np.broadcast_to(SPEC.relative, moved.shape), atol=1e-6)


def test_a_prefix_is_anchored_to_the_new_chunk():
    """One absolute action has another normalised value in the next chunk, and comes back equal."""
    action, old, new = (np.full(AXES, value, np.float32) for value in (0.5, 0.0, 0.4))
    before, after = (TRANSFORM.forward(action[None], state) for state in (old, new))
    assert np.abs(before - after).max() > 0.1
    np.testing.assert_allclose(TRANSFORM.inverse(after, new)[0], action, atol=1e-6)


def test_unused_columns_decode_to_their_mean():
    mean, std = np.full((1, 2), 5, np.float32), np.array([[1, 0]], np.float32)
    statistics = Normalise(mean, std)
    assert statistics.mask.tolist() == [[1, 0]]
    assert statistics.forward(np.array([[6, 9]], np.float32)).tolist() == [[1, 0]]
    assert statistics.inverse(np.array([[1, 77]], np.float32)).tolist() == [[6, 5]]
    tiny = Normalise(mean, np.full((1, 2), 1e-5, np.float32))  # the released formula, unused or not
    np.testing.assert_allclose(tiny.inverse(np.full((1, 2), 60, np.float32)), 5.0006, atol=1e-6)


def test_bad_statistics_and_slots_are_named():
    with pytest.raises(TaktError, match="finite"):
        Normalise(np.full((1, 2), np.nan, np.float32), np.ones((1, 2), np.float32))
    with pytest.raises(TaktError, match="std: expected deviations from 0 on, got -1"):
        Normalise(np.zeros((1, 2), np.float32), np.full((1, 2), -1, np.float32))
    with pytest.raises(TaktError, match="cover 6 chunk steps, got 7"):
        TRANSFORM.forward(np.zeros((7, AXES), np.float32), np.zeros(AXES, np.float32))
    for columns in ((0, 0), (0, 32), (-1,)):
        with pytest.raises(TaktError, match="distinct"):
            Slots(columns, WIDTH)


@pytest.mark.parametrize("normalised", [False, True])
def test_state_round_trip(normalised):
    _, state, _ = fitted()
    slots = Slots(SPEC.slots, WIDTH)
    transform = StateTransform(slots, fit_state_statistics([state], slots) if normalised else None)
    wide = transform.forward(state)
    assert wide.shape == (50, WIDTH)
    np.testing.assert_allclose(transform.inverse(wide), state, atol=1e-5)
    spread = wide[:, SPEC.slots[0]].std()
    assert bool(abs(spread - 1) < 1e-3) == normalised


def test_padded_steps_do_not_count_in_the_statistics():
    rng = np.random.default_rng(0)
    actions, state = rng.normal(size=(50, 3, len(SPEC.slots))), np.zeros((50, len(SPEC.slots)))
    valid = np.ones((50, 3), bool)
    valid[20:, 2] = False
    padded = np.where(valid[..., None], actions, 1e3)
    fitted = fit_action_statistics([(padded, state, valid)], SPEC, WIDTH, 0.0)
    first = actions[:20], state[:20], valid[:20]
    short = fit_action_statistics([first], SPEC, WIDTH, 0.0)
    np.testing.assert_allclose(fitted.mean[2], short.mean[2], rtol=1e-5)
    np.testing.assert_allclose(fitted.std[2], short.std[2], rtol=1e-5)
