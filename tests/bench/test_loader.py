"""The loader's bench runs both sides over the same frames."""

import json

import loader
import pytest


def test_both_sides_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ("--pixels", "64", "--frames", "10", "--batch", "2", "--batches", "2", "--rounds", "1")
    assert loader.main([*sizes, "--json"]) in (0, 1)
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(found["samples_per_s"]) == {"on demand", "frame shards"}
    assert found["ratio"] > 0
