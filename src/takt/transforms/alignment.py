"""The one alignment rule: which samples make up the observation of a control tick."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from beartype import beartype
from jaxtyping import Float, Float32, jaxtyped

from takt.types import Seconds, TaktError

Rule = Literal["causal", "nearest"]


class NoSampleError(TaktError):
    """A stream has nothing to offer at a tick."""


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, slots=True, kw_only=True)
class Aligned:
    """Samples for one tick: frame index per camera and the interpolated joints (state,)."""

    frames: Mapping[str, int]
    joints: Float32[np.ndarray, " state"]


def align(
    tick: Seconds,
    frame_stamps: Mapping[str, Float[np.ndarray, " frame"]],
    joint_stamps: Float[np.ndarray, " sample"],
    joints: Float[np.ndarray, "sample state"],
    rule: Rule = "causal",
) -> Aligned:
    """Pick the samples for `tick`; every stream is sorted by its capture stamp.

    `causal` (ours): the latest frame not after the tick, joints interpolated at it. `nearest` (the
    paper's, section 2.3): the nearest frame and joint sample, which may lie in the future.

    Raises:
        NoSampleError: a stream is empty; or, unless by `nearest`, begins after the tick.
    """
    pick = _latest if rule == "causal" else _nearest
    frames = {name: pick(name, stamps, tick) for name, stamps in frame_stamps.items()}
    at = pick("joints", joint_stamps, tick)
    if rule == "nearest":
        return Aligned(frames=frames, joints=joints[at].astype(np.float32))
    axes = [np.interp(tick, joint_stamps, axis) for axis in joints.T]
    return Aligned(frames=frames, joints=np.asarray(axes, np.float32))


def _latest(name: str, stamps: np.ndarray, tick: Seconds) -> int:
    # a microsecond of grace: stamps that name the same instant may differ in their last bit
    index = int(np.searchsorted(stamps, tick + 1e-6, side="right")) - 1
    if index < 0:
        raise NoSampleError(
            f"{name}: expected a sample not after {tick:.3f} s, got none; wait for the first one"
        )
    return index


def _nearest(name: str, stamps: np.ndarray, tick: Seconds) -> int:
    if len(stamps) == 0:
        raise NoSampleError(f"{name}: expected samples, got none; wait for the first one")
    return int(np.argmin(np.abs(stamps - tick)))
