"""Which policy column means what on several bodies, and whether they can share a policy."""

from collections.abc import Sequence

from takt.types import EmbodimentSpec, TaktError


class LayoutMismatchError(TaktError):
    """Bodies that use one policy column for different things."""


def slot_table(specs: Sequence[EmbodimentSpec]) -> str:
    """A line for each column in use: the axis that each body has there, with unit and reference."""
    axes = [_axes(spec) for spec in specs]
    columns = sorted({slot for each in axes for slot in each})
    rows = [["column", *(spec.name for spec in specs)]]
    rows += [[str(slot), *(_text(each.get(slot)) for each in axes)] for slot in columns]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    wrong = _disagreements(specs)
    marks = ["", *("  <- disagree" if slot in wrong else "" for slot in columns)]
    return "\n".join(line + mark for line, mark in zip(lines, marks, strict=True))


def require_one_layout(specs: Sequence[EmbodimentSpec]) -> None:
    """Raise unless every column has one unit and one reference on all bodies that use it.

    Names may differ: a column's meaning is the policy's, its axis' name the robot's.

    Raises:
        LayoutMismatchError: some do not, or one name stands for different bodies; shows the table.
    """
    known: dict[str, EmbodimentSpec] = {}
    for spec in specs:
        other = known.setdefault(spec.name, spec)
        if _whole(other) != _whole(spec):
            raise LayoutMismatchError(
                f"expected one body of the name {spec.name!r}, got two with other axes, states, "
                f"cameras or rates; give each a name of its own\n{slot_table([other, spec])}"
            )
    if wrong := _disagreements(specs):
        raise LayoutMismatchError(
            f"expected bodies that agree on what each column means, got other units or references "
            f"in column {', '.join(map(str, sorted(wrong)))}; move the axes of one of them to "
            f"columns of their own in its file\n{slot_table(specs)}"
        )


def _axes(spec: EmbodimentSpec) -> dict[int, tuple[str, str, bool]]:
    """(name, unit, relative) by column."""
    space = spec.action_space
    rows = zip(space.names, space.units, spec.relative, strict=True)
    return dict(zip(spec.slots, rows, strict=True))


def _whole(spec: EmbodimentSpec) -> tuple[object, ...]:
    """What statistics and prompts of a body depend on."""
    return _axes(spec), spec.state_names, spec.state_slots, spec.cameras, spec.rate_hz


def _disagreements(specs: Sequence[EmbodimentSpec]) -> set[int]:
    meanings: dict[int, set[tuple[str, bool]]] = {}
    for spec in specs:
        for slot, (_, unit, relative) in _axes(spec).items():
            meanings.setdefault(slot, set()).add((unit, relative))
    return {slot for slot, found in meanings.items() if len(found) > 1}


def _text(axis: tuple[str, str, bool] | None) -> str:
    if axis is None:
        return "-"
    name, unit, relative = axis
    return f"{name} ({unit}{', relative' if relative else ''})"
