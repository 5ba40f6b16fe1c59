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
from takt.policies.xr0.parity_files import REAL_DTYPES
from takt.policies.xr0.parity_variant import Variant, split_name
from takt.policies.xr0.weights import load_weights
from takt.types import TaktError

Trace = Callable[[XR0, Run], Mapping[str, Tensor]]
"""An implementation: from weights and inputs to tensors by recorded name."""

TOLERANCE = 1e-4
"""Absolute. Float32 against float64 of the released code differs by 5e-6 at most."""
BFLOAT16_TOLERANCE = 0.1
"""Absolute, where the whole model runs in bfloat16: that alone moves the actions by 0.04."""
_ONE_FOR_ALL = ("dit.attn_mask", "mask_from_stats")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One recorded tensor; `largest` is no finite number, and `note` says why, if none could be."""

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
        """There are recorded tensors; each was compared and agrees."""
        agree = [item.is_within for item in self.differences]
        return bool(agree) and all(agree) and not self.not_compared

    @property
    def differs_in_flow_only(self) -> bool:
        """Vision and language agree and the action expert does not, as under a wrong contract."""
        wrong = [item for item in self.differences if not item.is_within]
        # A shape or a NaN tells of the recording, not of the contract.
        differs = any(not item.note for item in wrong)
        seen = any(_is_vlm(item.name) for item in self.differences)
        return differs and seen and not any(_is_vlm(item.name) for item in wrong)

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
        TaktError: Not a case, inputs are missing, the weights do not fit the config, or the
            tolerance is no finite number from 0 on.
    """
    return compare_case(Case.open(directory), tolerance, trace)


def compare_case(
    case: Case, tolerance: float = TOLERANCE, trace: Trace = parity_trace.trace
) -> ParityReport:
    """`check_parity` of an opened case."""
    require_tolerance(tolerance)
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
        batch = len(run.prompt.input_ids)
        for name, tensor in computed.items():
            if name in recorded:
                found = spread(name, tensor, recorded[name], batch)
                padding = _padding(name, real)
                label = variant.label + name
                differences.append(compare(label, recorded[name], found, limit, padding))
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
    recorded = case.need("pixel_values", Variant(), None, None)
    return [compare("pixel_values", recorded, packed, tolerance)]


def _padding(name: str, real: Tensor | None) -> Tensor | None:
    """Where a tensor along the prompt stands on padding, which no token ever reads."""
    if real is None or not name.startswith(("vlm.k.", "vlm.v.", "vlm.position_ids")):
        return None
    padding = ~real.bool()
    return padding if name == "vlm.position_ids" else padding[:, None, :, None]


def require_tolerance(tolerance: float) -> None:
    """Raise a `TaktError` unless a difference can be held against `tolerance`."""
    if not 0 <= tolerance < math.inf:
        raise TaktError(
            f"tolerance: expected a finite number from 0 on, got {tolerance}; give --tol 1e-4"
        )


def spread(name: str, computed: Tensor, recorded: Tensor, batch: int) -> Tensor:
    """A mask that was computed once for all samples, as it is recorded for each of the batch."""
    rows = computed.shape[:1], recorded.shape[:1]
    if name in _ONE_FOR_ALL and rows == ((1,), (batch,)):
        return computed.expand(batch, *computed.shape[1:])
    return computed


def compare(
    name: str,
    recorded: Tensor,
    computed: Tensor,
    tolerance: float,
    padding: Tensor | None = None,
) -> Difference:
    """Largest absolute difference, but where `padding` is True."""
    if fault := _fault(recorded, computed):
        return Difference(name=name, largest=math.nan, tolerance=tolerance, note=fault)
    distance = (recorded.double() - computed.double()).abs()
    if padding is not None:
        distance = distance.masked_fill(padding, 0)
    largest = distance.max().item()
    note = "" if math.isfinite(largest) else "not a number" if math.isnan(largest) else "infinite"
    return Difference(name=name, largest=largest, tolerance=tolerance, note=note)


def _fault(recorded: Tensor, computed: Tensor) -> str:
    """Why no difference can be taken; nothing if one can."""
    for side, tensor in (("recorded", recorded), ("computed", computed)):
        if tensor.dtype not in REAL_DTYPES:
            return f"expected real numbers, {side} {tensor.dtype}"
    if recorded.shape != computed.shape:
        return f"recorded shape {tuple(recorded.shape)}, computed {tuple(computed.shape)}"
    return "" if recorded.numel() else "no numbers recorded"
