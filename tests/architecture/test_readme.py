"""The README's map names every room, and the commands it shows exist."""

import re

from takt.commands import COMMANDS


def test_every_room_is_on_the_map(root, package):
    readme = (root / "README.md").read_text()
    parts = [source.name.split(".")[1:] for source in package]
    folders = {part[0] for part in parts if part and (root / "src/takt" / part[0]).is_dir()}
    rooms = {f"{part[0]}/" if part[0] in folders else f"{part[0]}.py" for part in parts if part}
    assert {room for room in rooms if f"`{room}`" not in readme} == set()


def test_every_command_shown_exists(root):
    shown = set(re.findall(r"`takt ([a-z]+)", (root / "README.md").read_text()))
    assert shown - set(COMMANDS) == set()


def test_every_target_shown_exists(root):
    shown = set(re.findall(r"make ([a-z]+)`", (root / "README.md").read_text()))
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), re.MULTILINE))
    assert shown
    assert shown - targets == set()
