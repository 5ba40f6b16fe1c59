"""What a user names by where it stands: "package.module:name" or "folder/file.py:name"."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from takt.types import TaktError


class UnknownReferenceError(TaktError):
    """A reference that leads nowhere."""


def is_reference(text: str) -> bool:
    """Whether `text` names an object in a module; an address (ws://…) does not."""
    where, colon, name = text.rpartition(":")
    return bool(colon) and bool(where) and name.isidentifier()


def load_reference(text: str) -> Any:  # noqa: ANN401 - whatever stands there
    """The object that `text` names; its module is run.

    Raises:
        TaktError: no such module, file or name.
    """
    where, _, name = text.rpartition(":")
    if not is_reference(text):
        raise UnknownReferenceError(f"expected MODULE:NAME or FILE.py:NAME, got {text!r}")
    module = _from_file(Path(where)) if where.endswith(".py") else _from_path(where)
    if not hasattr(module, name):
        own = [n for n, value in vars(module).items() if _is_own(value, module)]
        raise UnknownReferenceError(f"{where} has no {name!r}; it has {', '.join(own)}")
    return getattr(module, name)


def _is_own(value: object, module: ModuleType) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def _from_path(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there, and something it needs is not
        raise UnknownReferenceError(
            f"no module {name!r} here ({error}); name a file as path/to/file.py:NAME"
        ) from error


def _from_file(path: Path) -> ModuleType:
    path = path.resolve()
    name = f"takt_user_{path.stem}"
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__file__ == str(path):
        return loaded
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise UnknownReferenceError(f"expected a Python file, found none at {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
