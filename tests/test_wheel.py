"""The wheel carries its data and works beside the core dependencies alone."""

import re
import subprocess
import sys
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, cwd="/", env={}
    )


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = run(
        *(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return next(folder.glob("takt_vla-*.whl"))


def core_requirements(wheel: Path) -> list[str]:
    """Requirements of the wheel that no extra guards."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()
    found = [re.sub("^Requires-Dist: ", "", line) for line in lines if "Requires-Dist" in line]
    return [line for line in found if "extra ==" not in line]


def link_with_dependencies(requirement: str, site: Path, done: set[str]) -> None:
    """Link an installed distribution, and all that it needs, into `site`."""
    wanted = Requirement(requirement)
    if wanted.name in done or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
        return
    done.add(wanted.name)
    distribution = metadata.distribution(wanted.name)
    tops = {file.parts[0] for file in distribution.files or () if file.parts[0] != ".."}
    for top in tops - {"__pycache__"}:
        if not (site / top).exists():
            (site / top).symlink_to(Path(str(distribution.locate_file(top))))
    for further in distribution.requires or ():
        link_with_dependencies(further, site, done)


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory) -> Path:
    """The `bin` of an environment with the wheel and its core dependencies, and nothing else."""
    home = tmp_path_factory.mktemp("core")
    venv.create(home, symlinks=True, with_pip=False)
    python = home / "bin" / "python"
    offline = ("--no-deps", "--no-index", "--quiet")
    put = run(sys.executable, "-m", "pip", "--python", python, "install", *offline, wheel)
    assert put.returncode == 0, put.stderr
    site = next((home / "lib").glob("python*/site-packages"))
    for requirement in core_requirements(wheel):
        link_with_dependencies(requirement, site, set())
    return home / "bin"


def test_every_data_file_is_in_the_wheel(wheel):
    files = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "takt").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert "takt/py.typed" in files
    assert files - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_the_core_needs_no_torch(wheel):
    core = {Requirement(line).name for line in core_requirements(wheel)}
    assert "numpy" in core
    assert core.isdisjoint({"torch", "torchvision", "transformers", "mujoco", "av", "pyarrow"})


def test_import_without_extras(installed):
    code = "import takt, takt.types, takt.runtime; print(takt.__file__)"
    imported = run(installed / "python", "-I", "-c", code)
    assert imported.stderr == ""
    assert Path(imported.stdout.strip()).is_relative_to(installed.parent)


def test_help_without_extras(installed):
    helped = run(installed / "takt", "--help")
    assert helped.returncode == 0
    assert "usage: takt COMMAND" in helped.stdout


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (("shift", "--cycles", "1"), "sim|train|data"),
        (("record", "nut-station", "--episodes", "1"), "sim|data"),
        (("train", "nut-station"), "sim|train|data"),
    ],
)
def test_a_command_without_its_extra_names_it(installed, tmp_path, command, extra):
    out = () if command[0] == "train" else ("--out", tmp_path / "out")
    refused = run(installed / "takt", *command, *out)
    assert refused.returncode == 2
    assert re.search(rf"pip install '\.\[(({extra}),?)+\]'", refused.stderr), refused.stderr


def test_doctor_works_without_extras(installed):
    told = run(installed / "takt", "doctor")
    assert told.returncode == 0, told.stderr
    assert ".[sim]" in told.stdout
