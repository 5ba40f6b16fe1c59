"""Bodies that `takt run` can drive: simulated ones by name, any other by its driver."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from takt.commands.run_own_body import OwnBody
from takt.embodiments import EMBODIMENTS
from takt.embodiments.body_file import (
    DRIVER_PARTS,
    as_driver,
    load_driver,
    load_limits,
    missing_parts,
    require_spec,
)
from takt.embodiments.driver import Driver
from takt.embodiments.limits import UNLIMITED, Limits
from takt.embodiments.reference import is_reference
from takt.embodiments.slot_map import SUFFIXES
from takt.embodiments.user_code import make
from takt.extras import require_extra
from takt.types import Embodiment, EmbodimentSpec, TaktError

EMBODIMENT_PARTS = ("spec", "observe", "act", "stop")


@dataclass(frozen=True, slots=True)
class Simulated:
    """A body without a clock of its own; `reset` and `finished` where it has episodes."""

    body: Embodiment

    @property
    def spec(self) -> EmbodimentSpec:
        """Its fixed facts."""
        return self.body.spec

    @property
    def limits(self) -> Limits:
        """Its own, if it has any."""
        return getattr(self.body, "limits", UNLIMITED)

    def reset(self, seed: int) -> None:
        """Begin an episode."""
        getattr(self.body, "reset", lambda seed: None)(seed)

    def finished(self) -> bool:
        """Whether the body says that the episode is over."""
        return bool(getattr(self.body, "finished", False))


@dataclass(frozen=True, slots=True)
class Driven:
    """A real body behind its driver, or a fake one that behaves like it."""

    driver: Driver
    limits: Limits

    @property
    def spec(self) -> EmbodimentSpec:
        """Its fixed facts."""
        return self.driver.spec


Body = Simulated | Driven


def _nut_station() -> Embodiment:
    require_extra("sim", "takt run --body nut-station")
    from takt.simulation.nut_station.station import NutStation

    return NutStation()


SIMULATIONS: dict[str, Callable[[], Embodiment]] = {"nut-station": _nut_station}


def body_named(name: str) -> Body:
    """A simulation by name, a described body by its file, any other by where it stands.

    Raises:
        TaktError: there is none, or it is neither driver nor embodiment.
    """
    if name in SIMULATIONS:
        return Simulated(SIMULATIONS[name]())
    if Path(name).suffix in SUFFIXES:
        driver = load_driver(Path(name))
        return Driven(driver, load_limits(Path(name), driver.spec))
    if not is_reference(name):
        known = f"{name!r} has no simulation here; " if name in EMBODIMENTS else ""
        raise TaktError(
            f"--body: {known}expected {', '.join(SIMULATIONS)}, a file ({', '.join(SUFFIXES)}) "
            f"with a [driver], MODULE:NAME or FILE.py:NAME, got {name!r}"
        )
    made = make(name)
    if not missing_parts(made, EMBODIMENT_PARTS, name):
        spec, limits = require_spec(made, f"--body {name}"), _limits(made, name)
        return Simulated(OwnBody(name, made, spec, limits))
    if {"connect", "read", "command"} <= {*missing_parts(made, DRIVER_PARTS, name)}:
        raise TaktError(
            f"--body {name}: expected a driver (takt.embodiments.driver.Driver) or an embodiment "
            f"(takt.types.Embodiment), got {type(made).__name__}; name a class, or a function that "
            "returns one"
        )
    driver = as_driver(made, f"--body {name}")
    return Driven(driver, _limits(driver, name))


def _limits(made: object, name: str) -> Limits:
    """Its own, if it has any."""
    limits = getattr(made, "limits", UNLIMITED)
    if not isinstance(limits, Limits):
        raise TaktError(
            f"--body {name}: expected its limits to be takt.embodiments.limits.Limits, got "
            f"{type(limits).__name__}; make them of it, or leave them out"
        )
    return limits
