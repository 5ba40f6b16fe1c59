"""The nouns that every room shares: one sample, NumPy only, no batch axis.

Time is in seconds on one monotonic control clock. `height`, `width` are pixels, `state` and
`action` are an embodiment's own axes in the order of its `ActionSpace`, `horizon` counts ticks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from beartype import beartype
from jaxtyping import Float, Float32, jaxtyped

Seconds = float


class TaktError(Exception):
    """An error that a user can mend; the message says what was expected, what came, what to do."""


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a body sensed at one control tick.

    `images[name]` is (height, width, 3) uint8 RGB, captured at `image_stamps[name]` <= `stamp`.
    """

    stamp: Seconds
    images: Mapping[str, np.ndarray]
    image_stamps: Mapping[str, Seconds]
    state: Float32[np.ndarray, " state"]
    instruction: str
    touch: Float32[np.ndarray, " touch"] | None = None

    def __post_init__(self) -> None:
        """Check every image: beartype samples a mapping, so a bad second camera would pass."""
        for name, image in self.images.items():
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise TaktError(
                    f"image {name!r}: expected (height, width, 3) uint8, "
                    f"got {image.shape} {image.dtype}; convert it to 8-bit RGB first"
                )
        if set(self.images) != set(self.image_stamps):
            raise TaktError(
                f"image_stamps must name the cameras {sorted(self.images)}, "
                f"got {sorted(self.image_stamps)}"
            )


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSpace:
    """Ordered action dimensions of a body: absolute targets with units and bounds.

    Some simulators' axes command a change instead: where `delta` is true, 0 stands still, and takt
    holds with 0. `initial` is what is executed before the first plan, for a body whose state does
    not tell; without it, where the body stands.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    low: Float32[np.ndarray, " action"]
    high: Float32[np.ndarray, " action"]
    delta: tuple[bool, ...] = ()
    initial: Float32[np.ndarray, " action"] | None = None

    def __post_init__(self) -> None:
        """Every axis has a name, a unit and both bounds."""
        if self.delta and len(self.delta) != len(self.names):
            raise TaktError(
                f"action space: {len(self.names)} names and {len(self.delta)} delta flags must "
                "agree"
            )
        if not len(self.names) == len(self.units) == len(self.low) == len(self.high):
            raise TaktError(
                f"action space: {len(self.names)} names, {len(self.units)} units, "
                f"{len(self.low)} lower and {len(self.high)} upper bounds must agree"
            )

    def held(self, last: np.ndarray) -> np.ndarray:
        """(action,) that stands still after `last` (action,)."""
        return np.where(self.delta, np.float32(0), last) if self.delta else last


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, slots=True, kw_only=True)
class ActionChunk:
    """A plan: `actions[i]` is due at `stamp + i * dt`, in the body's own absolute units."""

    stamp: Seconds
    dt: Seconds
    actions: Float[np.ndarray, "horizon action"]

    def index_at(self, now: Seconds) -> int:
        """Index of the action due at `now`; outside [0, horizon) nothing is due."""
        return int(np.floor((now - self.stamp) / self.dt + 1e-6))


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One aligned attempt; stamps count from its start.

    `images[camera]` is (tick, height, width, 3) uint8. `extras` holds further float32 per-tick
    columns (tick, n) by name, such as simulator annotations. `instructions` has every tick's own
    where they differ, else ().
    """

    embodiment: str
    instruction: str
    rate_hz: float
    stamps: Float[np.ndarray, " tick"]
    images: Mapping[str, np.ndarray]
    image_stamps: Mapping[str, np.ndarray]
    state: Float32[np.ndarray, "tick state"]
    actions: Float32[np.ndarray, "tick action"]
    touch: Float32[np.ndarray, "tick touch"] | None = None
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)
    instructions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Every stream has one row per tick."""
        ticks = len(self.stamps)
        streams = {
            **self.images,
            **self.image_stamps,
            **self.extras,
            "state": self.state,
            "actions": self.actions,
            **({"instructions": self.instructions} if self.instructions else {}),
        }
        for name, rows in streams.items():
            if len(rows) != ticks:
                raise TaktError(f"episode stream {name!r}: expected {ticks} rows, got {len(rows)}")


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and what is to be answered."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Images, each (height, width, 3) uint8 RGB, and what is asked about them, turn by turn."""

    images: tuple[np.ndarray, ...]
    turns: tuple[Turn, ...]


class Policy(Protocol):
    """Anything that turns an observation into a plan."""

    def reset(self, seed: int) -> None:
        """Forget the last episode; `seed` fixes every later random draw."""

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        """Plan from `observation.stamp`; from there on `committed` is executed whatever comes."""
        ...


class Embodiment(Protocol):
    """A body, real, simulated or fake."""

    @property
    def spec(self) -> "EmbodimentSpec":
        """Its fixed facts."""
        ...

    def observe(self) -> Observation:
        """Sense now; never moves the body."""
        ...

    def act(self, action: Float32[np.ndarray, " action"]) -> None:
        """Track `action` (absolute targets) for one control tick."""

    def stop(self) -> None:
        """Hold still, safely. Idempotent; every failure path ends here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSpec:
    """One camera as the policy sees it. `view` is its title in the released prompt ("Ego View")."""

    name: str
    view: str
    height: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A body's left-right symmetry: doubles its data.

    Mirrored axis k is `signs[k]` times axis `axes[k]`; mirrored camera i is camera `cameras[i]`,
    flipped left to right.
    """

    axes: tuple[int, ...]
    signs: tuple[float, ...]
    cameras: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSpace:
    """Measured axes of a body that is commanded on others; `slots[k]` is axis k's policy column."""

    names: tuple[str, ...]
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbodimentSpec:
    """Fixed facts of a body.

    `slots[k]` is the column of the policy's 32-wide action and state vectors that holds body axis k
    (bimanual layout: reference xr0-model.md section 5). `relative[k]` says whether the policy
    predicts axis k relative to the measured state at the chunk's stamp. Without a `state_space`
    the state is measured on the action axes.
    """

    name: str
    rate_hz: float
    cameras: tuple[CameraSpec, ...]
    action_space: ActionSpace
    slots: tuple[int, ...]
    relative: tuple[bool, ...]
    instruction: str
    mirror: Mirror | None = None
    state_space: StateSpace | None = None

    def __post_init__(self) -> None:
        """Every axis has its own slot, and only an axis that is measured can be relative."""
        axes = len(self.action_space.names)
        if not axes == len(self.slots) == len(self.relative):
            raise TaktError(
                f"{self.name}: {axes} axes, {len(self.slots)} slots and {len(self.relative)} "
                "relative flags must agree"
            )
        if any(self.relative) and self.state_space is not None:
            raise TaktError(
                f"{self.name}: relative axes need a state on the same axes; "
                "set them to absolute or leave the state space out"
            )

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the measured axes."""
        return self.state_space.names if self.state_space else self.action_space.names

    @property
    def state_slots(self) -> tuple[int, ...]:
        """Policy columns of the measured axes."""
        return self.state_space.slots if self.state_space else self.slots

    @property
    def dt(self) -> Seconds:
        """Length of one control tick."""
        return 1.0 / self.rate_hz
