"""A VLM that begins as a Qwen3-VL of the same size: its weights and its tokenizer."""

from pathlib import Path

import torch
from tokenizers import Tokenizer

from takt.policies.xr0.checkpoint import TOKENIZER, read_tokenizer
from takt.policies.xr0.model import XR0
from takt.policies.xr0.weights import check_keys, read_weights

_VLM = "vlm."
_HEAD = "vlm.lm_head.weight"  # XR-0's is its token table


@torch.no_grad()
def load_backbone(model: XR0, folder: Path) -> Tokenizer:
    """Copy a Qwen3-VL's weights into `model.vlm` and return its tokenizer.

    Args:
        model: Its other parts stay as they are.
        folder: As transformers writes a `Qwen3VLForConditionalGeneration`.

    Raises:
        CheckpointError: a file is missing or broken, or the weights are not of the model's size.
    """
    tokenizer = read_tokenizer(folder / TOKENIZER)
    found = {_VLM + name: tensor for name, tensor in read_weights(folder).items()}
    found.pop(_HEAD, None)
    rest = {name: x for name, x in model.state_dict().items() if not name.startswith(_VLM)}
    check_keys(model, rest | found)
    model.load_state_dict(found, strict=False)
    return tokenizer
