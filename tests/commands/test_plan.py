"""`takt train RECIPE --plan` as a user sees it."""

import json

from takt.cli import main


def test_every_stage_of_the_recipe_is_planned(capsys):
    options = ("--plan", "--gpus", "8", "--card", "rtx-4090", "--json")
    assert main(["train", "nut-station", *options]) == 0
    *table, last = capsys.readouterr().out.splitlines()
    stages = json.loads(last)["stages"]
    assert [stage["name"] for stage in stages] == ["choice", "expert", "post", "refine"]
    assert stages[3]["samples"] == 3 * 1800 * 64
    assert all(0 < stage["days"] < 0.1 for stage in stages)
    assert "does not fit" not in "".join(table)


def test_what_cannot_be_run_can_only_be_planned(capsys):
    assert main(["train", "xr0"]) == 2
    assert "--plan" in capsys.readouterr().err
    assert main(["train", "nut-station", "--plan", "--gpus", "7"]) == 2
    assert "divide a batch of 64, got 7" in capsys.readouterr().err
