"""Bodies by name or by file: a visible registry of lazy creators; importing it has no effect."""

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from takt.embodiments.reference import is_reference, load_reference
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
    """The spec of a body by name, by its describing file, or by where it stands in Python.

    Raises:
        TaktError: The name is unknown (the known ones are listed), or what it names is no body.
    """
    if Path(name).suffix in SUFFIXES:
        return load_embodiment(Path(name))
    if is_reference(name):
        return _spec_of(name)
    if name not in EMBODIMENTS:
        near = get_close_matches(Path(name).name, EMBODIMENTS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise TaktError(
            f"unknown embodiment {name!r}; {hint}known: {', '.join(EMBODIMENTS)}, the path of a "
            f"file ({', '.join(SUFFIXES)}) that describes one, or MODULE:NAME of one in Python"
        )
    return EMBODIMENTS[name]()


def _spec_of(reference: str) -> EmbodimentSpec:
    """A spec, or that of a driver; only a driver without one of its own is made for it."""
    found = load_reference(reference)
    spec = found if isinstance(found, EmbodimentSpec) else getattr(found, "spec", None)
    if not isinstance(spec, EmbodimentSpec) and callable(found):
        spec = getattr(found(), "spec", None)
    if not isinstance(spec, EmbodimentSpec):
        raise TaktError(f"expected a spec or a body with one at {reference}, got {found!r}")
    return spec
