"""The environment of each suite: its simulator's pins never meet ours (DESIGN.md, decision 10).

Pins are those that worked together (reference simulators.md, section 1). takt itself is put on the
environment's path, not installed, and its core needs no more than `CORE`.
"""

import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from takt.benchmarks.suites.suite import SuiteError

CORE = ("jaxtyping>=0.3", "beartype>=0.20", "msgpack>=1.1", "websockets>=15")

_BOOT = """
import importlib, importlib.util, os, sys
folder, module, *paths = sys.argv[1:]
sys.path[:0] = paths
spec = importlib.util.spec_from_file_location(
    "takt", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder])
sys.modules["takt"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["takt"])
importlib.import_module(module).main()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What pip installs, in two calls: `alone` without the dependencies it names."""

    pins: tuple[str, ...]
    alone: tuple[str, ...] = ()


ENVIRONMENTS = {
    "metaworld": Environment(pins=("metaworld==3.1.1", "mujoco==3.3.0", "packaging", "pillow")),
    "aloha": Environment(pins=("gym-aloha==0.1.5", "mujoco==3.3.0", "packaging")),
    "libero": Environment(
        pins=(
            *("robosuite==1.4.1", "bddl==1.0.1", "mujoco==3.3.2", "numpy==2.4.6", "numba"),
            *("easydict", "cloudpickle", "gymnasium", "pyyaml", "h5py", "future", "matplotlib"),
        ),
        alone=("hf-libero==0.1.4",),
    ),
    "calvin": Environment(
        pins=(
            *("pybullet==3.2.7", "numpy==2.4.6", "gym==0.26.2", "hydra-core==1.3.8"),
            *("hydra-colorlog", "numpy-quaternion", "pandas", "numba", "scipy"),
            *("opencv-python-headless", "gitpython", "cloudpickle", "setuptools"),
        )
    ),
    "simpler": Environment(
        pins=(
            *("sapien==2.2.2", "numpy==1.26.4", "gymnasium==0.29.1", "setuptools<80"),
            *("transforms3d", "scipy", "opencv-python-headless", "trimesh", "h5py", "pyyaml"),
            *("tqdm", "gitpython", "tabulate", "rtree", "ruckig", "imageio[ffmpeg]"),
        )
    ),
}


def environments_folder() -> Path:
    """Where environments are made: $TAKT_ENVIRONMENTS, else in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Path(os.environ.get("TAKT_ENVIRONMENTS", cache / "takt" / "environments"))


def python_of(suite: str) -> Path:
    """The interpreter of a suite's environment.

    Raises:
        SuiteError: it has not been made.
    """
    python = environments_folder() / suite / "bin" / "python"
    if not python.exists() or not (environments_folder() / suite / "ready").exists():
        raise SuiteError(
            f"expected the environment of {suite} in {python.parent.parent}, found none; make it "
            f"with `takt bench setup {suite}` (TAKT_ENVIRONMENTS names another folder)"
        )
    return python


def command_in(suite: str, module: str, *paths: Path) -> list[str]:
    """What runs `main()` of a module, of this very takt or from `paths`, in a suite's environment.

    Of takt's own environment nothing else becomes visible there.

    Raises:
        SuiteError: the environment has not been made.
    """
    return [str(python_of(suite)), "-c", _BOOT, str(files("takt")), module, *map(str, paths)]


def make_environment(suite: str) -> Path:
    """Install a suite's simulator; returns the folder. One that is ready stays as it is.

    Raises:
        SuiteError: something else is there, or pip failed.
    """
    folder, wanted = environments_folder() / suite, ENVIRONMENTS[suite]
    if (folder / "ready").exists():
        return folder
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").exists():
        raise SuiteError(
            f"expected an empty or no folder {folder}, got one with something else in it, which "
            "would be lost; name another parent folder with TAKT_ENVIRONMENTS"
        )
    venv.create(folder, with_pip=True, clear=True)
    _pip(folder, [*CORE, *wanted.pins])
    if wanted.alone:
        _pip(folder, ["--no-deps", *wanted.alone])
    put_takt_on_path(folder)
    (folder / "ready").touch()
    return folder


def add_to_path(folder: Path, places: Sequence[Path]) -> None:
    """Let the environment import the packages that lie in `places`."""
    site = next((folder / "lib").glob("python*/site-packages"))
    (site / "checkout.pth").write_text("".join(f"{place.resolve()}\n" for place in places))


def put_takt_on_path(folder: Path) -> None:
    """Let the environment import this very takt."""
    site = next((folder / "lib").glob("python*/site-packages"))
    (site / "takt.pth").write_text(f"{Path(str(files('takt'))).parent}\n")


def _pip(folder: Path, arguments: Sequence[str]) -> None:
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *arguments]
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        raise SuiteError(
            f"pip could not install {' '.join(arguments)}; it says why above. Mend that and run "
            "the same command again"
        )
