"""Next-token prediction on conversations about images (paper section 2.2, step 1)."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from takt.datasets.vision_language_set import VisionLanguageSet
from takt.policies.common.flow import masked_mean
from takt.policies.xr0.checkpoint import Checkpoint
from takt.policies.xr0.config import XR0Config
from takt.policies.xr0.conversation import Dialogues, dialogues
from takt.policies.xr0.images import fit_size
from takt.policies.xr0.model import XR0
from takt.training.parallel import gathered
from takt.training.shards import WHOLE, Shard
from takt.training.stage import Stage
from takt.types import Conversation

Converse = Callable[[np.random.Generator], Conversation]
"""Makes or finds one conversation."""


@dataclass(frozen=True, slots=True)
class DialogueBatch:
    """Part `shard` of a step's conversations."""

    dialogues: Dialogues
    shard: Shard = WHOLE

    def to(self, device: torch.device) -> "DialogueBatch":
        """The same on `device`."""
        return replace(self, dialogues=self.dialogues.to(device))


class Conversations:
    """Draws batches of conversations, each from a seed of its own."""

    def __init__(self, converse: Converse, config: XR0Config, tokenizer: Tokenizer) -> None:
        self._converse, self._config, self._tokenizer = converse, config, tokenizer

    def draw(self, size: int, generator: torch.Generator, shard: Shard = WHOLE) -> DialogueBatch:
        """`size` conversations, of which those of `shard` are made."""
        seeds = torch.randint(2**63 - 1, (size,), generator=generator)[shard.deal(size)].tolist()
        # Seeds of scenes are single numbers: a pair never draws one that is tested on.
        drawn = [self._converse(np.random.default_rng((seed, 1))) for seed in seeds]
        return DialogueBatch(dialogues(drawn, self._config, self._tokenizer), shard)


def open_conversations(
    paths: Sequence[Path], start: Checkpoint, *, skip_bad: bool = False
) -> VisionLanguageSet | None:
    """The rows of vision-language sets, each drawn equally often; None without a path.

    Damaged is also what `start` cannot look at or read.

    Raises:
        DatasetError: there is no such set.
    """
    if not paths:
        return None
    special = [token.content for token in start.tokenizer.get_added_tokens_decoder().values()]
    require = partial(_require_sides, start.model.config)
    return VisionLanguageSet.open(paths, skip_bad=skip_bad, reserved=special, require=require)


def share_skipped(found: VisionLanguageSet | None) -> None:
    """Every rank knows what any of them left out: each draws rows of its own."""
    if found is not None:
        for skipped in gathered(json.dumps(list(found.skipped.items()))):
            found.skipped |= dict(json.loads(skipped))


def _require_sides(config: XR0Config, conversation: Conversation) -> None:
    for image in conversation.images:
        height, width, _ = image.shape
        fit_size(height, width, config)


class VisionLanguage(Stage[DialogueBatch]):
    """The VLM alone."""

    def __init__(self, policy: XR0) -> None:
        super().__init__()
        self.policy = policy

    def trainable(self) -> list[nn.Parameter]:
        """The VLM."""
        return list(self.policy.vlm.parameters())

    def losses(self, batch: DialogueBatch, generator: torch.Generator) -> dict[str, Tensor]:
        """`loss`, and `first`: that of the first token of each answer.

        Later turns can be guessed from earlier ones: neither measures how one question is answered.
        """
        spoken = batch.dialogues.spoken
        error = next_token_errors(self.policy, batch.dialogues)
        first = spoken & ~functional.pad(spoken, (1, 0))[:, :-1]
        return {
            "loss": _mean(error, spoken, batch.shard),
            "first": _mean(error.detach(), first, batch.shard),
        }


def dialogue_loss(policy: XR0, batch: DialogueBatch) -> Tensor:
    """Mean cross-entropy of the answers' tokens."""
    errors = next_token_errors(policy, batch.dialogues)
    return _mean(errors, batch.dialogues.spoken, batch.shard)


def with_words(
    losses: dict[str, Tensor], policy: XR0, conversations: DialogueBatch | None, weight: float
) -> dict[str, Tensor]:
    """A stage's losses, with that of the conversations beside its frames where there are some.

    `weight` multiplies it in the sum; `frames` is what they had without.
    """
    if conversations is None:
        return losses
    words = dialogue_loss(policy, conversations)
    frames = losses["loss"]
    return {**losses, "loss": frames + weight * words, "frames": frames, "words": words}


def next_token_errors(policy: XR0, batch: Dialogues) -> Tensor:
    """(B, S) cross-entropy of each spoken token given all before it; 0 on the others."""
    ids, spoken = batch.inputs.input_ids, batch.spoken
    start = int(spoken.any(0).nonzero()[0])  # nothing before the first answer is predicted
    output = policy.run_language(batch.inputs, tail=ids.shape[1] - start + 1)
    assert output.hidden is not None
    table = policy.vlm.model.language_model.embed_tokens.weight
    logits = functional.linear(output.hidden[:, :-1], table).float()
    targets = ids[:, start:].masked_fill(~spoken[:, start:], -100)
    errors = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    return functional.pad(errors.view(targets.shape), (start, 0))


def _mean(error: Tensor, where: Tensor, shard: Shard) -> Tensor:
    mask = where.float()
    return masked_mean(error, mask, shard.visible(mask))
