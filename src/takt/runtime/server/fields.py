"""Reading what a stranger sent, field by field: every wrong one is named."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from takt.runtime.wire import WireError
from takt.types import EmbodimentSpec, Observation, Seconds, TaktError

MAX_AXES = 4096  # of a state or touch vector
MAX_PROMPT = 4096  # characters: a policy's memory may grow with their square
MAX_INTEGER = 2**63 - 1


class Fields:
    """A map of which nothing is known; `what` names it in errors."""

    def __init__(self, value: object, what: str) -> None:
        """Raises a `WireError` if it is no map with text keys."""
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise WireError(f"expected {what} as a map with text keys, got {type(value).__name__}")
        self._value: dict[str, Any] = value
        self._what = what

    def __contains__(self, name: str) -> bool:
        """Whether there is such a field."""
        return name in self._value

    def within(self, name: str, what: str) -> "Fields":
        """The map `name`."""
        return Fields(self._value.get(name), what)

    def text(self, name: str) -> str:
        """The text `name`."""
        value = self._value.get(name)
        if not isinstance(value, str):
            raise self._wrong(name, "text")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """The list of texts `name`."""
        value = self._value.get(name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(name, "a list of texts")
        return tuple(value)

    def integer(self, name: str) -> int:
        """The whole number `name`, not negative."""
        value = self._value.get(name)
        if type(value) is not int or not 0 <= value <= MAX_INTEGER:
            raise self._wrong(name, "a whole number from 0 on")
        return value

    def number(self, name: str) -> float:
        """The finite number `name`."""
        value = self._value.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(name, "a number")
        if not math.isfinite(value):
            raise self._wrong(name, "a finite number")
        return float(value)

    def numbers(self, name: str) -> dict[str, float]:
        """The map of finite numbers `name`."""
        fields = self.within(name, f"{name} of {self._what}")
        return {key: fields.number(key) for key in fields._value}

    def array(self, name: str, axes: int) -> np.ndarray:
        """The array of floats `name`, with `axes` axes; they may be NaN or infinite."""
        value = self._value.get(name)
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.ndim != axes:
            raise self._wrong(name, f"a float array of {axes} axes")
        return value

    def finite_array(self, name: str, axes: int) -> np.ndarray:
        """The array of finite floats `name`, with `axes` axes."""
        value = self.array(name, axes)
        if not np.isfinite(value).all():
            raise self._wrong(name, "finite values")
        return value

    def _wrong(self, name: str, expected: str) -> WireError:
        value = self._value.get(name)
        got = f"{value.dtype}{list(value.shape)}" if isinstance(value, np.ndarray) else repr(value)
        return WireError(f"expected {expected} as {name!r} in {self._what}, got {got[:60]}")


def read_observation(
    message: Mapping[str, Any],
    spec: EmbodimentSpec,
    stamp: Seconds,
    image_stamps: Mapping[str, Seconds] | None,
) -> Observation:
    """The observation in an openpi request, for the body of `spec`.

    Keys, "/"-joined or as nested maps, with or without the leading "observation/":
    "images/<camera>" (height, width, 3) uint8 for every camera, "state" (state,), optional "touch"
    (touch,), and "prompt", without which it is the body's own instruction.

    Args:
        message: What came.
        spec: Says which cameras and state axes there are.
        stamp: The observation's, and without `image_stamps` the images', too.
        image_stamps: When each image was captured.

    Raises:
        WireError: A key is missing or unknown, or what it holds is not for this body.
    """
    nested = any(isinstance(value, dict) for value in message.values())
    pairs = _flat(message) if nested else message.items()
    found = {key.removeprefix("observation/"): value for key, value in pairs}
    cameras = {f"images/{camera.name}": camera.name for camera in spec.cameras}
    expected = {*cameras, "state"}
    if not expected <= set(found) or not set(found) <= expected | {"prompt", "touch"}:
        raise WireError(
            f"{spec.name}: expected the keys {sorted(f'observation/{key}' for key in expected)} "
            f"and 'prompt', got {sorted(found)[:20]}; rename the cameras or choose another --body"
        )
    images = {name: found[key] for key, name in cameras.items()}
    for name, image in images.items():
        if not isinstance(image, np.ndarray):
            raise WireError(f"expected an array as image {name!r}, got {type(image).__name__}")
    state = _vector(found["state"], "state")
    if len(state) != len(spec.state_names):
        raise WireError(f"expected a state of {len(spec.state_names)} axes, got {len(state)}")
    stamps = dict.fromkeys(images, stamp) if image_stamps is None else image_stamps
    try:
        return Observation(
            stamp=stamp,
            images=images,
            image_stamps=stamps,
            state=state,
            instruction=_prompt(found.get("prompt", spec.instruction)),
            touch=_vector(found["touch"], "touch") if "touch" in found else None,
        )
    except TaktError as error:
        raise WireError(str(error)) from error


def _flat(message: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Nested maps with "/"-joined keys, three levels at most: observation, images, camera."""
    pairs: list[tuple[str, Any]] = list(message.items())
    for _ in range(2):
        pairs = [
            (f"{key}/{name}", item) if name is not None else (key, item)
            for key, value in pairs
            for name, item in (value.items() if isinstance(value, dict) else [(None, value)])
        ]
    return pairs


def _prompt(value: object) -> str:
    if not isinstance(value, str):
        raise WireError(f"expected text as 'prompt', got {type(value).__name__}")
    if len(value) > MAX_PROMPT:
        raise WireError(f"expected at most {MAX_PROMPT} characters as 'prompt', got {len(value)}")
    return value


def _vector(value: object, name: str) -> np.ndarray:
    if not isinstance(value, np.ndarray) or value.ndim != 1 or value.dtype.kind not in "fiu":
        raise WireError(f"expected a vector of numbers as {name!r}, got {type(value).__name__}")
    if value.dtype != np.float32:
        with np.errstate(over="ignore"):
            value = value.astype(np.float32)
    if len(value) > MAX_AXES or not np.isfinite(value).all():
        raise WireError(f"expected at most {MAX_AXES} finite values as {name!r}, got others")
    return value
