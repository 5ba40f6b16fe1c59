"""`takt doctor`: what works on this machine, and how to mend the rest."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from takt.doctor import CHECKS, Check

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Try the renderer, the GPU, real-time priority and the video codec of this machine."""

    json: bool = False
    """Print one JSON object instead of the table."""


def main(argv: list[str]) -> int:
    """Run every check; the status is 0 whatever they find."""
    import tyro

    config = tyro.cli(Config, args=argv, prog="takt doctor")
    checks = [check() for check in CHECKS]
    if config.json:
        ready = all(check.status != "fail" for check in checks)
        print(json.dumps({"ready": ready, "checks": [asdict(check) for check in checks]}))
    else:
        _print_table(checks)
    return 0


def _print_table(checks: Sequence[Check]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("check", "status", "found"):
        table.add_column(heading, overflow="fold")
    for check in checks:
        advice = f"\n[dim]→ {escape(check.advice)}[/dim]" if check.advice else ""
        status = f"[{COLOURS[check.status]}]{check.status}[/]"
        table.add_row(check.name, status, escape(check.found) + advice)
    Console().print(table)
