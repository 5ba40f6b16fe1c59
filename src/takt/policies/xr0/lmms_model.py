"""A policy's backbone as a model of lmms-eval 0.7, found by its entry point `takt_xr0`.

    pip install '.[lmms]' && pip install --no-deps lmms-eval==0.7.3
    lmms-eval --model takt_xr0 --model_args checkpoint=DIR --tasks pope

Without --no-deps pip would bring torchvision, whose wheel breaks transformers on a CPU torch.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from lmms_eval.api.instance import Instance  # pyright: ignore[reportMissingModuleSource]
from lmms_eval.api.model import lmms  # pyright: ignore[reportMissingModuleSource]
from lmms_eval.models.registry_v2 import ModelManifest  # pyright: ignore[reportMissingModuleSource]
from rich.progress import track

from takt.types import TaktError

ANSWER_TOKENS = 128  # of a task that names no limit of its own


def manifest() -> ModelManifest:
    """What the entry point of the group `lmms_eval.models` gives."""
    return ModelManifest("takt_xr0", simple_class_path=f"{__name__}.TaktXR0")


class TaktXR0(lmms):
    """Answers greedily, one prompt at a time, images before the text."""

    is_simple = True

    def __init__(
        self,
        checkpoint: str,
        batch_size: int | str = 1,
        device: str | None = None,
        max_batch_size: int | None = None,
    ) -> None:
        """Open `checkpoint`; batches and devices, which lmms-eval always names, are our own choice.

        Raises:
            TaktError: the folder holds no checkpoint.
        """
        super().__init__()
        from pathlib import Path

        from takt.policies.xr0.chat import Chat  # lmms-eval loads every plug-in to list its models

        self._chat = Chat.load(Path(checkpoint))

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """A reply for each request, cut before the first of its task's stop texts.

        An empty line is none, as in lmms-eval's own Qwen models: a reply may have paragraphs.
        """
        return [self._reply(request) for request in track(requests, description="takt_xr0")]

    def _reply(self, request: Instance) -> str:
        prompt, options, doc_to_visual, number, task, split = request.args
        visuals = doc_to_visual(self.task_dict[task][split][number])
        images = [np.array(image.convert("RGB")) for image in visuals]
        tokens = options.get("max_new_tokens") or ANSWER_TOKENS
        reply = "".join(self._chat.answer(self._chat.prompt(images, prompt), tokens))
        for stop in _stops(options.get("until")):
            reply = reply.split(stop)[0]
        return reply

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """Not offered: the backbone answers in words."""
        raise TaktError("takt_xr0 answers tasks of output_type generate_until only; choose one")

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> list[str]:
        """Not offered: one question and its answer at a time."""
        raise TaktError("takt_xr0 has conversations of one round only; choose another task")


def _stops(until: str | Sequence[str] | None) -> Iterator[str]:
    stops = [until] if isinstance(until, str) else until or ()
    yield from (stop for stop in stops if stop not in ("", "\n\n"))
