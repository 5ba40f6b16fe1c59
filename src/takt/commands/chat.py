"""`takt chat`: ask the policy's vision-language backbone about images."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from takt.extras import require_extra


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Ask about images and print the answer as it is found."""

    question: tyro.conf.Positional[str]
    """What to ask."""
    image: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction]
    """An image file; at least one is needed. Give the option once for each image, in the order the
    question means."""
    checkpoint: Path | None = None
    """Folder of a checkpoint; by default the shipped nano, which never learned to talk."""
    max_tokens: int = 128
    """Longest answer in tokens."""
    temperature: float = 0.0
    """0 always takes the likeliest token; above it tokens are drawn."""
    seed: int = 0
    """Of the draws."""
    json: bool = False
    """Print one JSON object instead of the stream."""


def main(argv: list[str]) -> int:
    """Stream the answer to stdout."""
    config = tyro.cli(Config, args=argv, prog="takt chat")
    for extra in ("train", "data"):
        require_extra(extra, "takt chat")
    pieces = []
    for piece in _answer(config):
        pieces.append(piece)
        if not config.json:
            print(piece, end="", flush=True)
    text = "".join(pieces)
    if not text:
        print(
            "takt chat: the answer is empty: the model ended it with its first token; ask "
            "otherwise, or draw with --temperature 1",
            file=sys.stderr,
        )
    print(json.dumps({"text": text}) if config.json else "")
    return 0


def _answer(config: Config) -> Iterator[str]:
    from takt.benchmarks.checkpoint import packaged_checkpoint
    from takt.policies.xr0.chat import Chat, Greedy, Sampled, require_turn
    from takt.policies.xr0.image_file import read_image

    require_turn(config.image, config.question)
    choice = Greedy()
    if config.temperature:
        choice = Sampled(temperature=config.temperature, seed=config.seed)
    images = [read_image(path) for path in config.image]
    folder = config.checkpoint or packaged_checkpoint("nano_station")
    chat = Chat.load(folder)
    if not _has_words(folder):
        which = folder if config.checkpoint else "the shipped nano"
        print(
            f"takt chat: {which} was trained to act, not to talk: its words are nonsense; give "
            "--checkpoint for a model that learnt from text",
            file=sys.stderr,
        )
    return chat.answer(chat.prompt(images, config.question), config.max_tokens, choice)


def _has_words(folder: Path) -> bool:
    """What `config.json` says; where it does not, whether the vocabulary is a released model's."""
    from takt.policies.xr0.checkpoint_files import CONFIG, read_json
    from takt.policies.xr0.released_config import own_block
    from takt.policies.xr0.tokenizer import VOCAB_SIZE

    data = read_json(folder / CONFIG)
    own_vocabulary = data["vlm_config"]["text_config"]["vocab_size"] == VOCAB_SIZE
    return bool(own_block(data).get("has_words", not own_vocabulary))
