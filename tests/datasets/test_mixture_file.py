"""A mixture's file is read whole or refused by the key that is wrong."""

import pytest

from takt.datasets.mixture_file import MixtureFile, MixtureFileError

GOOD = """
[[robots]]
data = "desk"
body = "desk.toml"
weight = 2
[[robots]]
data = "/far/station"
body = "nut-station"
weight = 0.5
[[conversations]]
data = "words.parquet"
"""


def read(tmp_path, text):
    (tmp_path / "mixture.toml").write_text(text)
    return MixtureFile.read(tmp_path / "mixture.toml")


def test_paths_are_relative_to_the_file_and_bodies_may_have_names(tmp_path):
    found = read(tmp_path, GOOD)
    desk, station = found.robots
    assert (desk.data, desk.body) == (tmp_path / "desk", str(tmp_path / "desk.toml"))
    assert (str(station.data), station.body, station.weight) == ("/far/station", "nut-station", 0.5)
    assert found.conversations == (tmp_path / "words.parquet",)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "at least one"),
        ("robots = 3", "robots"),
        ("[[robots]]\ndata = 'x'", "robots 1: .*no body"),
        (GOOD.replace("weight = 2\n", ""), "1 of 2"),
        (GOOD.replace("weight = 2", "weight = 0"), "robots 1.*more than 0"),
        (GOOD.replace("weight = 2", "weight = true"), "weight"),
        (GOOD.replace("weight = 2", "share = 2"), "share"),
        (GOOD.replace("[[conversations]]", "[[words]]"), "words"),
        ("[[robots", "readable"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, named):
    with pytest.raises(MixtureFileError, match=named):
        read(tmp_path, text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MixtureFileError, match=r"none\.toml"):
        MixtureFile.read(tmp_path / "none.toml")
