"""Named sizes of XR-0, and sizes read from a user's own `config.json`."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from takt.policies.xr0.config import (
    HF_RELEASE,
    XR0_POSTTRAIN,
    Contract,
    DiTConfig,
    TextConfig,
    TokenIds,
    VisionConfig,
    XR0Config,
)
from takt.policies.xr0.released_config import from_json
from takt.policies.xr0.tokenizer import SPECIAL_TOKENS, VOCAB_SIZE
from takt.types import TaktError

OWN_TOKEN_IDS = TokenIds(
    image=SPECIAL_TOKENS.index("<|image_pad|>"),
    video=SPECIAL_TOKENS.index("<|video_pad|>"),
    vision_start=SPECIAL_TOKENS.index("<|vision_start|>"),
    vision_end=SPECIAL_TOKENS.index("<|vision_end|>"),
)


def nano(contract: Contract = XR0_POSTTRAIN, image_px: int = 64) -> XR0Config:
    """A 2 M model that trains on a CPU; sized for square images of `image_px` (a multiple of 16).

    The wide position table (std 0.5) and small patches are what let it learn from pixels
    (nano-training reference, section 2). `rope_theta` suits its ~100 positions.
    """
    return XR0Config(
        text=TextConfig(
            hidden_size=128,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            intermediate_size=384,
            vocab_size=VOCAB_SIZE,
            mrope_section=(6, 5, 5),
            rope_theta=1e4,
            max_position_embeddings=4096,
        ),
        vision=VisionConfig(
            hidden_size=96,
            depth=2,
            num_heads=3,
            intermediate_size=288,
            patch_size=8,
            temporal_patch_size=1,
            num_position_embeddings=(image_px // 8) ** 2,
            deepstack_visual_indexes=(0,),
        ),
        dit=DiTConfig(hidden_size=128, num_hidden_layers=3, head_dim=32),
        contract=contract,
        token_ids=OWN_TOKEN_IDS,
        position_init_std=0.5,
        token_init_std=0.1,
    )


def xr0_4_7b(contract: Contract = HF_RELEASE) -> XR0Config:
    """The released size: Qwen3-VL-4B and a 16-layer DiT (xr0-model reference, sections 3 and 9)."""
    return XR0Config(
        text=TextConfig(
            hidden_size=2560,
            num_hidden_layers=36,
            num_attention_heads=32,
            num_key_value_heads=8,
            head_dim=128,
            intermediate_size=9728,
            vocab_size=151_936,
            mrope_section=(24, 20, 20),
        ),
        vision=VisionConfig(
            hidden_size=1024,
            depth=24,
            num_heads=16,
            intermediate_size=4096,
            patch_size=16,
            num_position_embeddings=2304,
            deepstack_visual_indexes=(5, 11, 17),
        ),
        dit=DiTConfig(hidden_size=1024, num_hidden_layers=16, head_dim=128),
        contract=contract,
    )


def cpu_bench(contract: Contract = HF_RELEASE) -> XR0Config:
    """The released size with every layer and head count kept and all widths divided by 8.

    Vocabulary and token ids are those of takt's own small tokenizer: the table is a look-up, so
    its length costs no time, and prompts need no file from outside. The released rotary sections
    (24, 20, 20) do not divide by 8; (4, 2, 2) keeps height and width alike.
    """
    released = xr0_4_7b(contract)
    return replace(
        released,
        text=replace(
            released.text,
            hidden_size=320,
            head_dim=16,
            intermediate_size=1216,
            vocab_size=VOCAB_SIZE,
            mrope_section=(4, 2, 2),
        ),
        vision=replace(released.vision, hidden_size=128, intermediate_size=512),
        dit=replace(released.dit, hidden_size=128, head_dim=16),
        token_ids=OWN_TOKEN_IDS,
    )


PRESETS: dict[str, Callable[[], XR0Config]] = {
    "nano": nano,
    "cpu-bench": cpu_bench,
    "4.7b": xr0_4_7b,
}


def preset_or_file(name_or_path: str | Path, contract: Contract | None = None) -> XR0Config:
    """A named preset, or the user's own: a `config.json` in the released layout.

    Args:
        name_or_path: A key of `PRESETS`, a JSON file, or a directory that holds `config.json`.
        contract: Replaces that of the preset or file; needed if the file names none.

    Raises:
        TaktError: Neither a preset nor a readable XR-0 config.
    """
    if str(name_or_path) in PRESETS:
        config = PRESETS[str(name_or_path)]()
        return config if contract is None else replace(config, contract=contract)
    path = Path(name_or_path)
    if path.is_dir():
        path = path / "config.json"
    if not path.is_file():
        raise TaktError(
            f"expected a preset ({', '.join(PRESETS)}) or a config.json in the released layout, "
            f"got {str(name_or_path)!r}, which is neither"
        )
    try:
        data = json.loads(path.read_text())
    except ValueError as error:
        raise TaktError(f"{path} is not valid JSON: {error}") from error
    return from_json(data, contract)
