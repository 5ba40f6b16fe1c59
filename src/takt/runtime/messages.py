"""What `PolicyProcess` and its child say to each other, and how it is parcelled for the channel.

The two messages of every inference are taken apart by hand, for speed; the rest travels as bytes of
`wire.Codec`. A receiver does not check again what the sender's constructors checked.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np

from takt.runtime.inference import Inference
from takt.runtime.shared_memory import Parcel
from takt.runtime.wire import Codec, WireError
from takt.types import ActionChunk, Observation

_Class = TypeVar("_Class")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Parent to child, once: build the policy. `factory` is "module:function"."""

    factory: str
    kwargs: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """Parent to child: begin an episode."""

    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Infer:
    """Parent to child: plan."""

    observation: Observation
    committed: ActionChunk | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Child to parent: a `Load` or `Reset` succeeded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Child to parent: an exception's name and text."""

    error: str
    text: str


Request = Load | Reset | Infer
Reply = Done | Failed | Inference

_PLAIN = Codec(Load, Reset, Done, Failed)


def parcel(message: Request | Reply) -> Parcel:
    """`message` as the channel carries it."""
    match message:
        case Infer():
            return _infer_parcel(message.observation, message.committed)
        case Inference():
            chunk = message.chunk
            numbers = (chunk.stamp, chunk.dt, message.compute_s)
            return ("inference",), numbers, [chunk.actions]
        case _:
            return ("plain", _PLAIN.encode(message)), (), []


def message(parcel: Parcel) -> Any:  # noqa: ANN401 - the caller matches on the class
    """The message in `parcel`.

    Raises:
        WireError: it is none of ours.
    """
    form, numbers, arrays = parcel
    match form:
        case ("infer", names, instruction, touched, bound):
            return _infer(numbers, arrays, names, instruction, touched, bound)
        case ("inference",):
            chunk = _unchecked(ActionChunk, (numbers[0], numbers[1], arrays[0]))
            return Inference(chunk=chunk, compute_s=numbers[2])
        case ("plain", data):
            return _PLAIN.decode(data)
        case other:
            raise WireError(
                f"expected a policy's message, got a parcel of form {other}; "
                "do both processes run the same version of takt?"
            )


def _infer_parcel(observation: Observation, committed: ActionChunk | None) -> Parcel:
    images, touch = observation.images, observation.touch
    form = ("infer", (*images,), observation.instruction, touch is not None, committed is not None)
    stamps = [observation.image_stamps[name] for name in images]
    numbers = (observation.stamp, *stamps)
    arrays = [*images.values(), observation.state]
    if touch is not None:
        arrays.append(touch)
    if committed is not None:
        arrays.append(committed.actions)
        numbers = (*numbers, committed.stamp, committed.dt)
    return form, numbers, arrays


def _infer(
    numbers: tuple[float, ...],
    arrays: Sequence[np.ndarray],
    names: tuple[str, ...],
    instruction: str,
    touched: bool,
    bound: bool,
) -> Infer:
    count = len(names)
    sensed = (
        numbers[0],
        dict(zip(names, arrays, strict=False)),
        dict(zip(names, numbers[1:], strict=False)),
        arrays[count],
        instruction,
        arrays[count + 1] if touched else None,
    )
    committed = _unchecked(ActionChunk, (*numbers[-2:], arrays[-1])) if bound else None
    return Infer(observation=_unchecked(Observation, sensed), committed=committed)


_SETTERS: dict[type, tuple[Callable[[object, object], None], ...]] = {
    cls: tuple(getattr(cls, field.name).__set__ for field in fields(cls))
    for cls in (Observation, ActionChunk)
}


def _unchecked(cls: type[_Class], values: tuple[object, ...]) -> _Class:
    """An instance of a frozen, slotted dataclass from its fields in order."""
    instance = object.__new__(cls)
    for put, value in zip(_SETTERS[cls], values, strict=True):
        put(instance, value)
    return instance
