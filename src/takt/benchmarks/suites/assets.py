"""Asset trees of the suites: a folder that the user has, or an archive that is unpacked once."""

import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from takt.benchmarks.suites.suite import SuiteError


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetTree:
    """What a suite's assets are called.

    Attributes:
        name: Of its top folder.
        archive: File name of the archive that holds the top folder, `.tar.zst`.
        proof: Something inside the top folder; where it lies, the tree is.
    """

    name: str
    archive: str
    proof: str


def find_assets(tree: AssetTree, folder: str = "") -> Path | None:
    """The top folder of `tree` as the user named it; None if no folder was named at all.

    Args:
        tree: Which.
        folder: The tree itself, or a folder that has it or its archive in it; else $TAKT_ASSETS.

    Raises:
        SuiteError: the named folder has neither, or the archive cannot be unpacked.
    """
    named = folder or os.environ.get("TAKT_ASSETS", "")
    if not named:
        return None
    root = Path(named).expanduser()
    for place in (root, root / tree.name):
        if (place / tree.proof).exists():
            return place
    if (root / tree.archive).is_file():
        return _unpacked(tree, root / tree.archive)
    raise SuiteError(
        f"expected {tree.name}/{tree.proof} or {tree.archive} in {root}, found neither; name the "
        "folder that has one of them with --assets or TAKT_ASSETS"
    )


def cache_folder() -> Path:
    """Where archives are unpacked."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "takt" / "assets"


def _unpacked(tree: AssetTree, archive: Path) -> Path:
    """The tree out of its archive; a changed archive is another one."""
    facts = archive.stat()
    home = cache_folder() / f"{tree.name}-{facts.st_size}-{facts.st_mtime_ns}"
    if not (home / tree.name / tree.proof).exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{tree.name}-", dir=home.parent))
        try:
            _unpack(archive, draft)
            if not (draft / tree.name / tree.proof).exists():
                raise _damaged(archive, f"there is no {tree.name}/{tree.proof} in it")
            _settle(draft, home)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return home / tree.name


def _settle(draft: Path, home: Path) -> None:
    """Move it into place at once: several workers may unpack the same archive together."""
    try:
        draft.rename(home)
    except OSError:
        if not home.exists():
            raise


def _unpack(archive: Path, into: Path) -> None:
    if shutil.which("zstd") is None:
        raise SuiteError(
            f"expected the program zstd to unpack {archive}, found none; install it (Debian: "
            "apt install zstd), or unpack the archive yourself and name its folder with --assets"
        )
    command = ["zstd", "-dcq", str(archive)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as zstd:
        assert zstd.stdout is not None
        assert zstd.stderr is not None
        try:
            with tarfile.open(fileobj=zstd.stdout, mode="r|") as members:
                members.extractall(into, members=map(_harmless, members))
            zstd.stdout.read()  # the padding behind the last member
        except (tarfile.TarError, EOFError) as error:
            raise _damaged(archive, str(error)) from error
        finally:
            zstd.stdout.close()
        told = zstd.stderr.read().decode(errors="replace").strip()
    if zstd.returncode:
        raise _damaged(archive, told)


def _harmless(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Refuse what could leave the folder; tarfile's own filter came with Python 3.11.4."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
        raise tarfile.TarError(f"it holds {member.name}, which is no file below its folder")
    return member


def _damaged(archive: Path, reason: str) -> SuiteError:
    return SuiteError(f"{archive} cannot be unpacked ({reason}); it is damaged: fetch it again")
