"""`takt COMMAND` finds commands, suggests them, and turns errors into exit statuses."""

import errno
import os
import subprocess
import sys
from importlib.util import find_spec
from types import ModuleType

import pytest
from interrupts import hear_interrupts

from takt import __version__
from takt.cli import main
from takt.commands import COMMANDS
from takt.types import TaktError


@pytest.fixture
def fake_command(monkeypatch):
    """Registers a command `fake` that does what it is told."""

    def register(action):
        module = ModuleType("takt.commands.fake")
        module.main = action  # pyright: ignore[reportAttributeAccessIssue]
        monkeypatch.setitem(COMMANDS, "fake", "does as told")
        monkeypatch.setitem(sys.modules, "takt.commands.fake", module)

    return register


def raising(error):
    def action(argv):
        raise error

    return action


def test_a_file_where_a_folder_is_expected_is_called_one(fake_command, tmp_path, capsys):
    (tmp_path / "README.md").touch()
    fake_command(lambda argv: (tmp_path / "README.md").mkdir())
    assert main(["fake"]) == 2
    assert "README.md is a file, expected a folder" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_help_lists_every_command(argv, capsys):
    assert main(argv) == 0
    text = capsys.readouterr().out
    for name, summary in COMMANDS.items():
        assert f"{name} " in text
        assert summary in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_module(name):
    assert find_spec(f"takt.commands.{name}") is not None


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"takt {__version__}\n"


def test_a_misspelt_command_suggests_the_nearest(capsys):
    assert main(["shfit", "--cycles", "3"]) == 2
    assert "did you mean `takt shift`" in capsys.readouterr().err


def test_a_strange_command_lists_the_known(capsys):
    assert main(["zzz"]) == 2
    error = capsys.readouterr().err
    assert all(name in error for name in COMMANDS)


def test_a_command_gets_its_own_arguments_and_gives_the_status(fake_command):
    fake_command(lambda argv: len(argv))
    assert main(["fake", "--json", "x", "y"]) == 3


def test_an_error_of_the_user_is_one_line_and_status_2(fake_command, capsys):
    fake_command(raising(TaktError("expected a dataset, got a fish; give a folder")))
    assert main(["fake"]) == 2
    message = capsys.readouterr().err
    assert message == "takt fake: expected a dataset, got a fish; give a folder\n"


def test_a_full_disk_is_told(fake_command, capsys):
    fake_command(raising(OSError(errno.ENOSPC, "No space left on device")))
    assert main(["fake"]) == 2
    assert "disk is full" in capsys.readouterr().err


def test_other_faults_keep_their_traceback(fake_command):
    fake_command(raising(OSError(errno.EIO, "broken cable")))
    with pytest.raises(OSError, match="broken cable"):
        main(["fake"])


def test_ctrl_c_is_130(fake_command):
    fake_command(raising(KeyboardInterrupt()))
    assert main(["fake"]) == 130


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from takt.cli import main; main(['--help']);"
        "print({'numpy', 'tyro', 'rich', 'torch'} & set(sys.modules), file=sys.stderr)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stderr == "set()\n"


def test_ctrl_c_while_a_library_is_imported_is_no_failed_import(tmp_path):
    (tmp_path / "slow.py").write_text(
        "import os, signal\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "except KeyboardInterrupt:\n    raise ImportError('could not import datetime')\n"
    )
    code = (
        "import sys; from takt import cli, commands\n"
        "commands.__path__.append(sys.argv[1]); commands.COMMANDS['slow'] = ''\n"
        "raise SystemExit(cli.main(['slow']))"
    )
    argv = [sys.executable, "-c", code, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        preexec_fn=hear_interrupts,
    )
    assert (done.returncode, done.stderr) == (130, "takt slow: interrupted\n")
