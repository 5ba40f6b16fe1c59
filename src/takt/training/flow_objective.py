"""What a flow stage minimises: the paper's post-training, the released trainer's, and baselines.

Options are named after their source where the two differ (paper section 2.3; released trainer).
The longest prefix is not here but in the forward contract (`max_prefix`), which weights carry.
"""

from dataclasses import dataclass, replace
from typing import Literal

from takt.policies.xr0.config import CONTRACTS, Contract
from takt.types import TaktError

Each = Literal["batch", "sample"]
"""Whether one draw serves a batch, as in the released trainer, or every sample has its own."""


def _require_probability(what: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise TaktError(f"{what}: expected a probability in 0..1, got {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BetaTime:
    """Flow time 0.999 * (1 - u), u ~ Beta(alpha, 1): noisy times more often (paper, released)."""

    alpha: float = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class LogitNormalTime:
    """Flow time 0.999 * sigmoid(x), x ~ N(mean, std)."""

    mean: float = 0.0
    std: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UniformTime:
    """Flow time uniform in [0, 0.999)."""


Time = BetaTime | LogitNormalTime | UniformTime


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperPrefix:
    """Length uniform in {0, ..., max_prefix}; the paper does not say how often it is drawn."""

    each: Each = "sample"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedPrefix:
    """With `probability` a length uniform in 1..max_prefix, else 0."""

    probability: float = 0.5
    each: Each = "batch"

    def __post_init__(self) -> None:
        """A probability."""
        _require_probability("prefix", self.probability)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedHiding:
    """Each prefix token but the last `keep` is hidden from the noisy actions with `probability`.

    The paper has no such thing.
    """

    probability: float = 0.5
    keep: int = 2
    each: Each = "batch"

    def __post_init__(self) -> None:
        """A probability."""
        _require_probability("hiding", self.probability)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineError:
    """Squared errors of prefixed samples are weighted by how wrong the policy is now.

    weight = |rollout - actions| over its mean, clamped to low..high, where the rollout integrates
    the flow from the same noise without gradient. The paper names the error, the released trainer
    the rest.
    """

    low: float = 0.5
    high: float = 5.0

    def __post_init__(self) -> None:
        """An interval."""
        if not 0 <= self.low <= self.high:
            raise TaktError(f"expected 0 <= low <= high weight, got {self.low} and {self.high}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrequencyLoss:
    """`coefficient` times the mean |rfft over time| of the velocity's error (released; no paper).

    `columns`: "all" is as released, where dimensions that the body lacks and padded steps count
    too; "active" counts what the squared error counts.
    """

    coefficient: float = 1.0
    columns: Literal["all", "active"] = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowObjective:
    """mse_factor * masked flow-matching error, + frequency loss; the default is the station's.

    Attributes:
        time: Law of the flow time, one draw per sample.
        prefix: Law of the number of clean actions in front; None trains synchronous execution.
        hiding: Which of them the noisy actions may not see.
        weight: Of the squared errors; None weighs all alike.
        frequency: Further term; None for the squared error alone.
        mse_factor: 0.5 in the released trainer.
    """

    time: Time = BetaTime()
    prefix: PaperPrefix | ReleasedPrefix | None = ReleasedPrefix(each="sample")
    hiding: ReleasedHiding | None = None
    weight: OnlineError | None = None
    frequency: FrequencyLoss | None = None
    mse_factor: float = 1.0


def trained_contract(contract: Contract, objective: FlowObjective) -> Contract:
    """What weights of `contract` are stored under after `objective`, so that nobody misuses them.

    Without prefixes they allow none. With them they allow what the contract of that name does, also
    where they began as weights that had seen none.
    """
    if objective.prefix is None:
        return replace(contract, max_prefix=0)
    named = CONTRACTS.get(contract.name, contract)
    return replace(contract, max_prefix=contract.max_prefix or named.max_prefix)


SYNCHRONOUS = FlowObjective(prefix=None)
PAPER = FlowObjective(prefix=PaperPrefix(), weight=OnlineError())
RELEASED = FlowObjective(
    prefix=ReleasedPrefix(),
    hiding=ReleasedHiding(),
    weight=OnlineError(),
    frequency=FrequencyLoss(),
    mse_factor=0.5,
)
TRAINING_TIME_RTC = FlowObjective(prefix=PaperPrefix())
"""With the contract of that name, whose clean actions stand at flow time 1."""

ObjectiveName = Literal["prefixed", "synchronous", "paper", "released"]
OBJECTIVES: dict[ObjectiveName, FlowObjective] = {
    "prefixed": FlowObjective(),
    "synchronous": SYNCHRONOUS,
    "paper": PAPER,
    "released": RELEASED,
}
"""By the name that a command line gives; `prefixed` is the station's."""
