"""`takt COMMAND`: imports a command's module only when it is asked for."""

import difflib
import errno
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from takt import __version__
from takt.commands import COMMANDS


def main(argv: list[str] | None = None) -> int:
    """Run `takt` with `argv` (default: the process's own arguments).

    Returns:
        0 when the command worked, 1 when what it checked is not right, 2 for an error that the
        user can mend, 130 when interrupted.
    """
    match sys.argv[1:] if argv is None else argv:
        case [] | ["-h" | "--help", *_]:
            print(_help())
            return 0
        case ["--version", *_]:
            print(f"takt {__version__}")
            return 0
        case [name, *rest] if name in COMMANDS:
            return _run(name, rest)
        case [name, *_]:
            print(_unknown(name), file=sys.stderr)
    return 2


def _run(name: str, argv: list[str]) -> int:
    try:
        return _run_to_the_end(name, argv)
    except KeyboardInterrupt:
        print(f"takt {name}: interrupted", file=sys.stderr)
        return 130


def _run_to_the_end(name: str, argv: list[str]) -> int:
    # Imported here: numpy and beartype are not worth their time for `takt --help`.
    with _leaving_at_once(name):
        from takt.types import TaktError

        command = importlib.import_module(f"takt.commands.{name}")

    try:
        return command.main(argv)
    except TaktError as error:
        print(f"takt {name}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            text = f"the disk is full ({error}); make room, run it again"
        elif isinstance(error, FileExistsError | NotADirectoryError):
            text = f"{error.filename} is a file, expected a folder; choose another path"
        elif error.filename is not None:
            text = f"cannot use {error.filename}: {error.strerror}; choose another path"
        else:
            raise
        print(f"takt {name}: {text}", file=sys.stderr)
        return 2


@contextmanager
def _leaving_at_once(name: str) -> Iterator[None]:
    """Inside, Ctrl-C ends the process: libraries may take an exception for a failed import."""

    def leave(number: int, frame: object) -> None:
        os.write(sys.stderr.fileno(), f"takt {name}: interrupted\n".encode())
        os._exit(130)  # nothing has begun yet

    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heard and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is leave:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            "usage: takt COMMAND [OPTIONS]",
            "",
            "A real-time vision-language-action stack.",
            "",
            "commands:",
            *lines,
            "",
            "`takt COMMAND --help` lists a command's options; `takt --version` prints the version.",
        ]
    )


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean `takt {near[0]}`?" if near else f"known: {', '.join(COMMANDS)}"
    return f"takt: unknown command {name!r}; {hint}"


if __name__ == "__main__":
    sys.exit(main())
