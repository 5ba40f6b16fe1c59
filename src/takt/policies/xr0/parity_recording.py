"""The `fixture` block of a recorded case's `config.json`: how the case was run."""

from dataclasses import dataclass, replace

from takt.policies.xr0.config import CONTRACTS, Contract
from takt.policies.xr0.json_fields import Json, block, value
from takt.types import TaktError


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What the block says; None where it says nothing.

    Attributes:
        contract: The named one, with the recording's own window and offset.
        steps: Flow steps.
        seed: Of the noise.
    """

    contract: Contract | None
    steps: int | None
    seed: int | None

    @classmethod
    def of(cls, config: Json) -> "Recording":
        """Of a parsed `config.json`.

        Raises:
            TaktError: A value has another type or is out of range, or the contract is unknown.
        """
        fixture = block(config, "fixture", optional=True)
        trainer = block(fixture, "xr0", "fixture", optional=True)
        found = [
            value(f"{where}.num_steps", held["num_steps"], int, 1)
            for where, held in (("fixture", fixture), ("fixture.xr0", trainer))
            if "num_steps" in held
        ]
        seed = value("fixture.seed", fixture.get("seed"), int | None, 0)
        return cls(contract=_contract(fixture, trainer), steps=next(iter(found), None), seed=seed)


def _contract(fixture: Json, trainer: Json) -> Contract | None:
    if "contract" not in fixture:
        return None
    name = fixture["contract"]
    if not isinstance(name, str) or name not in CONTRACTS:
        raise TaktError(
            f"config.json: fixture.contract: unknown contract {name!r}; "
            f"known: {', '.join(CONTRACTS)}"
        )
    contract = CONTRACTS[name]
    offset = fixture.get("action_position_offset", contract.rope_offset)
    window = trainer.get("local_window", contract.local_window)
    found = replace(
        contract,
        rope_offset=value("fixture.action_position_offset", offset, int, 0),
        local_window=value("fixture.xr0.local_window", window, int | None, 0),
    )
    if found == contract:
        return contract
    window = "none" if found.local_window is None else found.local_window
    return replace(found, name=f"{name} with offset {found.rope_offset}, window {window}")
