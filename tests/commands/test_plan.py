"""`takt train RECIPE --plan` as a user sees it."""

import json

from takt.cli import main
from takt.recipes import xr0
from takt.training.plan_recipe import META, blank_batch


def test_every_stage_of_the_recipe_is_planned(capsys):
    options = ("--plan", "--gpus", "8", "--card", "rtx-4090", "--json")
    assert main(["train", "nut-station", *options]) == 0
    *table, last = capsys.readouterr().out.splitlines()
    stages = json.loads(last)["stages"]
    assert [stage["name"] for stage in stages] == ["choice", "expert", "post", "refine"]
    assert stages[3]["samples"] == 3 * 2000 * 64
    assert all(0 < stage["days"] < 0.1 for stage in stages)
    assert "does not fit" not in "".join(table)


def test_what_cannot_be_run_can_only_be_planned(capsys):
    assert main(["train", "xr0"]) == 2
    assert "--plan" in capsys.readouterr().err
    assert main(["train", "nut-station", "--plan", "--gpus", "7"]) == 2
    assert "divide a batch of 64, got 7" in capsys.readouterr().err


def test_what_is_asked_of_a_plan_starts_no_training(tmp_path, capsys):
    assert main(["train", "nut-station", "--gpus", "4", "--out", str(tmp_path / "run")]) == 2
    assert "--gpus is for a dry run only: add --plan" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert main(["train", "blocks", "--plan"]) == 2
    assert "blocks has no --plan; nut-station and xr0 do" in capsys.readouterr().err
    assert main(["train", "finetun"]) == 2
    assert "did you mean `takt train finetune`?" in capsys.readouterr().err


def test_a_batch_that_is_planned_takes_no_memory():
    batch = blank_batch(xr0.xr0(), xr0.SPEC, 10**5, META)
    assert batch.inputs.pixel_values.is_meta
    assert len(batch.state) == 10**5
