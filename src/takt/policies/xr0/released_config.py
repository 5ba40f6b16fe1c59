"""`config.json` in the released layout, plus a `takt` block for what that layout leaves unsaid."""

from collections.abc import Iterable
from dataclasses import MISSING, asdict, fields

from takt.policies.xr0.config import (
    CONTRACTS,
    Contract,
    DiTConfig,
    TextConfig,
    TokenIds,
    VisionConfig,
    XR0Config,
)
from takt.policies.xr0.json_fields import Json, block, build, read_fields, value
from takt.types import TaktError

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
    "token_init_std",
)
_WIDTHS = ("state_length", "state_dim", "action_dim")
_ROTARY = ("rope_theta", "mrope_section")


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
        TaktError: No contract is known, or a field is missing, of another type or out of range.
    """
    if not isinstance(data, dict):
        raise TaktError(f"config.json is not an XR-0 config: expected an object, got {data!r:.80}")
    contract = contract or stored_contract(data)
    vlm = block(data, "vlm_config")
    given = {"state_length": 1} | {name: data[name] for name in _WIDTHS if name in data}
    own = {name: x for name, x in own_block(data).items() if name in _OWN_FIELDS}
    parts = {
        "text": _text(block(vlm, "text_config", "vlm_config")),
        "vision": build(
            VisionConfig, block(vlm, "vision_config", "vlm_config"), "vlm_config.vision_config"
        ),
        "dit": build(DiTConfig, block(data, "dit_config"), "dit_config"),
        "token_ids": _token_ids(vlm),
    }
    _require(_WIDTHS, given, "it")
    return XR0Config(
        contract=contract,
        **parts,
        **read_fields(XR0Config, given, ""),
        **read_fields(XR0Config, own, "takt"),
    )


def own_block(data: Json) -> Json:
    """The `takt` block; a file without one has an empty one."""
    return block(data, "takt", optional=True)


def stored_contract(data: Json) -> Contract:
    """The contract in the `takt` block: one of `CONTRACTS` by name, or another field by field.

    Raises:
        MissingContractError: There is none.
        TaktError: It is unknown, lacks a field or has one of another type.
    """
    own = own_block(data)
    if "contract" not in own:
        raise MissingContractError(
            "config.json names no forward contract, and with the wrong one the attention mask and "
            "the action positions differ from training: silently wrong actions. " + HOW_TO_NAME_IT
        )
    names = {field.name for field in fields(Contract)}
    needed = {field.name for field in fields(Contract) if field.default is MISSING}
    match own["contract"]:
        case str() as name if name in CONTRACTS:
            return CONTRACTS[name]
        case dict() as given if needed <= given.keys() <= names:
            return build(Contract, given, "takt.contract")
    listed = ", ".join(field.name for field in fields(Contract))
    raise TaktError(
        f"config.json: expected takt.contract to be one of {', '.join(CONTRACTS)}, or an object of "
        f"{listed}; got {own['contract']!r}"
    )


def _text(data: Json) -> TextConfig:
    where = "vlm_config.text_config"
    style = next((key for key in ("rope_parameters", "rope_scaling") if data.get(key)), None)
    rotary = block(data, style, where) if style else {}
    given = {key: x for key, x in {**data, **rotary}.items() if key in _ROTARY}
    _require(_ROTARY, given, where)
    return build(TextConfig, {**data, **given}, where)


def _token_ids(vlm: Json) -> TokenIds:
    keys = {field.name: f"{field.name}_token_id" for field in fields(TokenIds)}
    _require(keys.values(), vlm, "vlm_config")
    ids = {name: value(f"vlm_config.{key}", vlm[key], int, 0) for name, key in keys.items()}
    return TokenIds(**ids)


def _require(names: Iterable[str], data: Json, where: str) -> None:
    if missing := [name for name in names if name not in data]:
        raise TaktError(f"config.json is not an XR-0 config: {where} lacks {', '.join(missing)}")
