"""Sizes and forward contract of XR-0; one class from nano to 4.7 B.

Field names follow the released `config.json` (xr0-model reference, section 3). Torch is not imported here.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from takt.types import TaktError

if TYPE_CHECKING:
    from transformers import Qwen3VLConfig

RotaryPrecision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """Qwen3 language model."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    mrope_section: tuple[int, int, int]
    """Rotary frequencies read by (time, height, width); they sum to head_dim / 2."""
    rope_theta: float = 5e6
    rms_norm_eps: float = 1e-6
    max_position_embeddings: int = 262_144

    def __post_init__(self) -> None:
        """Rotary sections must cover half a head."""
        if sum(self.mrope_section) * 2 != self.head_dim:
            raise TaktError(
                f"mrope_section {self.mrope_section} must sum to head_dim / 2 = {self.head_dim // 2}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionConfig:
    """Qwen3-VL vision tower; `num_position_embeddings` is a square number of grid cells."""

    hidden_size: int
    depth: int
    num_heads: int
    intermediate_size: int
    patch_size: int
    num_position_embeddings: int
    deepstack_visual_indexes: tuple[int, ...]
    spatial_merge_size: int = 2
    temporal_patch_size: int = 2

    @property
    def token_pixels(self) -> int:
        """Side of the square of pixels behind one language-model token."""
        return self.patch_size * self.spatial_merge_size


@dataclass(frozen=True, slots=True, kw_only=True)
class DiTConfig:
    """Action expert; layer i reads the keys and values of VLM layer `text layers - layers + i`."""

    hidden_size: int
    num_hidden_layers: int
    head_dim: int
    mlp_ratio: int = 4

    @property
    def num_heads(self) -> int:
        """Own attention heads; each group of them shares one VLM key/value head."""
        return self.hidden_size // self.head_dim


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """How the DiT treats its action tokens; weights trained under one contract need the same at inference.

    Attributes:
        name: Shown in errors and written beside the weights.
        local_window: Action i sees actions i - window .. i; None sees all earlier ones.
        rope_offset: Added to the positions of noisy (not prefix) action tokens.
        decode_eps: Decoding is `a * (std + eps) + mean`.
        max_prefix: Most clean actions a chunk may start with; 0 was never trained with a prefix.
    """

    name: str
    local_window: int | None
    rope_offset: int
    decode_eps: float
    max_prefix: int


HF_RELEASE = Contract(
    name="hf_release", local_window=None, rope_offset=0, decode_eps=0.0, max_prefix=0
)
XR0_POSTTRAIN = Contract(
    name="xr0_posttrain", local_window=4, rope_offset=10, decode_eps=1e-6, max_prefix=6
)
CONTRACTS = {contract.name: contract for contract in (HF_RELEASE, XR0_POSTTRAIN)}


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIds:
    """Vocabulary entries with a meaning for the model."""

    image: int
    video: int
    vision_start: int
    vision_end: int


QWEN_TOKEN_IDS = TokenIds(image=151_655, video=151_656, vision_start=151_652, vision_end=151_653)


@dataclass(frozen=True, slots=True, kw_only=True)
class XR0Config:
    """A whole model. `rotary` is the precision of the inverse frequencies (reference section 4)."""

    text: TextConfig
    vision: VisionConfig
    dit: DiTConfig
    contract: Contract
    token_ids: TokenIds = QWEN_TOKEN_IDS
    state_length: int = 1
    state_dim: int = 32
    action_dim: int = 32
    flow_steps: int = 5
    rotary: RotaryPrecision = "float32"
    image_pixels: tuple[int, int] = (1024, 90_000)
    """Smallest and largest image area; an image inside it with fitting sides is never resized."""
    initializer_range: float = 0.02
    position_init_std: float = field(default=0.02)
    """Standard deviation of the vision position table at initialisation."""

    def __post_init__(self) -> None:
        """The DiT must fit on the VLM's keys and values."""
        text, dit = self.text, self.dit
        if dit.head_dim != text.head_dim or dit.num_heads % text.num_key_value_heads:
            raise TaktError(
                f"DiT heads ({dit.num_heads} x {dit.head_dim}) must be a multiple of the VLM's "
                f"key/value heads ({text.num_key_value_heads} x {text.head_dim})"
            )
        if not 0 < dit.num_hidden_layers <= text.num_hidden_layers:
            raise TaktError(
                f"DiT layers must be in 1..{text.num_hidden_layers}, got {dit.num_hidden_layers}"
            )

    @property
    def kv_layers(self) -> range:
        """VLM layers whose keys and values the DiT reads."""
        layers = self.text.num_hidden_layers
        return range(layers - self.dit.num_hidden_layers, layers)

    def vlm_config(self) -> "Qwen3VLConfig":
        """The backbone as transformers describes it."""
        from transformers import Qwen3VLConfig

        return Qwen3VLConfig(**vlm_dict(self))


def vlm_dict(config: XR0Config) -> dict[str, object]:
    """The `vlm_config` block of the released layout, in the key style of transformers 5."""
    text, vision, ids = config.text, config.vision, config.token_ids
    return {
        "model_type": "qwen3_vl",
        "tie_word_embeddings": True,
        "image_token_id": ids.image,
        "video_token_id": ids.video,
        "vision_start_token_id": ids.vision_start,
        "vision_end_token_id": ids.vision_end,
        "text_config": {
            "model_type": "qwen3_vl_text",
            "hidden_size": text.hidden_size,
            "num_hidden_layers": text.num_hidden_layers,
            "num_attention_heads": text.num_attention_heads,
            "num_key_value_heads": text.num_key_value_heads,
            "head_dim": text.head_dim,
            "intermediate_size": text.intermediate_size,
            "vocab_size": text.vocab_size,
            "rms_norm_eps": text.rms_norm_eps,
            "max_position_embeddings": text.max_position_embeddings,
            "initializer_range": config.initializer_range,
            "tie_word_embeddings": True,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": text.rope_theta,
                "mrope_section": list(text.mrope_section),
                "mrope_interleaved": True,
            },
        },
        "vision_config": {
            "model_type": "qwen3_vl_vision",
            "hidden_size": vision.hidden_size,
            "depth": vision.depth,
            "num_heads": vision.num_heads,
            "intermediate_size": vision.intermediate_size,
            "patch_size": vision.patch_size,
            "spatial_merge_size": vision.spatial_merge_size,
            "temporal_patch_size": vision.temporal_patch_size,
            "out_hidden_size": text.hidden_size,
            "num_position_embeddings": vision.num_position_embeddings,
            "deepstack_visual_indexes": list(vision.deepstack_visual_indexes),
            "initializer_range": config.initializer_range,
        },
    }
