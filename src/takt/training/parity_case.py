"""A case recorded in training mode: its runs, each by the settings in front of its tensors' names.

Axes: B sample, N = B times draws, T chunk step, D action dimension.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from takt.policies.xr0.json_fields import Json, block, value
from takt.policies.xr0.parity_case import INPUTS, Case
from takt.policies.xr0.parity_files import read_config
from takt.policies.xr0.parity_variant import Variant
from takt.training.batches import Batch
from takt.training.flow_draws import FlowDraws, hide
from takt.training.flow_objective import RELEASED, FlowObjective, FrequencyLoss, ReleasedHiding
from takt.training.flow_training import Frozen
from takt.types import TaktError

_TIMES, _BETA_DRAWS, _HIDING_DRAWS = "tau", "beta_u", "prefix_rand"
_TEXT_EMBEDDINGS = "vlm.model.language_model.embed_tokens.weight"
_DEFAULTS: Json = {
    "prefix_length": 0,
    "enable_freq": False,
    "training_repeat": 1,
    "prefix_mask_prob": ReleasedHiding().probability,
    "noise_rows": None,
    "action_mask": None,
}
_OF_THE_CASE = ("training_repeat", "prefix_mask_prob")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingVariant:
    """One recorded run, under the released trainer's names for its settings.

    Attributes:
        label: In front of its tensors' names, such as "async5.".
        prefix_length: Clean actions in front, the same for every row.
        enable_freq: Whether the frequency loss is added.
        training_repeat: Noise draws per sample.
        prefix_mask_prob: With which a prefix token was hidden.
        noise_rows: Rows of the recorded noise and flow times; None takes all.
        is_masked: Every action was masked out.
        grad_norms: Norm of each parameter's gradient; None where it got none.
    """

    label: str
    prefix_length: int
    enable_freq: bool
    training_repeat: int
    prefix_mask_prob: float
    noise_rows: tuple[int, ...] | None
    is_masked: bool
    grad_norms: Mapping[str, float | None]

    @property
    def objective(self) -> FlowObjective:
        """The released one; its laws of chance do not matter, since the draws are recorded."""
        return replace(RELEASED, frequency=FrequencyLoss() if self.enable_freq else None)

    @property
    def hiding(self) -> ReleasedHiding:
        """Which prefix tokens may have been hidden."""
        return ReleasedHiding(probability=self.prefix_mask_prob)

    @property
    def hidable(self) -> int:
        """Number of prefix tokens whose hiding was drawn."""
        return max(0, self.prefix_length - self.hiding.keep) if self.prefix_mask_prob else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCase:
    """An opened directory; `case` holds all but what only training records."""

    case: Case
    variants: tuple[TrainingVariant, ...]

    @classmethod
    def open(cls, directory: Path) -> "TrainingCase":
        """Read everything but the weights.

        Raises:
            TaktError: Not a case, not one of training, or a setting is unknown.
        """
        case = Case.open(directory)
        if not case.is_training:
            raise TaktError(
                f"{directory}: expected a case recorded in training mode, got one without flow "
                "times (tau) in inputs.safetensors; leave out --train"
            )
        return cls(case=case, variants=_variants(read_config(directory / "config.json")))

    def recorded(self, variant: TrainingVariant) -> dict[str, Tensor]:
        """Recorded tensors of one run by their name inside it."""
        start = len(variant.label)
        outputs = self.case.outputs.items()
        return {name[start:]: x for name, x in outputs if name.startswith(variant.label)}

    def without_variants(self) -> Case:
        """The case with the tensors that no run names: what the VLM computed once."""
        labels = tuple(variant.label for variant in self.variants)
        rest = {name: x for name, x in self.case.outputs.items() if not name.startswith(labels)}
        return replace(self.case, outputs=rest)

    def frozen(self, variant: TrainingVariant) -> Frozen:
        """The text embeddings, as in the released trainer, unless they have a gradient here."""
        has_gradient = f"grad.{_TEXT_EMBEDDINGS}" in self.recorded(variant)
        has_norm = variant.grad_norms.get(_TEXT_EMBEDDINGS) is not None
        return "nothing" if has_gradient or has_norm else "text_embeddings"

    @property
    def unused_inputs(self) -> list[str]:
        """Names in the inputs file that no run reads."""
        read = {_BETA_DRAWS}
        for variant in self.variants:
            names = {*INPUTS, _TIMES, *([_HIDING_DRAWS] if variant.hidable else [])}
            own = {variant.label + name for name in names} & self.case.inputs.keys()
            read |= own | {name for name in names if variant.label + name not in own}
        return [name for name in self.case.unused_inputs if name not in read]

    def batch(self, variant: TrainingVariant) -> Batch:
        """The samples; no step is padded.

        Raises:
            TaktError: An input is missing or has the wrong shape.
        """
        words, config = _words(variant), self.case.config
        prompt = self.case.run(words).prompt
        batch = len(prompt.input_ids)
        actions = self.case.need("action", words, batch, None, config.action_dim)
        state = self.case.need("state", words, batch, config.state_length, config.state_dim)
        return Batch(
            inputs=prompt,
            state=state,
            actions=actions,
            valid=torch.ones(actions.shape[:2], dtype=torch.bool),
            points=torch.zeros(batch, 0, 2),
            action_mask=self._action_mask(variant, actions),
        )

    def _action_mask(self, variant: TrainingVariant, actions: Tensor) -> Tensor:
        if variant.is_masked:
            return torch.zeros_like(actions)
        return self.case.need("action_mask", _words(variant), *actions.shape)

    def draws(self, variant: TrainingVariant, actions: Tensor) -> FlowDraws:
        """What chance had decided for `actions` (B, T, D).

        Raises:
            TaktError: An input is missing or has the wrong shape.
        """
        words, horizon = _words(variant), actions.shape[1]
        count = len(actions) * variant.training_repeat
        drawn = count if variant.noise_rows is None else None
        tau = self.case.need(_TIMES, words, drawn)
        noise = self.case.need("noise", words, len(tau), *actions.shape[1:])
        if variant.noise_rows is not None:
            tau, noise = (self._rows(x, variant, count) for x in (tau, noise))
        length = torch.full((count,), min(max(variant.prefix_length, 0), horizon))
        hidden = None
        if variant.hidable:
            uniform = self.case.need(_HIDING_DRAWS, words, None)
            if len(uniform) < variant.hidable:
                raise TaktError(
                    f"{self.case.directory}: {_HIDING_DRAWS}: expected at least {variant.hidable} "
                    f"draws for a prefix of {variant.prefix_length}, got {len(uniform)}"
                )
            hidden = hide(variant.hiding, uniform[None, : variant.hidable], length, horizon)
        return FlowDraws(
            tau=tau,
            noise=noise,
            prefix_length=length,
            hidden=hidden,
            is_prefixed=variant.prefix_length > 0,
        )

    def _rows(self, drawn: Tensor, variant: TrainingVariant, count: int) -> Tensor:
        rows = list(variant.noise_rows or ())
        if len(rows) != count or not all(0 <= row < len(drawn) for row in rows):
            raise TaktError(
                f"{self.case.directory}: variant {variant.label!r}: expected {count} noise_rows "
                f"in 0..{len(drawn) - 1}, got {rows}"
            )
        return drawn[rows]


def _words(variant: TrainingVariant) -> Variant:
    """The run's label for looking up inputs of its own."""
    return Variant(words=(variant.label.removesuffix("."),))


