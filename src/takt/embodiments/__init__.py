"""Bodies by name: a visible registry of lazy creators; importing it has no effect."""

from collections.abc import Callable

from takt.types import EmbodimentSpec, TaktError


def _nut_station() -> EmbodimentSpec:
    from takt.embodiments.nut_station.spec import SPEC

    return SPEC


EMBODIMENTS: dict[str, Callable[[], EmbodimentSpec]] = {"nut-station": _nut_station}


def embodiment_spec(name: str) -> EmbodimentSpec:
    """The spec of a body by name; an unknown name lists the known ones."""
    if name not in EMBODIMENTS:
        raise TaktError(f"unknown embodiment {name!r}; known: {', '.join(EMBODIMENTS)}")
    return EMBODIMENTS[name]()
