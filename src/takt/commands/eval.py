"""`takt eval`: what a policy can do on public benchmarks, and what training left of it."""

import sys
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

import tyro
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, subcommand

from takt.benchmarks.suites.aloha import Aloha
from takt.benchmarks.suites.calvin import Calvin
from takt.benchmarks.suites.libero import Libero
from takt.benchmarks.suites.metaworld import Metaworld
from takt.benchmarks.suites.simpler import Simpler
from takt.commands.eval_compare import Compare, run_compare
from takt.commands.eval_forgetting import Forgetting, run_forgetting
from takt.commands.eval_suite import Options, run_suite
from takt.commands.eval_vl import Vl, run_vl

Suite = TypeVar("Suite", Aloha, Calvin, Libero, Metaworld, Simpler)


@dataclass(frozen=True, slots=True, kw_only=True)
class Play(Generic[Suite]):
    """Play a public benchmark by its protocol; the same command resumes what was interrupted."""

    suite: Suite
    run: Options


Command = (
    Annotated[Play[Aloha], subcommand("aloha")]
    | Annotated[Play[Calvin], subcommand("calvin")]
    | Annotated[Play[Libero], subcommand("libero")]
    | Annotated[Play[Metaworld], subcommand("metaworld")]
    | Annotated[Play[Simpler], subcommand("simpler")]
    | Annotated[Compare, subcommand("compare")]
    | Annotated[Vl, subcommand("vl")]
    | Annotated[Forgetting, subcommand("forgetting")]
)


def main(argv: list[str]) -> int:
    """Run `takt eval` with its own arguments."""
    config = (FlagCreatePairsOff, OmitArgPrefixes)
    command = tyro.cli(Command, args=argv, prog="takt eval", config=config)
    try:
        match command:
            case Play(suite=suite, run=options):
                return run_suite(suite, options)
            case Compare():
                return run_compare(command)
            case Vl():
                return run_vl(command)
            case Forgetting():
                return run_forgetting(command)
    except KeyboardInterrupt:
        print("takt eval: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
