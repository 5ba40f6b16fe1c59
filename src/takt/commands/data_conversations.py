"""`takt data inspect` of a vision-language set."""

import json as json_format
import sys
from pathlib import Path


def is_conversations(path: Path) -> bool:
    """Whether `path` is a file, or a folder of files that is no LeRobot dataset."""
    if path.is_file():
        return True
    from takt.datasets.vision_language_files import SUFFIXES

    here = any(file.suffix in SUFFIXES for file in path.glob("*"))
    return here and not (path / "meta").is_dir()


def inspect_conversations(path: Path, *, decode: bool, as_json: bool) -> int:
    """Show what it holds; 1 if rows are damaged."""
    from takt.datasets.vision_language_inspection import inspect
    from takt.datasets.vision_language_set import VisionLanguageSet

    found = inspect(VisionLanguageSet.open([path]), decode=decode)
    tasks = {name or "unnamed": count for name, count in sorted(found.tasks.items())}
    if as_json:
        problems = [
            {"path": str(error.path), "row": error.row, "message": error.reason}
            for error in found.problems
        ]
        counts = {"rows": found.rows, "images": found.images, "turns": found.turns}
        whole = {"path": str(path), **counts, "tasks": tasks, "problems": problems}
        print(json_format.dumps(whole, ensure_ascii=False))
    else:
        listed = ", ".join(f"{count} {name}" for name, count in tasks.items())
        print(
            f"{path}: vision-language set, {found.rows} rows ({listed or 'none good'}), "
            f"{found.images} images, {found.turns} turns, {len(found.problems)} problems"
        )
    for error in found.problems:
        print(f"takt data: {error}", file=sys.stderr)
    return 1 if found.problems else 0
