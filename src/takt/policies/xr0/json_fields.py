"""Values of a parsed `config.json`: each of its type and range, or refused by name."""

import math
from dataclasses import MISSING, fields
from typing import Any, get_args, get_origin, get_type_hints

from beartype import BeartypeConf
from beartype.door import is_bearable

from takt.types import TaktError

Json = dict[str, Any]

_CONF = BeartypeConf(is_pep484_tower=True)  # a JSON 5 is a float, too
_LARGEST = 2**64 - 1  # of a seed; no other number comes near it
_LEAST = {"rope_theta": 1.0, "initializer_range": 1e-9} | dict.fromkeys(
    (
        *("mrope_section", "deepstack_visual_indexes", "rms_norm_eps"),
        *("position_init_std", "token_init_std", "image", "video", "vision_start", "vision_end"),
        *("local_window", "rope_offset", "decode_eps", "max_prefix"),
    ),
    0.0,
)


def block(data: Json, key: str, where: str = "", *, optional: bool = False) -> Json:
    """The object under `key`; an absent optional one is empty.

    Args:
        data: What holds it.
        key: Its name there.
        where: Path of `data` in the file.
        optional: Whether it may be absent; null is no object.

    Raises:
        TaktError: It is absent or no object.
    """
    name = f"{where}.{key}" if where else key
    if key not in data and not optional:
        raise TaktError(f"config.json is not an XR-0 config: expected an object {name}, got none")
    found = data.get(key, {})
    if not isinstance(found, dict):
        raise TaktError(
            f"config.json: {name}: expected an object, got {found!r:.80}; "
            "use the file that came with the weights"
        )
    return found


def value(name: str, found: Any, hint: Any, least: float = -math.inf) -> Any:  # noqa: ANN401
    """`found` with lists as tuples, and a whole number as a float where one is expected.

    Args:
        name: Its path in the file.
        found: As parsed.
        hint: Its type, as in an annotation.
        least: Smallest number that is allowed; NaN and infinity never are.

    Raises:
        TaktError: It has another type or is too small.
    """
    frozen: Any = tuple(found) if isinstance(found, list) else found
    if _fits(frozen, hint, least):
        return float(frozen) if hint is float else frozen
    kind = hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
    limit = "" if least == -math.inf else f" of at least {least:g}"
    raise TaktError(
        f"config.json: {name}: expected {kind.removeprefix('typing.')}{limit}, got {found!r:.80}; "
        "write what the weights were made with"
    )


def read_fields(kind: type, data: Json, where: str) -> Json:
    """The fields of a config dataclass that `data` has, whatever else it says.

    Raises:
        TaktError: One has another type or is too small.
    """
    return {
        name: value(f"{where}.{name}" if where else name, data[name], hint, _LEAST.get(name, 1.0))
        for name, hint in get_type_hints(kind).items()
        if name in data
    }


def build(kind: type, data: Json, where: str) -> Any:  # noqa: ANN401
    """A config dataclass from its fields in `data`.

    Raises:
        TaktError: One is missing, has another type or is too small.
    """
    found = read_fields(kind, data, where)
    needed = [field.name for field in fields(kind) if field.default is MISSING]
    if missing := [name for name in needed if name not in found]:
        raise TaktError(
            f"config.json is not an XR-0 config: {where} lacks {', '.join(missing)}; "
            "use the file that came with the weights"
        )
    return kind(**found)


def _fits(found: Any, hint: Any, least: float) -> bool:  # noqa: ANN401
    if isinstance(found, tuple):  # item by item: beartype looks at one of many
        kinds = get_args(hint)
        if kinds[1:] == (...,):
            kinds = kinds[:1] * len(found)
        return (get_origin(hint), len(kinds)) == (tuple, len(found)) and all(
            _fits(item, kind, least) for item, kind in zip(found, kinds, strict=True)
        )
    if isinstance(found, bool):  # else an int
        return hint is bool
    if isinstance(found, float) and not math.isfinite(found):
        return False
    if isinstance(found, int | float) and not least <= found <= _LARGEST:
        return False
    return is_bearable(found, hint, conf=_CONF)
