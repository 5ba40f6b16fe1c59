"""What a policy server answers: openpi's "actions" and "server_timing", and our envelope.

Every reply to a takt client names the request it is `in_reply_to` and carries the server's own
stamps of reception and answer, from which the client estimates the offset of the clocks. A plain
openpi client gets no envelope, and an error as a text frame.
"""

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from takt.runtime.msgpack_arrays import pack
from takt.runtime.server.fields import Fields
from takt.runtime.server.messages import ENVELOPE, PROTOCOL_VERSION, unpack_map
from takt.runtime.wire import WireError
from takt.types import ActionChunk, Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What a server says of itself on connection: openpi's `get_server_metadata()["takt"]`.

    `horizon`, `execute`, `max_prefix` in ticks are the policy's, 0 where it did not say;
    `prefix_time`: a prefix has the chunk's flow time, or that of clean actions.
    """

    policy: str
    embodiment: str
    rate_hz: float
    cameras: tuple[str, ...]
    state: tuple[str, ...]
    actions: tuple[str, ...]
    max_message_bytes: int
    horizon: int = 0
    execute: int = 0
    max_prefix: int = 0
    prefix_time: Literal["chunk", "one"] = "chunk"
    version: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamps:
    """When a request came in and was answered, on the server's monotonic clock."""

    received: Seconds
    answered: Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A chunk, the time its inference took and the time it waited for its turn."""

    in_reply_to: int | None
    chunk: ActionChunk
    compute_s: Seconds
    waited_s: Seconds
    stamps: Stamps


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A hello or the begin of an episode succeeded."""

    in_reply_to: int
    stamps: Stamps


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """An error's name and text; `in_reply_to` is None if the request had no number."""

    in_reply_to: int | None
    error: str
    text: str


Reply = Planned | Done | Failed


def encode_facts(facts: ServerFacts) -> bytes:
    """As the first message of a connection."""
    return pack({ENVELOPE: asdict(facts)})


def encode_reply(reply: Reply) -> bytes | str:
    """A binary message, or text for an error that a plain openpi client is to raise."""
    match reply:
        case Planned(in_reply_to=number, chunk=chunk):
            message: dict[str, object] = {
                "actions": np.asarray(chunk.actions, np.float32),
                "server_timing": {
                    "infer_ms": 1e3 * reply.compute_s,
                    "queue_ms": 1e3 * reply.waited_s,
                },
            }
            if number is None:
                return pack(message)
            planned = {"stamp": chunk.stamp, "dt": chunk.dt, **asdict(reply.stamps)}
            return pack(message | {ENVELOPE: {"kind": "plan", "in_reply_to": number} | planned})
        case Done(in_reply_to=number, stamps=stamps):
            return pack({ENVELOPE: {"kind": "done", "in_reply_to": number} | asdict(stamps)})
        case Failed(in_reply_to=None, error=error, text=text):
            return f"{error}: {text}"
        case Failed():
            return pack({ENVELOPE: {"kind": "failed"} | asdict(reply)})


def decode_facts(data: bytes | str) -> ServerFacts:
    """What a server greeted us with.

    Raises:
        WireError: It is no takt server, or one of another version.
    """
    message = unpack_map(_binary(data))
    if ENVELOPE not in message:
        raise WireError("expected a takt server, got the greeting of another; check the address")
    fields = Fields(message[ENVELOPE], "the greeting of a takt server")
    version = fields.integer("version")
    if version != PROTOCOL_VERSION:
        raise WireError(
            f"expected a server that speaks version {PROTOCOL_VERSION}, got {version}; "
            "install the same takt on both sides"
        )
    return ServerFacts(
        policy=fields.text("policy"),
        embodiment=fields.text("embodiment"),
        rate_hz=fields.number("rate_hz"),
        cameras=fields.texts("cameras"),
        state=fields.texts("state"),
        actions=fields.texts("actions"),
        max_message_bytes=fields.integer("max_message_bytes"),
        horizon=fields.integer("horizon"),
        execute=fields.integer("execute"),
        max_prefix=fields.integer("max_prefix"),
        prefix_time="one" if fields.text("prefix_time") == "one" else "chunk",
    )


def decode_reply(data: bytes | str) -> Reply:
    """A takt server's reply to a takt client.

    Raises:
        WireError: It is none.
    """
    message = unpack_map(_binary(data))
    fields = Fields(message.get(ENVELOPE), "the envelope of a takt reply")
    number = fields.integer("in_reply_to")
    match fields.text("kind"):
        case "plan":
            timing = Fields(message.get("server_timing"), "server_timing")
            actions = Fields(message, "a plan").array("actions", 2)
            return Planned(
                in_reply_to=number,
                chunk=ActionChunk(
                    stamp=fields.number("stamp"), dt=fields.number("dt"), actions=actions
                ),
                compute_s=1e-3 * timing.number("infer_ms"),
                waited_s=1e-3 * timing.number("queue_ms"),
                stamps=_stamps(fields),
            )
        case "done":
            return Done(in_reply_to=number, stamps=_stamps(fields))
        case "failed":
            error, text = fields.text("error"), fields.text("text")
            return Failed(in_reply_to=number, error=error, text=text)
        case kind:
            raise WireError(f"expected plan, done or failed, got {kind[:40]!r}; update takt")


def _stamps(fields: Fields) -> Stamps:
    return Stamps(received=fields.number("received"), answered=fields.number("answered"))


def _binary(data: bytes | str) -> bytes:
    if isinstance(data, str):
        raise WireError(f"the server refused: {data}")
    return data
