"""`takt eval`: what a policy can do on public benchmarks, and what training left of it."""

import sys
from typing import Annotated

import tyro
from tyro.conf import FlagCreatePairsOff, subcommand

from takt.commands.eval_forgetting import Forgetting, run_forgetting
from takt.commands.eval_vl import Vl, run_vl

Command = Annotated[Vl, subcommand("vl")] | Annotated[Forgetting, subcommand("forgetting")]


def main(argv: list[str]) -> int:
    """Run `takt eval` with its own arguments."""
    command = tyro.cli(Command, args=argv, prog="takt eval", config=(FlagCreatePairsOff,))
    try:
        match command:
            case Vl():
                return run_vl(command)
            case Forgetting():
                return run_forgetting(command)
    except KeyboardInterrupt:
        print("takt eval: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
