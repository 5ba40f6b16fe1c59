"""`config.json` in the released layout, plus a `takt` block for what that layout leaves unsaid."""

from contextlib import suppress
from dataclasses import asdict, fields
from typing import Any

from takt.policies.xr0.config import (
    CONTRACTS,
    Contract,
    DiTConfig,
    TextConfig,
    TokenIds,
    VisionConfig,
    XR0Config,
)
from takt.types import TaktError

Json = dict[str, Any]

HOW_TO_NAME_IT = (
    'Write "takt": {"contract": "hf_release"} into it for a released checkpoint, "xr0_posttrain" '
    "for weights from the released trainer; in Python HF_RELEASE or XR0_POSTTRAIN can be passed"
)


class MissingContractError(TaktError):
    """A released `config.json`, which does not say how the DiT treats its action tokens."""


_OWN_FIELDS = (
    "flow_steps",
    "rotary",
    "image_pixels",
    "image_rule",
    "initializer_range",
    "position_init_std",
)


def text_json(config: XR0Config) -> Json:
    """Arguments of transformers' `Qwen3VLTextConfig`, in its 5.x key style."""
    sizes = asdict(config.text)
    section, theta = sizes.pop("mrope_section"), sizes.pop("rope_theta")
    return {
        **sizes,
        "model_type": "qwen3_vl_text",
        "initializer_range": config.initializer_range,
        "tie_word_embeddings": True,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": theta,
            "mrope_section": list(section),
            "mrope_interleaved": True,
        },
    }


def vision_json(config: XR0Config) -> Json:
    """Arguments of transformers' `Qwen3VLVisionConfig`."""
    return {
        **asdict(config.vision),
        "deepstack_visual_indexes": list(config.vision.deepstack_visual_indexes),
        "model_type": "qwen3_vl_vision",
        "out_hidden_size": config.text.hidden_size,
        "initializer_range": config.initializer_range,
    }


def to_json(config: XR0Config) -> Json:
    """The whole `config.json`."""
    ids = config.token_ids
    return {
        "model_type": "mibot",
        "architectures": ["MiBoTForActionGeneration"],
        "state_length": config.state_length,
        "state_dim": config.state_dim,
        "action_dim": config.action_dim,
        "tie_word_embeddings": True,
        "dit_config": {
            **asdict(config.dit),
            "model_type": "dit",
            "num_key_value_heads": config.text.num_key_value_heads,
        },
        "vlm_config": {
            "model_type": "qwen3_vl",
            "tie_word_embeddings": True,
            "image_token_id": ids.image,
            "video_token_id": ids.video,
            "vision_start_token_id": ids.vision_start,
            "vision_end_token_id": ids.vision_end,
            "text_config": text_json(config),
            "vision_config": vision_json(config),
        },
        "takt": {
            "contract": asdict(config.contract),
            **{name: getattr(config, name) for name in _OWN_FIELDS},
        },
    }


def from_json(data: Json, contract: Contract | None = None) -> XR0Config:
    """Read `config.json`, ours or released.

    Args:
        data: The parsed file; rotary settings in the 4.57 or the 5.x key style.
        contract: Overrides the file; needed for released files, which do not name one.

    Raises:
        TaktError: No contract is known, or a field is missing.
    """
    if not isinstance(data, dict):
        raise TaktError(f"config.json is not an XR-0 config: expected an object, got {data!r:.80}")
    own = data.get("takt", {})
    contract = contract or stored_contract(data)
    try:
        return XR0Config(
            text=_text(data["vlm_config"]["text_config"]),
            vision=_vision(data["vlm_config"]["vision_config"]),
            dit=_known_fields(DiTConfig, data["dit_config"]),
            contract=contract,
            token_ids=_token_ids(data["vlm_config"]),
            state_length=data.get("state_length", 1),
            state_dim=data["state_dim"],
            action_dim=data["action_dim"],
            **{name: _frozen(own[name]) for name in _OWN_FIELDS if name in own},
        )
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise TaktError(f"config.json is not an XR-0 config: {error!r}") from error


def stored_contract(data: Json) -> Contract:
    """The contract in the `takt` block: one of `CONTRACTS` by name, or another field by field.

    Raises:
        MissingContractError: There is none.
        TaktError: It is unknown or lacks a field.
    """
    own = data.get("takt", {})
    if "contract" not in own:
        raise MissingContractError(
            "config.json names no forward contract, and with the wrong one the attention mask and "
            "the action positions differ from training: silently wrong actions. " + HOW_TO_NAME_IT
        )
    match own["contract"]:
        case str() as name if name in CONTRACTS:
            return CONTRACTS[name]
        case dict() as given:
            with suppress(TypeError):
                return Contract(**given)
    names = ", ".join(field.name for field in fields(Contract))
    raise TaktError(
        f"config.json: expected takt.contract to be one of {', '.join(CONTRACTS)}, or an object of "
        f"{names}; got {own['contract']!r}"
    )


def _text(data: Json) -> TextConfig:
    rotary = data.get("rope_parameters") or data.get("rope_scaling") or {}
    theta = rotary["rope_theta"] if "rope_theta" in rotary else data["rope_theta"]
    return _known_fields(
        TextConfig, {**data, "rope_theta": theta, "mrope_section": rotary["mrope_section"]}
    )


def _vision(data: Json) -> VisionConfig:
    return _known_fields(VisionConfig, data)


def _token_ids(data: Json) -> TokenIds:
    return TokenIds(
        image=data["image_token_id"],
        video=data["video_token_id"],
        vision_start=data["vision_start_token_id"],
        vision_end=data["vision_end_token_id"],
    )


def _known_fields(block: Any, data: Json) -> Any:  # noqa: ANN401
    """Build a config dataclass from the fields it has, whatever else the file says."""
    known = {field.name for field in fields(block)}
    return block(**{name: _frozen(value) for name, value in data.items() if name in known})


def _frozen(value: Any) -> Any:  # noqa: ANN401
    """JSON lists as the tuples that frozen configs hold."""
    return tuple(value) if isinstance(value, list) else value
