import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from takt.benchmarks.suites.assets import AssetTree, find_assets
from takt.benchmarks.suites.suite import SuiteError

TREE = AssetTree(name="toys", archive="toys.tar.zst", proof="scenes/table.xml")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TAKT_ASSETS", raising=False)
    return tmp_path / "cache" / "takt" / "assets"


def tree(folder: Path) -> Path:
    (folder / "toys" / "scenes").mkdir(parents=True)
    (folder / "toys" / TREE.proof).write_text("<mujoco/>")
    return folder


def packed(folder: Path) -> Path:
    if shutil.which("zstd") is None:
        pytest.skip("no zstd")
    source = tree(folder / "source")
    with tarfile.open(folder / "toys.tar", "w") as archive:
        archive.add(source / "toys", "toys")
    subprocess.run(["zstd", "-q", "--rm", folder / "toys.tar"], check=True)
    shutil.rmtree(source)
    return folder / TREE.archive


def test_a_tree_is_found_by_itself_in_its_folder_and_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tree(tmp_path)
    assert find_assets(TREE) is None
    assert find_assets(TREE, str(home)) == home / "toys"
    assert find_assets(TREE, str(home / "toys")) == home / "toys"
    monkeypatch.setenv("TAKT_ASSETS", str(home))
    assert find_assets(TREE) == home / "toys"


def test_a_folder_without_it_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"toys/scenes/table\.xml or toys\.tar\.zst"):
        find_assets(TREE, str(tmp_path))


def test_an_archive_is_unpacked_once_and_again_when_it_changes(tmp_path: Path, cache: Path) -> None:
    archive = packed(tmp_path)
    first = find_assets(TREE, str(tmp_path))
    assert first is not None
    assert first.is_relative_to(cache)
    (first / "mark").touch()
    assert find_assets(TREE, str(tmp_path)) == first
    assert (first / "mark").exists()
    archive.touch()
    assert find_assets(TREE, str(tmp_path)) != first
    assert not [path for path in cache.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_archive_leaves_nothing_behind(tmp_path: Path, cache: Path, damage: str) -> None:
    archive = packed(tmp_path)
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2] if damage == "cut" else b"no archive")
    with pytest.raises(SuiteError, match="fetch it again"):
        find_assets(TREE, str(tmp_path))
    assert not list(cache.iterdir())


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    packed(tmp_path)
    other = AssetTree(name="games", archive=TREE.archive, proof="x")
    with pytest.raises(SuiteError, match="no games/x in it"):
        find_assets(other, str(tmp_path))


def test_without_zstd_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / TREE.archive).touch()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SuiteError, match="apt install zstd"):
        find_assets(TREE, str(tmp_path))


def test_an_archive_that_would_write_beside_its_folder_is_refused(
    tmp_path: Path, cache: Path
) -> None:
    if shutil.which("zstd") is None:
        pytest.skip("no zstd")
    with tarfile.open(tmp_path / "toys.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("../beside"))
    subprocess.run(["zstd", "-q", "--rm", tmp_path / "toys.tar"], check=True)
    with pytest.raises(SuiteError, match="no file below its folder"):
        find_assets(TREE, str(tmp_path))
    assert not (cache.parent / "beside").exists()
