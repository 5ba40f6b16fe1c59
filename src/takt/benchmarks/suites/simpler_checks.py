"""What SimplerEnv needs besides its Python packages; reference simulators.md, section 5."""

import ctypes.util
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from takt.benchmarks.suites.simpler_protocol import configurations, tasks

EXTENSION = "VK_KHR_external_semaphore_fd"
FORK = "https://github.com/allenzren/SimplerEnv"
ASSETS = "MS2_REAL2SIM_ASSET_DIR"
_NEWEST_REFUSED = 24  # SAPIEN 2.2.2 refuses lavapipe of Mesa 22.3; 25.0.7 works
_ROOTS = (Path("/etc/vulkan"), Path("/usr/local/share/vulkan"), Path("/usr/share/vulkan"))
_FILES = (
    "simpler_env/__init__.py",
    "ManiSkill2_real2sim/mani_skill2_real2sim/envs/custom_scenes/base_env.py",
)


def check_source(folder: Path | None) -> list[str]:
    """What `folder`, a checkout of SimplerEnv, lacks, each with what to do."""
    if folder is None:
        return [
            f"SimplerEnv, which is not on PyPI: `git clone --recurse-submodules {FORK}` and name "
            "it with --source"
        ]
    missing = [
        f"{folder / name}: `git -C {folder} submodule update --init`, or clone {FORK} with its "
        "submodules"
        for name in _FILES
        if not (folder / name).exists()
    ]
    assets = asset_folder(folder)
    if missing or (assets / "real_inpainting").is_dir():
        return missing
    return [
        f"{assets / 'real_inpainting'}: the assets of ManiSkill2_real2sim are its folder `data`; "
        f"check it out, or name another place with {ASSETS}"
    ]


def source_paths(folder: Path) -> list[Path]:
    """What must be on the environment's path to import `folder`'s packages."""
    return [folder, folder / "ManiSkill2_real2sim"]


def asset_folder(folder: Path) -> Path:
    """$MS2_REAL2SIM_ASSET_DIR, else `data` of the checkout's submodule."""
    return Path(os.environ.get(ASSETS) or folder / "ManiSkill2_real2sim" / "data").expanduser()


def limitations(folder: Path) -> list[str]:
    """What does not keep `folder` from being played, but from the published protocol."""
    stages = {
        one.stage
        for protocol in ("vm", "va", "widowx")
        for task in tasks(protocol)
        for one in configurations(protocol, task)
        if one.stage is not None
    }
    found = [
        f"stage {path}: fetch it (large files of ManiSkill2_real2sim/data), or play with "
        "--arena box, which is labelled -standin or -approx"
        for path in missing_stages(asset_folder(folder), stages)
    ]
    if not has_gpu():
        found.append(
            "an NVIDIA GPU for the ray tracing of the drawer tasks: play them with --shader "
            "raster, which is labelled +raster"
        )
    return found


def missing_stages(assets: Path, stages: Iterable[str]) -> list[Path]:
    """Files of `stages` that are not there."""
    paths = sorted(assets / "hab2_bench_assets" / "stages" / name for name in set(stages))
    return [path for path in paths if not path.exists()]


def missing_prerequisites() -> list[str]:
    """System parts that SAPIEN needs here, each with what to do; fewer with an NVIDIA GPU."""
    missing = [] if _has_loader() else ["the Vulkan loader libvulkan.so.1: install libvulkan1"]
    named = os.environ.get(ASSETS)
    if named and not (Path(named).expanduser() / "real_inpainting").is_dir():
        missing.append(
            f"{ASSETS}={named} has no folder real_inpainting: name `data` of ManiSkill2_real2sim, "
            "or unset it"
        )
    if has_gpu() and any("nvidia" in path.name for path in _manifests("icd.d", *_ICD_VARIABLES)):
        return missing
    missing += _missing_driver()
    if not any(_hides_extension(path) for path in _manifests("explicit_layer.d", "VK_LAYER_PATH")):
        missing.append(
            f"the Vulkan layer that hides {EXTENSION}, which SAPIEN 2 asks for and lavapipe lacks: "
            "build a layer that names it among its device_extensions and takes it out of "
            "vkCreateDevice, name its folder in VK_LAYER_PATH and it in VK_INSTANCE_LAYERS"
        )
    return missing


_ICD_VARIABLES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")


def has_gpu() -> bool:
    """Whether an NVIDIA GPU is there."""
    return Path("/dev/nvidia0").exists()


def _has_loader() -> bool:
    if ctypes.util.find_library("vulkan"):
        return True
    places = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    return any((Path(place) / "libvulkan.so.1").exists() for place in places if place)


def _missing_driver() -> list[str]:
    """Nothing if lavapipe of Mesa 25 or newer is there."""
    drivers = [path for path in _manifests("icd.d", *_ICD_VARIABLES) if "lvp" in path.name]
    versions = [version for path in drivers if (version := _mesa_version(path)) is not None]
    if versions and max(versions) > _NEWEST_REFUSED:
        return []
    found = f"found Mesa {max(versions)}" if versions else "found none"
    return [
        f"lavapipe of Mesa 25 or newer, {found}: install mesa-vulkan-drivers (Debian: from "
        "backports), or unpack it anywhere and name its lvp_icd file in VK_ICD_FILENAMES and its "
        "folder in LD_LIBRARY_PATH"
    ]


def _mesa_version(manifest: Path) -> int | None:
    """The major version that the driver's library says of itself."""
    try:
        named = str(json.loads(manifest.read_text())["ICD"]["library_path"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    beside = [manifest.parent / named] if "/" in named else []
    places = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    system = [Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib"), Path("/usr/lib64")]
    for library in (*beside, *(Path(p) / named for p in places if p), *(p / named for p in system)):
        if library.is_file():
            said = re.search(rb"Mesa (\d+)\.\d+\.\d", library.read_bytes())
            return int(said[1]) if said else None
    return None


def _hides_extension(manifest: Path) -> bool:
    """Whether it is a layer that is switched on, built, and advertises the extension."""
    try:
        layer = json.loads(manifest.read_text())["layer"]
        extensions = [str(one["name"]) for one in layer["device_extensions"]]
        name, library = str(layer["name"]), manifest.parent / str(layer["library_path"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    switched_on = name in os.environ.get("VK_INSTANCE_LAYERS", "").split(os.pathsep)
    return switched_on and EXTENSION in extensions and library.exists()


def _manifests(kind: str, *variables: str) -> Iterator[Path]:
    """The .json files of drivers or layers: those that a variable names, else the system's."""
    named = [os.environ[name] for name in variables if os.environ.get(name)]
    places = [Path(part) for text in named for part in text.split(os.pathsep) if part]
    for place in places or [root / kind for root in _ROOTS]:
        yield from sorted(place.glob("*.json")) if place.is_dir() else [place]