def _variants(config: Json) -> tuple[TrainingVariant, ...]:
    where = "fixture.variants"
    fixture = block(config, "fixture", optional=True)
    trainer = block(fixture, "xr0", "fixture", optional=True)
    variants = block(fixture, "variants", "fixture", optional=True)
    norms = block(fixture, "grad_norms", "fixture", optional=True)
    nameless = norms.keys() - variants.keys()
    if nameless:
        raise TaktError(
            f"config.json: grad_norms of {', '.join(sorted(nameless))}: expected names of variants "
            f"({', '.join(variants)}); name the run there too"
        )
    defaults = {name: trainer[name] for name in _OF_THE_CASE if name in trainer}
    return tuple(
        _variant(
            label,
            {**_DEFAULTS, **defaults},
            block(variants, label, where),
            _norms(label, block(norms, label, "fixture.grad_norms", optional=True)),
        )
        for label in variants
    )


def _norms(label: str, given: Json) -> dict[str, float | None]:
    where = f"fixture.grad_norms.{label}"
    return {name: value(f"{where}{name}", x, float | None, 0) for name, x in given.items()}


def _variant(
    label: str, defaults: Json, settings: Json, norms: Mapping[str, float | None]
) -> TrainingVariant:
    unknown = settings.keys() - defaults.keys()
    given = {**defaults, **settings}
    if unknown or given["action_mask"] not in (None, "zeros"):
        raise TaktError(
            f"config.json: variant {label!r}: expected the settings {', '.join(defaults)} "
            f'(action_mask only "zeros"), got {dict(settings)}'
        )

    def read(name: str, hint: Any, least: float = -math.inf) -> Any:  # noqa: ANN401
        return value(f"fixture.variants.{label}{name}", given[name], hint, least)

    return TrainingVariant(
        label=label,
        prefix_length=read("prefix_length", int),
        enable_freq=read("enable_freq", bool),
        training_repeat=read("training_repeat", int, 1),
        prefix_mask_prob=read("prefix_mask_prob", float, 0),
        noise_rows=None if given["noise_rows"] is None else read("noise_rows", tuple[int, ...], 0),
        is_masked=given["action_mask"] == "zeros",
        grad_norms=norms,
    )
