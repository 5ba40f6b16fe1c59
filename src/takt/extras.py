"""Optional dependencies by extra, and the error that names the one to install."""

from importlib.util import find_spec

from takt.types import TaktError

# Import names of what each extra of the distribution brings.
EXTRAS: dict[str, tuple[str, ...]] = {
    "train": ("torch", "transformers", "safetensors"),
    "sim": ("mujoco",),
    "data": ("pyarrow", "av", "PIL"),
    "robomind": ("h5py",),
    "wandb": ("wandb",),
    "ray": ("ray",),
    "deepspeed": ("deepspeed",),
    "lerobot": ("lerobot",),
    "rerun": ("rerun",),
}
# For one purpose each: `all` leaves them out, and nothing else misses them.
SPECIAL = ("robomind", "ray", "wandb", "deepspeed", "lerobot", "rerun")


def missing_modules(extra: str) -> list[str]:
    """Modules of `extra` that cannot be found; nothing is imported."""
    return [module for module in EXTRAS[extra] if find_spec(module) is None]


def install_advice(extras: str) -> str:
    """How to install `extras`, keys of `EXTRAS` separated by commas; no package index has takt."""
    return f"run in takt's source folder: pip install '.[{extras}]'"


def require_extra(extras: str, feature: str) -> None:
    """Raise unless every module of `extras` is installed.

    Args:
        extras: Keys of `EXTRAS`, separated by commas as pip takes them.
        feature: What needs it, as the user would say it ("takt shift").

    Raises:
        TaktError: Names the missing modules and the command that installs them.
    """
    lacking = {extra: missing_modules(extra) for extra in extras.split(",")}
    missing = [module for modules in lacking.values() for module in modules]
    if missing:
        named = ",".join(extra for extra, modules in lacking.items() if modules)
        raise TaktError(
            f"{feature} needs {', '.join(missing)}, not installed here; {install_advice(named)}"
        )
