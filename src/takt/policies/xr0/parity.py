"""Hold an implementation of XR-0 against a recorded case, tensor by tensor."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from takt.policies.xr0 import parity_trace
from takt.policies.xr0.model import XR0
from takt.policies.xr0.parity_case import Case, Run
from takt.policies.xr0.parity_variant import Variant, split_name
from takt.policies.xr0.weights import load_weights

Trace = Callable[[XR0, Run], Mapping[str, Tensor]]
"""An implementation: from weights and inputs to tensors by recorded name."""

TOLERANCE = 1e-4
"""Absolute. Float32 against float64 of the released code differs by 5e-6 at most."""
BFLOAT16_TOLERANCE = 0.1
"""Absolute, where the whole model runs in bfloat16: that alone moves the actions by 0.04."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One recorded tensor; `largest` is NaN if either side holds NaN or the shapes differ."""

    name: str
    largest: float
    tolerance: float
    note: str = ""

    @property
    def is_within(self) -> bool:
        """Whether the tensor agrees."""
        return self.largest <= self.tolerance


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityReport:
    """All of a case.

    Attributes:
        contract: Name of the contract that it was recorded under.
        differences: From the images to the actions, variant by variant.
        not_compared: Recorded tensors that the implementation did not compute.
        unused_inputs: Recorded inputs that no run reads.
        is_training: Whether the case was recorded in training mode.
    """

    contract: str
    differences: tuple[Difference, ...]
    not_compared: tuple[str, ...]
    unused_inputs: tuple[str, ...]
    is_training: bool

    @property
    def passed(self) -> bool:
        """Every recorded tensor was compared and agrees."""
        return not self.not_compared and all(item.is_within for item in self.differences)

    @property
    def differs_in_flow_only(self) -> bool:
        """Vision and language agree and the action expert does not, as under a wrong contract."""
        wrong = [item.name for item in self.differences if not item.is_within]
        names = [item.name for item in self.differences]
        return bool(wrong) and any(map(_is_vlm, names)) and not any(map(_is_vlm, wrong))

    @property
    def largest(self) -> float:
        """Over all compared tensors; NaN if any of them is."""
        values = [item.largest for item in self.differences]
        return math.nan if any(map(math.isnan, values)) else max(values, default=0.0)


def check_parity(
    directory: Path, tolerance: float = TOLERANCE, trace: Trace = parity_trace.trace
) -> ParityReport:
    """Run every variant of a case and compare what was recorded.

    Args:
        directory: The case; its weights are loaded in float32.
        tolerance: Largest absolute difference; variants in bfloat16 have at least their own.
        trace: The implementation to check; one that gives fewer tensors leaves them uncompared.

    Raises:
        TaktError: Not a case, inputs are missing, or the weights do not fit the config.
    """
    return compare_case(Case.open(directory), tolerance, trace)


def compare_case(
    case: Case, tolerance: float = TOLERANCE, trace: Trace = parity_trace.trace
) -> ParityReport:
    """`check_parity` of an opened case."""
    model = load_weights(case.config, case.directory)
    differences, not_compared = _compare_images(case, tolerance), []
    # Weights are rounded in place, for the sake of memory: bfloat16 comes last.
    variants = case.variants().items()
    for variant, recorded in sorted(
        variants, key=lambda item: (_is_rounded(item[0]), item[0].label)
    ):
        run = case.run(variant)
        # Contract and rotary precision are read at run time; no weight depends on them.
        model.config = run.config
        computed = trace(model.to(run.dtype), run)
        real = run.prompt.attention_mask
        limit = max(tolerance, BFLOAT16_TOLERANCE) if _is_rounded(variant) else tolerance
        differences += [
            compare(variant.label + name, recorded[name], tensor, limit, _padding(name, real))
            for name, tensor in computed.items()
            if name in recorded
        ]
        not_compared += [variant.label + name for name in recorded if name not in computed]
    return ParityReport(
        contract=case.config.contract.name,
        differences=tuple(differences),
        not_compared=tuple(sorted(not_compared)),
        unused_inputs=tuple(case.unused_inputs),
        is_training=case.is_training,
    )


def _is_vlm(name: str) -> bool:
    return split_name(name)[1].startswith("vlm.")


def _is_rounded(variant: Variant) -> bool:
    return variant.dtype == torch.bfloat16


def _compare_images(case: Case, tolerance: float) -> list[Difference]:
    packed = case.packed_images()
    if packed is None:
        return []
    return [compare("pixel_values", case.inputs["pixel_values"], packed, tolerance)]


def _padding(name: str, real: Tensor | None) -> Tensor | None:
    """Where a tensor along the prompt stands on padding, which no token ever reads."""
    if real is None or not name.startswith(("vlm.k.", "vlm.v.", "vlm.position_ids")):
        return None
    padding = ~real.bool()
    return padding if name == "vlm.position_ids" else padding[:, None, :, None]


def compare(
    name: str,
    recorded: Tensor,
    computed: Tensor,
    tolerance: float,
    padding: Tensor | None = None,
) -> Difference:
    """Largest absolute difference, but where `padding` is True; one computed row serves all."""
    rows_fit = computed.shape[:1] in (recorded.shape[:1], (1,)) and computed.ndim == recorded.ndim
    if not rows_fit or recorded.shape[1:] != computed.shape[1:]:
        note = f"recorded shape {tuple(recorded.shape)}, computed {tuple(computed.shape)}"
        return Difference(name=name, largest=math.nan, tolerance=tolerance, note=note)
    distance = (recorded.double() - computed.double()).abs()
    if padding is not None:
        distance = distance.masked_fill(padding, 0)
    largest = distance.max().item() if distance.numel() else 0.0
    note = "not a number" if math.isnan(largest) else ""
    return Difference(name=name, largest=largest, tolerance=tolerance, note=note)
