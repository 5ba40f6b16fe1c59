"""The sources as the architecture tests see them."""

import ast
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "takt"
FIXTURES = ROOT / "tests" / "data"  # written by the tools they stand for, not by us


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A parsed file; `name` is its module for files of the package, else its path."""

    path: str
    name: str
    is_package: bool
    text: str = field(repr=False)
    tree: ast.Module = field(repr=False)


def _read(path: Path) -> Source:
    text = path.read_text()
    name = path.relative_to(ROOT).as_posix()
    if path.is_relative_to(PACKAGE):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
    return Source(
        path=path.relative_to(ROOT).as_posix(),
        name=name,
        is_package=path.name == "__init__.py",
        text=text,
        tree=ast.parse(text),
    )


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def package() -> list[Source]:
    """Every module of takt."""
    return [_read(path) for path in sorted(PACKAGE.rglob("*.py"))]


@pytest.fixture(scope="session")
def sources(package) -> list[Source]:
    """Every Python file of the repository that people read."""
    folders = (ROOT / name for name in ("tests", "bench", "examples"))
    paths = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    return [*package, *(_read(path) for path in paths if FIXTURES not in path.parents)]
