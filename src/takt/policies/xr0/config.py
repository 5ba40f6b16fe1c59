"""Sizes and forward contract of XR-0; one class from nano to 4.7 B.

Field names follow the released `config.json`. Torch is not imported here.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from takt.types import TaktError

RotaryPrecision = Literal["float32", "bfloat16"]
ImageRule = Literal["budget", "misfits"]


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
        """Query heads share key/value heads evenly; rotary sections cover half a head."""
        if self.num_attention_heads % self.num_key_value_heads:
            raise TaktError(
                f"num_attention_heads must be a multiple of num_key_value_heads "
                f"({self.num_key_value_heads}), got {self.num_attention_heads}"
            )
        if sum(self.mrope_section) * 2 != self.head_dim:
            raise TaktError(
                f"mrope_section must sum to {self.head_dim // 2} (half a head), "
                f"got {self.mrope_section}"
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

    def __post_init__(self) -> None:
        """Heads hold two rotary axes; the position grid is square; taps name existing blocks."""
        if self.hidden_size % (4 * self.num_heads):
            raise TaktError(
                f"vision hidden_size must be a multiple of 4 x {self.num_heads} heads "
                f"(rotary pairs of two axes), got {self.hidden_size}"
            )
        if math.isqrt(self.num_position_embeddings) ** 2 != self.num_position_embeddings:
            raise TaktError(
                "num_position_embeddings must be a square number of grid cells, "
                f"got {self.num_position_embeddings}"
            )
        if not all(0 <= block < self.depth for block in self.deepstack_visual_indexes):
            raise TaktError(
                f"deepstack_visual_indexes must be in 0..{self.depth - 1}, "
                f"got {self.deepstack_visual_indexes}"
            )

    @property
    def token_pixels(self) -> int:
        """Side of the square of pixels behind one language-model token."""
        return self.patch_size * self.spatial_merge_size


@dataclass(frozen=True, slots=True, kw_only=True)
class DiTConfig:
    """Action expert; layer i reads the keys and values of VLM layer `text layers - layers + i`.

    With as many layers as the VLM each reads its own; `mlp_ratio` is the MLP's width over
    `hidden_size`.
    """

    hidden_size: int
    num_hidden_layers: int
    head_dim: int
    mlp_ratio: int = 4

    def __post_init__(self) -> None:
        """Heads fill the width."""
        if self.hidden_size % self.head_dim:
            raise TaktError(
                f"DiT hidden_size must be a multiple of head_dim {self.head_dim}, "
                f"got {self.hidden_size}"
            )

    @property
    def num_heads(self) -> int:
        """Own attention heads; each group of them shares one VLM key/value head."""
        return self.hidden_size // self.head_dim


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """How the DiT treats its action tokens; weights need the contract they were trained under.

    Attributes:
        name: Shown in errors and written beside the weights.
        local_window: Action i sees actions i - window .. i; None sees all earlier ones.
        rope_offset: Added to the positions of noisy (not prefix) action tokens.
        decode_eps: Decoding is `a * (std + eps) + mean`.
        max_prefix: Most clean actions a chunk may start with; 0 was never trained with a prefix.
        prefix_time: Flow time at which clean actions stand: the whole chunk's, or "one" (clean).
    """

    name: str
    local_window: int | None
    rope_offset: int
    decode_eps: float
    max_prefix: int
    prefix_time: Literal["chunk", "one"] = "chunk"


HF_RELEASE = Contract(
    name="hf_release", local_window=None, rope_offset=0, decode_eps=0.0, max_prefix=0
)
XR0_POSTTRAIN = Contract(
    name="xr0_posttrain", local_window=4, rope_offset=10, decode_eps=1e-6, max_prefix=6
)
CAUSAL = Contract(name="causal", local_window=None, rope_offset=0, decode_eps=1e-6, max_prefix=0)
"""Baseline: a plain causal flow policy."""
TRAINING_TIME_RTC = Contract(
    name="training_time_rtc",
    local_window=None,
    rope_offset=0,
    decode_eps=1e-6,
    max_prefix=6,
    prefix_time="one",
)
"""Baseline: a clean prefix known by its flow time alone (training-time real-time chunking)."""
CONTRACTS = {
    contract.name: contract for contract in (HF_RELEASE, XR0_POSTTRAIN, CAUSAL, TRAINING_TIME_RTC)
}


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
    """States given, oldest first: more than one is a history."""
    state_dim: int = 32
    action_dim: int = 32
    flow_steps: int = 5
    rotary: RotaryPrecision = "float32"
    image_pixels: tuple[int, int] = (1024, 90_000)
    """Smallest and largest image area; an image inside it with fitting sides is never resized."""
    image_rule: ImageRule = "budget"
    """misfits: an image with fitting sides is never resized, whatever its area (as the released
    processor under `do_resize` false)."""
    initializer_range: float = 0.02
    position_init_std: float = 0.02
    """Standard deviation of the vision position table at initialisation."""
    token_init_std: float = 0.02
    """Of the token table: a wider one tells words apart sooner (docs/LOG.md)."""

    def __post_init__(self) -> None:
        """The DiT must fit on the VLM's keys and values; counts are at least 1."""
        counts = "state_length", "state_dim", "action_dim", "flow_steps"
        if bad := {name: getattr(self, name) for name in counts if getattr(self, name) < 1}:
            raise TaktError(f"expected at least 1 of each of {', '.join(counts)}, got {bad}")
        if self.rotary not in get_args(RotaryPrecision):
            allowed = ", ".join(get_args(RotaryPrecision))
            raise TaktError(f"expected a rotary precision of {allowed}, got {self.rotary!r}")
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
