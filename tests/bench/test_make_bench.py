"""`make bench` runs every script that needs nothing but takt, whatever the one before found."""

import ast
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAKE = """#!/bin/sh
echo "ran $1"
test "$1" != bench/fuzz_wire.py
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """With a Python that only says what it was asked for, and that the fuzzer found something."""
    if shutil.which("make") is None:
        pytest.skip("needs make")
    folder = tmp_path_factory.mktemp("bin")
    (folder / "python").write_text(FAKE)
    (folder / "python").chmod(0o755)
    command = ["make", "--no-print-directory", "-o", "setup", f"BIN={folder}", "bench"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_one_that_fails_is_named_and_the_others_run(
    bench: subprocess.CompletedProcess[str],
) -> None:
    assert bench.returncode == 2
    assert "missed what it claims: bench/fuzz_wire.py" in bench.stderr
    for name in ("batching", "fuzz_wire", "inference", "transport"):
        assert f"ran bench/{name}.py" in bench.stdout


def test_each_runs_without_arguments(bench: subprocess.CompletedProcess[str]) -> None:
    ran = [line.removeprefix("ran ") for line in bench.stdout.splitlines() if "ran " in line]
    assert len(ran) > 20
    for script in ran:
        for node in ast.parse((ROOT / script).read_text()).body:
            if isinstance(node, ast.ClassDef) and node.name in ("Config", "Options"):
                fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
                needed = [ast.unparse(each.target) for each in fields if each.value is None]
                assert not needed, f"{script} needs {needed}: name it in the Makefile's NOT_ALONE"
