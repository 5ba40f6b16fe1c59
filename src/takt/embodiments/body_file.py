"""The driver of a body that is described in a file.

[driver]
factory = "my_arm:Driver"        # or "my_arm.py:Driver", from where takt is run
port = "/dev/ttyUSB0"            # every other key is an argument of it, after the spec
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from takt.embodiments.driver import Driver
from takt.embodiments.reference import load_reference
from takt.embodiments.slot_map import EmbodimentFileError, load_embodiment, read_table


def load_driver(path: Path) -> Driver:
    """The driver that the body's file names, given its spec; not connected.

    Raises:
        EmbodimentFileError: the file is broken, or names no driver, or one that wants other keys.
    """
    spec = load_embodiment(path)
    table: Mapping[str, Any] = read_table(path).get("driver") or {}
    factory = table.get("factory")
    if not isinstance(factory, str):
        raise EmbodimentFileError(
            f"{path} describes a body, not what drives it; add a table [driver] with "
            'factory = "MODULE:NAME", which is called with the spec'
        )
    options = {key: value for key, value in table.items() if key != "factory"}
    create = load_reference(factory)
    try:
        return create(spec, **options)
    except TypeError as error:
        raise EmbodimentFileError(f"{path}: driver: {factory} does not take it: {error}") from error
