"""`takt COMMAND`: imports a command's module only when it is asked for."""

import difflib
import errno
import importlib
import sys

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
    # Imported here: numpy and beartype are not worth their time for `takt --help`.
    from takt.types import TaktError

    try:
        return importlib.import_module(f"takt.commands.{name}").main(argv)
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
    except KeyboardInterrupt:
        print(f"takt {name}: interrupted", file=sys.stderr)
        return 130


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
