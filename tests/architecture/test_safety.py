"""Nothing that is read can run: no unpickling, no evaluated text."""

import ast

import pytest

UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
EVALUATORS = {"eval", "exec", "compile"}


def _keyword(call: ast.Call, name: str) -> object:
    values = [k.value for k in call.keywords if k.arg == name]
    return values[0].value if values and isinstance(values[0], ast.Constant) else None


def _unsafe_call(call: ast.Call) -> str | None:
    match call.func:
        case ast.Name(id=name) if name in EVALUATORS:
            return name
        case ast.Attribute(value=ast.Name(id="torch"), attr="load"):
            return None if _keyword(call, "weights_only") is True else "torch.load"
        case ast.Attribute(value=ast.Name(id="yaml"), attr="load" | "unsafe_load" | "full_load"):
            return "yaml.load"
        case ast.Attribute(attr="read_pickle" | "to_pickle" | "load_pickle"):
            return "pickle"
    return "allow_pickle" if _keyword(call, "allow_pickle") else None


def unsafe(tree: ast.AST) -> list[str]:
    """What in `tree` would run or unpickle what it reads."""
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found += [n.name for n in names if n.name.split(".")[0] in UNPICKLERS]
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in UNPICKLERS:
                found.append(module)
            case ast.Call():
                found += filter(None, [_unsafe_call(node)])
    return found


def test_the_package_runs_nothing_it_reads(package):
    found = {source.name: unsafe(source.tree) for source in package}
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.memory",
        "eval('1')",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text, Loader)",
        "np.load(path, allow_pickle=True)",
        "frame.read_pickle(path)",
    ],
)
def test_unsafe_code_is_found(code):
    assert unsafe(ast.parse(code))


@pytest.mark.parametrize(
    "code",
    ["model.eval()", "torch.load(path, weights_only=True)", "np.load(path)", "re.compile('a')"],
)
def test_safe_code_is_not(code):
    assert unsafe(ast.parse(code)) == []
