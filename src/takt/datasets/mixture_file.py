"""What a policy is pre-trained on: robot datasets with their bodies, and conversations.

    [[robots]]
    data = "datasets/desk"           # LeRobot v2.1 or v3.0; others: `takt data convert`
    body = "desk_arm.toml"           # a body's file, or the name of one that takt knows
    weight = 2.0                     # optional, for all or none: shares of the batches; without,
                                     # every frame is drawn equally often
    [[conversations]]
    data = "datasets/grounding.parquet"

Paths are relative to the file.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from takt.embodiments import EMBODIMENTS
from takt.types import TaktError


class MixtureFileError(TaktError):
    """A mixture's file that cannot be read, or describes no mixture; says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RobotData:
    """A dataset, its body by name or file, and its share of the batches."""

    data: Path
    body: str
    weight: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureFile:
    """Everything that is drawn from."""

    robots: tuple[RobotData, ...]
    conversations: tuple[Path, ...]

    @classmethod
    def read(cls, path: Path) -> "MixtureFile":
        """Read the file at `path`.

        Raises:
            MixtureFileError: it is missing or broken, or a key in it is.
        """
        if not path.exists():
            raise MixtureFileError(f"{path}: there is no such file; see --mixture")
        try:
            content = tomllib.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise MixtureFileError(f"{path} is no readable TOML file: {error}") from error
        _require_keys(content, {"robots": list, "conversations": list}, f"{path}")
        robots = tuple(
            _robot(row, path.parent, f"{path}: robots {number}")
            for number, row in enumerate(content.get("robots", []), 1)
        )
        if not robots:
            raise MixtureFileError(f"{path}: expected at least one [[robots]], got none")
        weighted = sum(robot.weight is not None for robot in robots)
        if weighted not in (0, len(robots)):
            raise MixtureFileError(
                f"{path}: expected a weight of every robot dataset or of none, got {weighted} of "
                f"{len(robots)}"
            )
        conversations = tuple(
            path.parent / _checked(row, {"data": str}, f"{path}: conversations {number}")["data"]
            for number, row in enumerate(content.get("conversations", []), 1)
        )
        return cls(robots=robots, conversations=conversations)


def _robot(row: object, folder: Path, where: str) -> RobotData:
    table = _checked(row, {"data": str, "body": str}, where, {"weight": (int, float)})
    weight = table.get("weight")
    if weight is not None and not 0 < weight < math.inf:
        raise MixtureFileError(f"{where}: expected a weight of more than 0, got {weight}")
    body = table["body"] if table["body"] in EMBODIMENTS else str(folder / table["body"])
    return RobotData(data=folder / table["data"], body=body, weight=weight)


def _checked(
    row: object,
    required: Mapping[str, Any],
    where: str,
    optional: Mapping[str, Any] | None = None,
) -> Mapping[str, Any]:
    """The table, which has all of `required`, perhaps `optional`, and nothing else."""
    if not isinstance(row, dict):
        raise MixtureFileError(f"{where}: expected a table of keys, got {row!r}")
    if missing := sorted(required.keys() - row.keys()):
        raise MixtureFileError(f"{where}: expected {', '.join(required)}, got no {missing[0]}")
    _require_keys(row, {**required, **(optional or {})}, where)
    return row


def _require_keys(row: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    for key, value in row.items():
        if key not in known:
            raise MixtureFileError(f"{where}: expected {', '.join(known)}, got {key!r}")
        if not isinstance(value, known[key]) or isinstance(value, bool):
            raise MixtureFileError(f"{where}: {key}: got {value!r}, which is of another kind")
