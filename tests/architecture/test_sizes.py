"""Files and functions stay short enough to read; the lists of longer ones only shrink."""

import ast

FILE_LINES = 300
FUNCTION_LINES = 40

# Length of each offender on the day it was listed: it may get shorter, never longer.
LONG_FILES: dict[str, int] = {}
LONG_FUNCTIONS: dict[str, int] = {}


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    first, lines = function.body[0], (function.end_lineno or 0) - function.lineno + 1
    is_docstring = ast.get_docstring(function, clean=False) is not None
    return lines - ((first.end_lineno or 0) - first.lineno + 1) * is_docstring


def too_long(lengths: dict[str, int], limit: int, listed: dict[str, int]) -> dict[str, int]:
    """Names over `limit`, or over their listed length."""
    return {name: n for name, n in lengths.items() if n > max(limit, listed.get(name, 0))}


def settled(lengths: dict[str, int], limit: int, listed: dict[str, int]) -> set[str]:
    """Listed names that are short again or shorter than listed: their entry must shrink."""
    return {name for name, n in listed.items() if lengths.get(name, 0) < max(n, limit + 1)}


def file_lengths(sources) -> dict[str, int]:
    return {source.path: len(source.text.splitlines()) for source in sources}


def function_lengths(sources) -> dict[str, int]:
    lengths: dict[str, int] = {}
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{source.path}:{node.name}"
                lengths[name] = max(code_lines(node), lengths.get(name, 0))
    return lengths


def test_files_are_short(sources):
    lengths = file_lengths(sources)
    assert too_long(lengths, FILE_LINES, LONG_FILES) == {}
    assert settled(lengths, FILE_LINES, LONG_FILES) == set()


def test_functions_are_short(sources):
    lengths = function_lengths(sources)
    assert too_long(lengths, FUNCTION_LINES, LONG_FUNCTIONS) == {}
    assert settled(lengths, FUNCTION_LINES, LONG_FUNCTIONS) == set()


def test_a_listed_length_may_not_grow_and_must_shrink():
    assert too_long({"a": 51}, 40, {"a": 50}) == {"a": 51}
    assert too_long({"a": 50}, 40, {"a": 50}) == {}
    assert settled({"a": 49}, 40, {"a": 50}) == {"a"}
    assert settled({}, 40, {"a": 50}) == {"a"}
    assert settled({"a": 50}, 40, {"a": 50}) == set()


def test_a_docstring_does_not_count():
    function = ast.parse('def f():\n    """One.\n\n    Two.\n    """\n    return 1').body[0]
    assert isinstance(function, ast.FunctionDef)
    assert code_lines(function) == 2


def test_there_is_no_room_for_leftovers(package):
    vague = {"utils", "util", "helpers", "misc"}
    assert [source.name for source in package if vague & set(source.name.split("."))] == []
