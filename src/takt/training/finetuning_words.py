"""Vision-language rows beside the frames of a fine-tuning run."""

from takt.datasets.vision_language_set import VisionLanguageSet
from takt.policies.xr0.checkpoint import Checkpoint
from takt.training.batches import Batch, Batcher
from takt.training.finetune_config import FinetuneConfig
from takt.training.mixture import CoTraining
from takt.training.stage import Source
from takt.training.vision_language import Conversations


def open_conversations(config: FinetuneConfig, checkpoint: Checkpoint) -> VisionLanguageSet | None:
    """The run's vision-language set; None where it has none.

    Raises:
        DatasetError: there is no such set.
    """
    if not config.conversations:
        return None
    special = checkpoint.tokenizer.get_added_tokens_decoder().values()
    return VisionLanguageSet.open(
        config.conversations,
        skip_bad=config.skip_bad,
        reserved=[token.content for token in special],
    )


def with_conversations(
    batcher: Batcher,
    found: VisionLanguageSet | None,
    config: FinetuneConfig,
    checkpoint: Checkpoint,
) -> Source[Batch]:
    """Batches of frames, with conversations beside them where there are some."""
    if found is None:
        return batcher
    talk = Conversations(found.draw, checkpoint.model.config, checkpoint.tokenizer)
    return CoTraining(batcher, talk, config.frames_per_conversation)
