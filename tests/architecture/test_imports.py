"""Imports point one way, and torch stays in its two rooms."""

import ast
import subprocess
import sys

import pytest

BODY = {"types", "extras", "seeds", "processes", "transforms", "embodiments"}
INNER = {"datasets", "policies", "simulation"}
OUTER = {"runtime", "training", "benchmarks"}

MAY_IMPORT: dict[str, set[str]] = {
    "types": set(),
    "extras": {"types"},
    "seeds": {"types"},
    "processes": {"types"},
    "folder_lock": {"types"},
    "transforms": {"types", "extras"},
    "embodiments": {"types", "extras", "transforms"},
    "datasets": BODY | {"folder_lock"},
    "policies": BODY,
    "simulation": BODY,
    "runtime": BODY | {"folder_lock", "datasets"},
    "training": BODY | {"datasets", "policies"},
    "benchmarks": BODY | INNER | {"folder_lock", "runtime"},
    "recipes": BODY | INNER | OUTER | {"folder_lock"},
    "doctor": {"types", "extras"},
    "commands": BODY | INNER | OUTER | {"recipes", "doctor"},
    "cli": {"types", "commands"},
}
TORCH_ROOMS = {"policies", "training"}
TORCH_MODULES = {"torch", "transformers", "tokenizers", "torchvision"}

IMPORT_EACH = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    guilty = {"torch", "transformers"} & set(sys.modules)
    assert not guilty, f"{name} imports {guilty}"
"""


def room_of(module: str) -> str:
    """`takt.runtime.clock` lives in `runtime`; `takt` itself in ``."""
    return (module.split(".") + [""])[1]


def imported_modules(tree: ast.AST, module: str, is_package: bool) -> set[str]:
    """Absolute names of what `tree` imports, function bodies included."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = module.split(".")[: None if is_package else -1]
            parents = parents[: len(parents) - (node.level - 1)] if node.level else []
            base = ".".join([*parents, *filter(None, [node.module])])
            # `from takt import datasets` names a room as surely as `import takt.datasets`.
            names |= {f"takt.{a.name}" for a in node.names} if base == "takt" else {base}
    return names


def against_the_stream(tree: ast.AST, module: str, is_package: bool = False) -> set[str]:
    """Imports of `module` that its room may not have."""
    here = room_of(module)
    allowed = MAY_IMPORT[here] | {here} if here else set()
    ours = {m for m in imported_modules(tree, module, is_package) if m.split(".")[0] == "takt"}
    return {m for m in ours if room_of(m) in MAY_IMPORT and room_of(m) not in allowed}


def test_every_room_has_its_place_in_the_order(package):
    rooms = {room_of(source.name) for source in package} - {""}
    assert rooms == set(MAY_IMPORT)


def test_imports_point_one_way(package):
    found = {s.name: against_the_stream(s.tree, s.name, s.is_package) for s in package}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_torch_stays_in_its_rooms(package):
    guilty = [
        source.name
        for source in package
        if room_of(source.name) not in TORCH_ROOMS
        for name in imported_modules(source.tree, source.name, source.is_package)
        if name.split(".")[0] in TORCH_MODULES or name == "safetensors.torch"
    ]
    assert guilty == []


def test_every_other_room_imports_without_torch(package):
    names = [s.name for s in package if room_of(s.name) not in TORCH_ROOMS]
    child = subprocess.run(
        [sys.executable, "-c", IMPORT_EACH, *names], capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("takt.types", "import takt.transforms"),
        ("takt.runtime.executor", "def f():\n    from takt.policies.xr0 import model"),
        ("takt.datasets.reader", "from takt import runtime"),
        ("takt.datasets.reader", "from ..runtime import clock"),
        ("takt.embodiments.nut_station.spec", "from takt.simulation.body import Body"),
    ],
)
def test_the_order_is_checked(module, code):
    assert against_the_stream(ast.parse(code), module)
