"""What a robot asks of a policy server: openpi's maps, and our envelope inside them.

A plain openpi request is an observation (`fields.read_observation`). A takt client adds the
key "takt": kind and number of the request, stamps, committed actions. Stamps are the robot's
control clock and go there and back untouched: the server never compares them with its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from takt.runtime.msgpack_arrays import encode_jpeg, pack, unpack
from takt.runtime.server.fields import Fields, read_observation
from takt.runtime.wire import WireError
from takt.types import ActionChunk, EmbodimentSpec, Observation, Seconds

PROTOCOL_VERSION = 1
ENVELOPE = "takt"
ROBOT_HEADER = "X-Takt-Robot"  # of the handshake: a robot that comes back takes its own seat
MAX_COMMITTED = 4096  # actions


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """First request of a takt client."""

    number: int
    version: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Begin an episode."""

    number: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Plan from an observation; `number` is None from a plain openpi client."""

    number: int | None
    observation: Observation
    committed: ActionChunk | None


Request = Hello | Begin | Ask


def encode_request(request: Request, jpeg_quality: int | None = None) -> bytes:
    """As bytes; images as they are, or compressed with `jpeg_quality`."""
    match request:
        case Hello(number=number, version=version):
            return pack({ENVELOPE: {"kind": "hello", "number": number, "version": version}})
        case Begin(number=number, seed=seed):
            return pack({ENVELOPE: {"kind": "begin", "number": number, "seed": seed}})
        case Ask():
            return pack(_observation(request.observation, jpeg_quality) | {ENVELOPE: _ask(request)})


def _observation(seen: Observation, jpeg_quality: int | None) -> dict[str, Any]:
    message: dict[str, Any] = {
        f"observation/images/{name}": image
        if jpeg_quality is None
        else encode_jpeg(image, jpeg_quality)
        for name, image in seen.images.items()
    }
    message |= {"observation/state": seen.state, "prompt": seen.instruction}
    return message if seen.touch is None else message | {"observation/touch": seen.touch}


def _ask(ask: Ask) -> dict[str, Any]:
    stamps = {"stamp": ask.observation.stamp, "image_stamps": dict(ask.observation.image_stamps)}
    envelope = {"kind": "ask", "number": ask.number, **stamps}
    if ask.committed is None:
        return envelope
    committed = {name: getattr(ask.committed, name) for name in ("stamp", "dt", "actions")}
    return envelope | {"committed": committed}


def read_request(message: dict[str, Any], spec: EmbodimentSpec, now: Seconds) -> Request:
    """The request in an unpacked `message`; a plain openpi observation is stamped `now`.

    Raises:
        WireError: It is none, or not for this body.
    """
    if ENVELOPE not in message:
        observation = read_observation(message, spec, now, None)
        return Ask(number=None, observation=observation, committed=None)
    envelope = Fields(message[ENVELOPE], "the envelope of a takt request")
    number = envelope.integer("number")
    match envelope.text("kind"):
        case "hello":
            return Hello(number=number, version=envelope.integer("version"))
        case "begin":
            return Begin(number=number, seed=envelope.integer("seed"))
        case "ask":
            sensed = {key: value for key, value in message.items() if key != ENVELOPE}
            stamps = envelope.numbers("image_stamps")
            return Ask(
                number=number,
                observation=read_observation(sensed, spec, envelope.number("stamp"), stamps),
                committed=_committed(envelope, len(spec.action_space.names)),
            )
        case kind:
            raise WireError(f"expected hello, begin or ask, got {kind[:40]!r}; update takt")


def _committed(envelope: Fields, axes: int) -> ActionChunk | None:
    if "committed" not in envelope:
        return None
    fields = envelope.within("committed", "the committed actions")
    actions, dt = fields.finite_array("actions", 2), fields.number("dt")
    if actions.shape[1] != axes or len(actions) > MAX_COMMITTED or dt <= 0:
        raise WireError(
            f"expected at most {MAX_COMMITTED} committed actions of {axes} axes, a positive dt "
            f"apart, got {actions.shape} and {dt} s; hand back what was planned"
        )
    return ActionChunk(stamp=fields.number("stamp"), dt=dt, actions=actions)


def unpack_map(data: bytes | memoryview) -> dict[str, Any]:
    """The map in `data`.

    Raises:
        WireError: It is something else.
    """
    message = unpack(data)
    if not isinstance(message, dict) or not all(isinstance(key, str) for key in message):
        raise WireError(
            f"expected a map with text keys, got {type(message).__name__}; "
            "send an observation as openpi clients do"
        )
    return message


def request_number(message: Mapping[str, Any]) -> int | None:
    """Number of a takt request, whatever else is wrong with it; None for openpi's."""
    if ENVELOPE not in message:
        return None
    try:
        return Fields(message[ENVELOPE], "an envelope").integer("number")
    except WireError:
        return None
