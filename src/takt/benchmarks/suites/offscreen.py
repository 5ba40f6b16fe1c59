"""MuJoCo's pictures without a screen, and what to say when there are none."""

import os
from importlib import import_module
from types import ModuleType

from takt.benchmarks.suites.suite import SuiteError


def import_simulator(module: str, suite: str) -> ModuleType:
    """Import a simulator that renders with MuJoCo: through EGL unless MUJOCO_GL says otherwise.

    Raises:
        SuiteError: it is not installed, or OpenGL cannot be had.
    """
    backend = os.environ.setdefault("MUJOCO_GL", "egl")
    if backend != "glfw":  # PyOpenGL has no platform of that name
        os.environ.setdefault("PYOPENGL_PLATFORM", backend)
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise SuiteError(
            f"expected the simulator of {suite} in this environment, got {error}; make one with "
            f"`takt bench setup {suite}`"
        ) from error
    except Exception as error:  # each OpenGL backend is looked for at import, and fails in its way
        raise no_pictures(suite, error) from error


def no_pictures(suite: str, error: Exception) -> SuiteError:
    """What to do about an OpenGL that fails."""
    return SuiteError(
        f"expected {suite} to render with MUJOCO_GL={os.environ.get('MUJOCO_GL')}, got "
        f"{type(error).__name__}: {error}; install libegl1 and libgl1-mesa-dri, or install "
        "libosmesa6 and set MUJOCO_GL and PYOPENGL_PLATFORM to osmesa"
    )
