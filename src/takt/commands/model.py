"""`takt model`: look into checkpoints, and hold them against recorded numbers."""

import json as json_format
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import FlagCreatePairsOff, Positional, subcommand

from takt.extras import require_extra

if TYPE_CHECKING:
    from takt.policies.xr0.inspection import Body, Inspection
    from takt.policies.xr0.parity import ParityReport


@dataclass(frozen=True)
class Inspect:
    """Show a checkpoint's sizes, forward contract and bodies; its weights are not loaded."""

    directory: Positional[Path]
    """The checkpoint's folder, ours or released."""

    json: bool = False
    """Print one JSON object instead of tables."""


@dataclass(frozen=True)
class Parity:
    """Run the model on recorded inputs and compare every recorded tensor.

    The folder holds config.json, model.safetensors, inputs.safetensors and outputs.safetensors.
    Exit status 1: a tensor is above the tolerance, or was recorded and not compared.
    """

    directory: Positional[Path]
    """The recorded case's folder."""

    tol: float = 1e-4
    """Largest absolute difference; tensors of bfloat16 runs may differ by 0.1."""

    train: bool = False
    """Run a case recorded in training mode: losses, weights, predictions, gradients and their norms
    (in absolute difference, too)."""

    json: bool = False
    """Print one JSON object instead of lines."""


Command = Annotated[Inspect, subcommand("inspect")] | Annotated[Parity, subcommand("parity")]


def main(argv: list[str]) -> int:
    """Run `takt model` with its own arguments.

    Returns:
        0, or 1 when `parity` did not pass.

    Raises:
        TaktError: no checkpoint or recorded case there, damaged files, or an extra is missing.
    """
    command = tyro.cli(Command, args=argv, prog="takt model", config=(FlagCreatePairsOff,))
    require_extra("train", "takt model")
    match command:
        case Inspect():
            return _inspect(command)
        case Parity():
            return _parity(command)


def _parity(command: Parity) -> int:
    from takt.policies.xr0.parity import check_parity
    from takt.training.parity import check_training_parity

    check = check_training_parity if command.train else check_parity
    report = check(command.directory, command.tol)
    if command.json:
        print(json_format.dumps({"directory": str(command.directory), **_parity_json(report)}))
    else:
        _print_parity(report)
    for item in report.differences:
        if not item.is_within:
            reason = item.note or f"differs by {item.largest:.2e}, more than {item.tolerance:g}"
            print(f"takt model: {item.name}: {reason}", file=sys.stderr)
    if report.differs_in_flow_only:
        print(
            "takt model: vision and language agree, the action expert does not: was this recorded "
            f"under another contract than {report.contract!r}? A wrong one changes which actions "
            "see each other and where they stand",
            file=sys.stderr,
        )
    if report.not_compared:
        reason = (
            "this is a training case, to be run with --train"
            if report.is_training and not command.train
            else "takt does not know these recorded tensors"
        )
        names = "\n  ".join(report.not_compared)
        print(f"takt model: {reason}; not compared:\n  {names}", file=sys.stderr)
    return 0 if report.passed else 1


def _parity_json(report: "ParityReport") -> dict[str, Any]:
    return {
        "contract": report.contract,
        "passed": report.passed,
        "largest": _finite(report.largest),
        "tensors": [
            {
                "name": item.name,
                "difference": _finite(item.largest),
                "tolerance": item.tolerance,
                "within": item.is_within,
                "note": item.note,
            }
            for item in report.differences
        ],
        "not_compared": list(report.not_compared),
        "unused_inputs": list(report.unused_inputs),
    }


def _finite(number: float) -> float | None:
    """JSON knows no NaN and no infinity."""
    return number if math.isfinite(number) else None


def _print_parity(report: "ParityReport") -> None:
    width = max((len(item.name) for item in report.differences), default=0)
    print(f"{'tensor':<{width}}  largest difference  tolerance   ({report.contract})")
    for item in report.differences:
        verdict = "" if item.is_within else "  <- above"
        print(f"{item.name:<{width}}  {item.largest:18.2e}  {item.tolerance:9.0e}{verdict}")
    above = sum(not item.is_within for item in report.differences)
    print(
        f"{'passed' if report.passed else 'failed'}: {len(report.differences)} tensors compared, "
        f"{above} above tolerance, {len(report.not_compared)} not compared"
    )
    if report.unused_inputs:
        print(f"recorded inputs that no run reads: {', '.join(report.unused_inputs)}")


def _inspect(command: Inspect) -> int:
    from takt.policies.xr0.inspection import inspect

    inspection = inspect(command.directory)
    if command.json:
        print(json_format.dumps(_inspection_json(inspection)))
    else:
        _print_inspection(inspection)
    return 0


def _inspection_json(inspection: "Inspection") -> dict[str, Any]:
    config, contract = inspection.config, inspection.contract
    return {
        "directory": str(inspection.directory),
        "parameters": inspection.total.parameters,
        "bytes": inspection.total.bytes,
        "parts": [asdict(part) for part in inspection.parts],
        "contract": None if contract is None else asdict(contract),
        "flow_steps": config.flow_steps,
        "rotary": config.rotary,
        "image_rule": config.image_rule,
        "image_pixels": config.image_pixels,
        "state": [config.state_length, config.state_dim],
        "action_dim": config.action_dim,
        "bodies": {
            body.name: {
                "horizon": body.horizon,
                "execute_horizon": body.execute_horizon,
                "state_normalised": body.state_normalised,
                "active": [column.index for column in body.columns],
                "columns": [asdict(column) for column in body.columns],
            }
            for body in inspection.bodies
        },
    }


def _print_inspection(inspection: "Inspection") -> None:
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    config, text, dit = inspection.config, inspection.config.text, inspection.config.dit
    layers = config.kv_layers
    grid = Table.grid(padding=(0, 2))
    for name, value in (
        ("checkpoint", str(inspection.directory)),
        ("vision", f"{config.vision.depth} layers x {config.vision.hidden_size}"),
        ("language", f"{text.num_hidden_layers} layers x {text.hidden_size}"),
        (
            "DiT",
            f"{dit.num_hidden_layers} layers x {dit.hidden_size}, "
            f"reads language layers {layers[0]}-{layers[-1]}",
        ),
        ("state, action", f"{config.state_length} x {config.state_dim}, {config.action_dim} wide"),
        ("contract", inspection.contract_text),
        ("flow steps", str(config.flow_steps)),
        ("rotary", config.rotary),
        ("images", inspection.image_text),
    ):
        grid.add_row(name, Text(value))
    parts = Table(
        "part", *(Column(name, justify="right") for name in ("parameters", "MB")), "dtype"
    )
    for part in (*inspection.parts, inspection.total):
        dtypes = ", ".join(part.dtypes)
        parts.add_row(part.name, f"{part.parameters:,}", f"{part.bytes / 1e6:,.1f}", dtypes)
    console = Console()
    console.print(grid, parts)
    if not inspection.bodies:
        console.print("bodies: none; no preprocessor_config.json with action statistics here")
    for body in inspection.bodies:
        _print_body(body)


def _print_body(body: "Body") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    state = "normalised" if body.state_normalised else "raw"
    Console().print(
        Text(
            f"{body.name}: T = {body.horizon}, T_e = {body.execute_horizon}, "
            f"{len(body.columns)} of {body.width} action dims active, state {state}"
        )
    )
    table = Table("column", "mean over T: min", "max", "std over T: min", "max")
    for column in body.columns:
        values = (column.mean_min, column.mean_max, column.std_min, column.std_max)
        table.add_row(str(column.index), *(f"{value:.4g}" for value in values))
    Console().print(table)
