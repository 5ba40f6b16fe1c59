"""Files of LIBERO: its tasks by name, its initial states, its assets, stand-ins or not."""

import io
import os
import pickletools
import zipfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np

from takt.benchmarks.suites.assets import AssetTree, find_assets
from takt.benchmarks.suites.suite import SuiteError

TREE = AssetTree(
    name="libero_assets", archive="libero-assets.tar.zst", proof="assets/stable_hope_objects"
)
_INSIDE = "stable_hope_objects"
# Originals of more than 4 MB each; a stand-in has less than 0.2 (README of the shared assets).
_LARGE = (
    "scenes/kitchen_background/visual/kitchen_background_vis.msh",
    "scenes/living_room/visual/living_room_vis.msh",
    "stable_scanned_objects/basket/visual/basket_vis.msh",
)
_ORIGINAL_BYTES = 1_000_000

# The opcodes of a pickled float64 array as `torch.save` of protocol 2 wrote all 130 files.
_ARRAY = (
    "PROTO GLOBAL GLOBAL BININT1 TUPLE1 GLOBAL BINUNICODE BINUNICODE TUPLE2 REDUCE TUPLE3 REDUCE "
    "MARK BININT1 BININT1 BININT1 TUPLE2 GLOBAL BINUNICODE NEWFALSE NEWTRUE TUPLE3 REDUCE MARK "
    "BININT1 BINUNICODE NONE NONE NONE BININT BININT BININT1 TUPLE BUILD NEWFALSE BINGET "
    "BINUNICODE BINGET TUPLE2 REDUCE TUPLE BUILD STOP"
)


def task_names(suite: str) -> list[str]:
    """Tasks of a suite (spatial, object, goal, 10, 90) in LIBERO's order."""
    lines = files("takt.benchmarks.suites").joinpath("libero_tasks.txt").read_text().splitlines()
    rows = [line.split() for line in lines]
    return [task for of, task in rows if of == suite]


def read_init_states(path: Path) -> np.ndarray:
    """Initial states of a task: float64 (state, 1 + nq + nv), as LIBERO ships them.

    A file is a zip with one pickled array. It is not unpickled: unpickling runs what a file says,
    and a list of allowed names is only as safe as they are. All that LIBERO ships have the same
    opcodes, so they are listed, compared, and the numbers taken from their arguments.

    Raises:
        SuiteError: there is none, or it is something else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            inner = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            code = archive.read(inner)
        return _array(list(pickletools.genops(io.BytesIO(code))))
    except FileNotFoundError as error:
        raise SuiteError(
            f"expected the initial states {path}, found none; run `takt bench setup libero` again"
        ) from error
    except (zipfile.BadZipFile, StopIteration, ValueError) as error:
        raise SuiteError(
            f"{path} is not a pickled table of float64 as LIBERO ships them ({error}); "
            "run `takt bench setup libero` again"
        ) from error


def _array(found: Sequence[tuple[pickletools.OpcodeInfo, object, int | None]]) -> np.ndarray:
    code = [(op.name, argument) for op, argument, _ in found if op.name != "BINPUT"]
    if " ".join(name for name, _ in code) != _ARRAY:
        raise ValueError("other opcodes")
    numbers = [argument for name, argument in code if name == "BININT1"]
    words = [str(argument) for name, argument in code if name == "BINUNICODE"]
    if words[2:4] != ["f8", "<"] or numbers[1] != 1:
        raise ValueError("no little-endian float64 in rows")
    rows, columns = int(str(numbers[2])), int(str(numbers[3]))
    return np.frombuffer(words[4].encode("latin1"), "<f8").reshape(rows, columns)


def assets_folder(named: str = "") -> Path:
    """The folder that LIBERO calls its assets: `named`, $TAKT_ASSETS, or where LIBERO loads them.

    Raises:
        SuiteError: it is nowhere; says what to get.
    """
    if named and (Path(named).expanduser() / _INSIDE).exists():
        return Path(named).expanduser()
    tree = find_assets(TREE, named)
    if tree is not None:
        return tree / "assets"
    official = Path.home() / ".cache" / "libero" / "assets"
    if not (official / _INSIDE).exists():
        raise SuiteError(
            f"expected LIBERO's assets in {official}, found none; download the data set "
            "lerobot/libero-assets of huggingface.co into it, or name a folder that has "
            f"{TREE.name} or {TREE.archive} with --assets or TAKT_ASSETS"
        )
    return official


def has_stand_ins(assets: Path) -> bool:
    """Whether some of its pictures are not LIBERO's own."""
    if any((folder / "standins.json").exists() for folder in (assets, assets.parent)):
        return True
    sizes = [os.path.getsize(assets / name) for name in _LARGE if (assets / name).exists()]
    return len(sizes) < len(_LARGE) or min(sizes) < _ORIGINAL_BYTES
