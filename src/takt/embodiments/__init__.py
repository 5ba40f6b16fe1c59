"""Bodies by name or by file: a visible registry of lazy creators; importing it has no effect."""

from collections.abc import Callable
from pathlib import Path

from takt.embodiments.slot_map import SUFFIXES, load_embodiment
from takt.types import EmbodimentSpec, TaktError

__all__ = ["EMBODIMENTS", "embodiment_spec", "load_embodiment"]


def _nut_station() -> EmbodimentSpec:
    from takt.embodiments.nut_station.spec import SPEC

    return SPEC


def _blocks() -> EmbodimentSpec:
    from takt.embodiments.blocks import SPEC

    return SPEC


EMBODIMENTS: dict[str, Callable[[], EmbodimentSpec]] = {
    "nut-station": _nut_station,
    "blocks": _blocks,
}


def embodiment_spec(name: str) -> EmbodimentSpec:
    """The spec of a body by name, or by the path of the file that describes it.

    Raises:
        TaktError: The name is unknown (the known ones are listed), or the file describes no body.
    """
    if Path(name).suffix in SUFFIXES:
        return load_embodiment(Path(name))
    if name not in EMBODIMENTS:
        raise TaktError(
            f"unknown embodiment {name!r}; known: {', '.join(EMBODIMENTS)}, "
            f"or the path of a file ({', '.join(SUFFIXES)}) that describes one"
        )
    return EMBODIMENTS[name]()
