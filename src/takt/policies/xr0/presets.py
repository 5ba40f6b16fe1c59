"""Named sizes of XR-0."""

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
from takt.policies.xr0.tokenizer import SPECIAL_TOKENS, VOCAB_SIZE

NANO_TOKEN_IDS = TokenIds(
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
        token_ids=NANO_TOKEN_IDS,
        position_init_std=0.5,
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
