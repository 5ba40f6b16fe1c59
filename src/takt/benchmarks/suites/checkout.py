"""Simulators that are not on PyPI: where a suite's environment imports them from."""

import subprocess
from importlib.util import find_spec
from pathlib import Path

from takt.benchmarks.suites.suite import SuiteError


def checkout_of(package: str, suite: str) -> Path:
    """The folder that holds the folder of `package`.

    Raises:
        SuiteError: it cannot be imported here.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise SuiteError(
            f"expected {package} in this environment, found none; make it with `takt bench setup "
            f"{suite} --source DIR`"
        )
    return Path(spec.origin).parents[1]


def commit_of(folder: Path) -> str:
    """What is checked out in `folder`, with `-dirty` where files differ; `unknown` without git."""
    if not (folder / ".git").exists():
        return "unknown"
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
