"""Several sources as one, and a part of one as another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from takt.datasets.fit import sound_episode
from takt.datasets.metadata import ACTION, STATE
from takt.datasets.schema import Schema
from takt.datasets.source import EpisodeSource
from takt.types import Episode, TaktError


class LayoutDisagreementError(TaktError):
    """Datasets whose columns differ cannot become one; the message shows them side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """The episodes of all `parts`, one source after the other."""

    parts: tuple[EpisodeSource, ...]

    @property
    def schema(self) -> Schema:
        """That of every part."""
        return self.parts[0].schema

    def __len__(self) -> int:
        """Number of episodes of all parts."""
        return sum(len(part) for part in self.parts)

    def path(self, index: int) -> Path:
        """The file that holds the episode."""
        part, within = self._find(index)
        return part.path(within)

    def episode(self, index: int) -> Episode:
        """Read one episode, as its own source does; errors name its number there."""
        return sound_episode(*self._find(index))

    def _find(self, index: int) -> tuple[EpisodeSource, int]:
        ends = np.cumsum([len(part) for part in self.parts])
        which = int(np.searchsorted(ends, index, side="right"))
        return self.parts[which], index - (int(ends[which - 1]) if which else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The episodes `indices` of a source, in that order."""

    source: EpisodeSource
    indices: tuple[int, ...]

    @property
    def schema(self) -> Schema:
        """The source's."""
        return self.source.schema

    def __len__(self) -> int:
        """Number of chosen episodes."""
        return len(self.indices)

    def path(self, index: int) -> Path:
        """The file that holds the episode."""
        return self.source.path(self.indices[index])

    def episode(self, index: int) -> Episode:
        """Read one episode, as the source does; errors name its number there."""
        return sound_episode(self.source, self.indices[index])


def merged(names: Sequence[str], parts: Sequence[EpisodeSource]) -> Merged:
    """All parts as one source.

    Args:
        names: What to call the parts where they differ.
        parts: At least one.

    Raises:
        LayoutDisagreementError: their bodies, rates, axes, cameras or columns differ.
    """
    facts = [_facts(part.schema) for part in parts]
    rows = [
        (fact, [known.get(fact, "-") for known in facts])
        for fact in dict.fromkeys(fact for known in facts for fact in known)
    ]
    differing = [(fact, values) for fact, values in rows if len(set(values)) > 1]
    if differing:
        table = _table(["", *names], [[fact, *values] for fact, values in differing])
        raise LayoutDisagreementError(
            f"expected datasets with the same columns, got:\n{table}\n"
            "bring them to one layout first, for example with `takt data align` or another --layout"
        )
    return Merged(parts=tuple(parts))


def split_episodes(count: int, share: float, seed: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """`count` episodes in two parts, each in order; at least one in either.

    Args:
        count: Episodes there are.
        share: Of the first part, in (0, 1).
        seed: Of the shuffle; the same seed gives the same parts.
    """
    if not 0 < share < 1 or count < 2:
        raise TaktError(
            f"expected at least two episodes and a share between 0 and 1, got {count} and {share:g}"
        )
    first = min(max(round(count * share), 1), count - 1)
    order = np.random.default_rng(seed).permutation(count)
    return tuple(sorted(order[:first].tolist())), tuple(sorted(order[first:].tolist()))


def _facts(schema: Schema) -> dict[str, str]:
    """What must agree, one line each; the axes line by line, as slots are given to them."""
    spec = schema.spec
    facts = {"body": spec.name, "rate": f"{spec.rate_hz:g} Hz"}
    for column in (ACTION, STATE):
        facts |= {f"{column}[{slot}]": axis for slot, axis in enumerate(schema.axes[column])}
    facts |= {f"camera {c.name}": f"{c.height}x{c.width}" for c in spec.cameras}
    if schema.touch:
        facts["touch"] = str(schema.touch)
    return facts | {f"column {name}": str(width) for name, width in schema.extras.items()}


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )
