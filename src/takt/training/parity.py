"""Hold the training stage against a recorded training case: losses, predictions, gradients."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from takt.policies.common.flow import noisy_time
from takt.policies.xr0.model import XR0
from takt.policies.xr0.parity import (
    TOLERANCE,
    Difference,
    ParityReport,
    compare,
    compare_case,
    require_tolerance,
    spread,
)
from takt.policies.xr0.parity_trace import trace_layout
from takt.policies.xr0.parity_variant import Variant
from takt.policies.xr0.weights import load_weights
from takt.training.flow_training import FlowTerms, FlowTraining
from takt.training.parity_case import TrainingCase, TrainingVariant


def check_training_parity(directory: Path, tolerance: float = TOLERANCE) -> ParityReport:
    """Run every recorded training run through `FlowTraining` and compare what was recorded.

    Args:
        directory: The case; its weights are loaded in float32.
        tolerance: Largest absolute difference, of gradients and of their norms too.

    Raises:
        TaktError: Not a training case, inputs are missing, the weights do not fit the config, or
            the tolerance is no finite number from 0 on.
    """
    require_tolerance(tolerance)
    training = TrainingCase.open(directory)
    model = load_weights(training.case.config, directory)
    report = compare_case(training.without_variants(), tolerance)
    differences = [*report.differences, *_compare_times(training, tolerance)]
    not_compared = list(report.not_compared)
    for variant in training.variants:
        computed, gradients = run_variant(model, training, variant)
        recorded = training.recorded(variant)
        known = {name: x for name, x in recorded.items() if name in computed}
        rows = len(computed["pred"])
        for name, x in known.items():
            found = spread(name, computed[name], x, rows)
            differences.append(compare(variant.label + name, x, found, tolerance))
        for name in recorded.keys() - known.keys():
            parameter = name.removeprefix("grad.")
            if name.startswith("grad.") and parameter in gradients:
                differences.append(_no_gradient(variant.label + name, tolerance))
            else:
                not_compared.append(variant.label + name)
        norms, unknown = _compare_norms(variant, gradients, tolerance)
        differences += norms
        not_compared += unknown
    return replace(
        report,
        differences=tuple(differences),
        not_compared=tuple(sorted(not_compared)),
        unused_inputs=tuple(training.unused_inputs),
    )


def run_variant(
    model: XR0, training: TrainingCase, variant: TrainingVariant
) -> tuple[dict[str, Tensor], dict[str, Tensor | None]]:
    """One forward and backward pass of the training stage.

    Returns:
        Tensors by recorded name, and every parameter's gradient, None where it gets none.
    """
    batch = training.batch(variant)
    draws = training.draws(variant, batch.actions)
    stage = FlowTraining(
        model,
        draws=variant.training_repeat,
        frozen=training.frozen(variant),
        objective=variant.objective,
    )
    model.zero_grad(set_to_none=True)
    terms = stage.terms(batch, draws)
    terms.loss.backward()
    with torch.no_grad():
        cache = model.encode(batch.inputs).repeat(variant.training_repeat)
        horizon = batch.actions.shape[1]
        layout = trace_layout(model, cache, horizon, draws.prefix_length, draws.hidden)
    trained = {id(p) for p in stage.trainable()}
    gradients = {name: p.grad if id(p) in trained else None for name, p in model.named_parameters()}
    found = {f"grad.{name}": x for name, x in gradients.items() if x is not None}
    clean = int(draws.prefix_length[0])
    return {**_tensors(terms, clean), **layout, **found}, gradients


def _tensors(terms: FlowTerms, clean: int) -> dict[str, Tensor]:
    """Under recorded names; the released trainer cuts its `clean` prefix rows off."""
    velocities = (terms.velocity, *terms.rollout)
    return {
        "loss": terms.loss,
        "loss_mse": terms.mse,
        "loss_freq": terms.frequency,
        "pred": terms.velocity[:, clean:],
        "target": terms.target[:, clean:],
        "loss_mask": terms.mask[:, clean:],
        "weight_raw": terms.raw_weight[:, clean:],
        **{f"velocity.{step}": velocity for step, velocity in enumerate(velocities)},
    }


def _compare_times(training: TrainingCase, tolerance: float) -> list[Difference]:
    """Flow times are the released law of their recorded draws."""
    case = training.case
    if "beta_u" not in case.inputs:
        return []
    tau, drawn = (case.need(name, Variant(), None) for name in ("tau", "beta_u"))
    return [compare("tau", tau, noisy_time(drawn), tolerance)]


def _compare_norms(
    variant: TrainingVariant, gradients: Mapping[str, Tensor | None], tolerance: float
) -> tuple[list[Difference], list[str]]:
    """Absolute differences of norms; no gradient must be none. Also: names of no parameter."""
    found, unknown = [], []
    for parameter, recorded in variant.grad_norms.items():
        name = f"{variant.label}grad_norm.{parameter}"
        if parameter not in gradients:
            unknown.append(name)
            continue
        gradient = gradients[parameter]
        if recorded is None and gradient is None:
            found.append(Difference(name=name, largest=0.0, tolerance=tolerance, note="none"))
        elif recorded is None or gradient is None:
            found.append(_no_gradient(name, tolerance))
        else:
            norm = torch.linalg.vector_norm(gradient.double())
            found.append(compare(name, torch.tensor(recorded), norm, tolerance))
    return found, unknown


def _no_gradient(name: str, tolerance: float) -> Difference:
    note = "a gradient on one side, none on the other"
    return Difference(name=name, largest=math.nan, tolerance=tolerance, note=note)
