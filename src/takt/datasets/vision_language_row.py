"""A row of a vision-language set as it is stored: image files, and who says what.

Text is in one of three layouts, told by the key:

    conversations   [{"from": "human", "value": "<image>\\n…"}, {"from": "gpt", "value": "…"}, …]
                    LLaVA and Qwen's fine-tuning
    messages        [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}, …]
    texts           [{"user": "…", "assistant": "…"}, …]   The Cauldron, FineVision

Images are under `image` or `images`, one or a list: the path of a file below the set file's own
folder, or in parquet {"bytes", "path"}. They are shown before the first question, so `<image>` may
stand at its beginning or end only, once for each image or not at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from takt.datasets.encoded_image import decode_image
from takt.types import Conversation, Turn

IMAGE_TAG = "<image>"
MAX_IMAGE_BYTES = 64 << 20  # of one file: what is longer is no photograph

_LAYOUTS = {
    "conversations": ("from", "value"),
    "messages": ("role", "content"),
}
_ASKS, _ANSWERS = ("human", "user"), ("gpt", "assistant")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Image files (encoded, or where they lie), turns without tags, and what they teach."""

    id: str
    images: tuple[bytes | Path, ...]
    turns: tuple[Turn, ...]
    task: str = ""

    def conversation(self) -> Conversation:
        """The same with its images decoded.

        Raises:
            ValueError: an image is missing, damaged or too long.
        """
        return Conversation(images=tuple(map(_pixels, self.images)), turns=self.turns)


def parse_row(raw: object, folder: Path) -> Row:
    """A row from JSON or parquet; `folder` is where paths of images begin.

    Raises:
        ValueError: what is wrong with it.
    """
    if not isinstance(raw, Mapping):
        raise ValueError(f"expected an object with images and conversations, got {raw!r:.80}")
    if raw.get("video"):
        raise ValueError("expected images, got a video, which is not read")
    images = tuple(_image(entry, folder) for entry in _images(raw))
    if not images:
        raise ValueError("expected at least one image, got none")
    questions, answers = _texts(raw)
    questions[0] = _without_tags(questions[0], len(images))
    turns = [Turn(q.strip(), a.strip()) for q, a in zip(questions, answers, strict=True)]
    for turn in turns:
        if not turn.question or not turn.answer:
            raise ValueError(f"expected a question and an answer, got {turn}")
        if IMAGE_TAG in turn.question or IMAGE_TAG in turn.answer:
            raise ValueError(
                f"expected {IMAGE_TAG} at the beginning or end of the first question only, got it "
                f"in {turn.question!r:.80}: images are shown before the first question"
            )
    return Row(id=_named(raw, "id"), images=images, turns=tuple(turns), task=_named(raw, "task"))


def _named(raw: Mapping[str, Any], key: str) -> str:
    """An empty cell of parquet is None."""
    value = raw.get(key)
    return "" if value is None else str(value)


def _images(raw: Mapping[str, Any]) -> Sequence[object]:
    found = raw.get("images") if raw.get("images") is not None else raw.get("image")
    if found is None:
        return ()
    return found if isinstance(found, list | tuple) else [found]


def _image(entry: object, folder: Path) -> bytes | Path:
    match entry:
        case str(path) if path:
            return _inside(folder, path)
        case bytes(content) | {"bytes": bytes(content)}:
            return content
        case {"path": str(path)} if path:
            return _inside(folder, path)
    raise ValueError(f"expected an image's path or bytes, got {entry!r:.80}")


def _inside(folder: Path, name: str) -> Path:
    """A row may come from anywhere: it is to name no file but the set's own."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(
            f"expected an image under {folder}, got {name!r:.80}; put the images beside the file, "
            "or the file above the images"
        )
    return path


def _texts(raw: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Questions and answers in turn."""
    for key, (speaker, said) in _LAYOUTS.items():
        if raw.get(key):
            return _alternating([(_text(x, speaker), _text(x, said)) for x in _list(raw, key)])
    if raw.get("texts"):
        pairs = [(_text(x, "user"), _text(x, "assistant")) for x in _list(raw, "texts")]
        return [question for question, _ in pairs], [answer for _, answer in pairs]
    keys = ", ".join([*_LAYOUTS, "texts"])
    raise ValueError(f"expected words under one of {keys}, got the keys {', '.join(map(str, raw))}")


def _list(raw: Mapping[str, Any], key: str) -> list[object]:
    if not isinstance(raw[key], list):
        raise ValueError(f"expected a list of turns under {key!r}, got {raw[key]!r:.80}")
    return raw[key]


def _alternating(said: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    speakers = [speaker for speaker, _ in said]
    fits = all(x in (_ANSWERS if k % 2 else _ASKS) for k, x in enumerate(speakers))
    if len(said) % 2 or not fits:
        raise ValueError(f"expected {_ASKS[0]} and {_ANSWERS[0]} in turn, got {speakers}")
    texts = [text for _, text in said]
    return texts[::2], texts[1::2]


def _text(turn: object, key: str) -> str:
    value = turn.get(key) if isinstance(turn, Mapping) else None
    if not isinstance(value, str):
        raise ValueError(f"expected a turn with a text under {key!r}, got {turn!r:.80}")
    value.encode()  # half a surrogate pair, which JSON can spell, is no text
    return value


def _without_tags(question: str, images: int) -> str:
    tags = question.count(IMAGE_TAG)
    if tags not in (0, images):
        raise ValueError(f"expected {IMAGE_TAG} for each of {images} images, got it {tags} times")
    text = question.strip()
    while text.startswith(IMAGE_TAG):
        text = text.removeprefix(IMAGE_TAG).lstrip()
    while text.endswith(IMAGE_TAG):
        text = text.removesuffix(IMAGE_TAG).rstrip()
    return text


def image_content(image: bytes | Path) -> bytes:
    """The image file's bytes.

    Raises:
        ValueError: it is missing, no regular file, or too long.
    """
    content = image if isinstance(image, bytes) else _read(image)
    if len(content) > MAX_IMAGE_BYTES:
        where = "" if isinstance(image, bytes) else f"{image}: "
        raise ValueError(f"{where}expected an image of at most {MAX_IMAGE_BYTES} bytes, got more")
    return content


def _read(path: Path) -> bytes:
    """At most one byte more than an image may have: sizes of files may lie, and devices have none.

    A pipe would wait for ever.
    """
    try:
        if not path.is_file():
            raise ValueError(f"{path}: expected an image file, found none")
        with path.open("rb") as file:
            return file.read(MAX_IMAGE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error


def _pixels(image: bytes | Path) -> np.ndarray:
    content = image_content(image)
    try:
        return np.array(decode_image(content))  # PIL's own cannot be written to
    except ValueError as error:
        where = "" if isinstance(image, bytes) else f"{image}: "
        raise ValueError(f"{where}{error}") from error
