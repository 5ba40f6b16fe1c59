"""Commands by name: `takt NAME` runs `main(argv)` of the module takt.commands.NAME."""

COMMANDS: dict[str, str] = {
    "doctor": "what works on this machine, and how to mend the rest",
    "record": "write demonstrations of a scripted expert as a dataset",
    "data": "inspect, convert, merge, split, align and label datasets",
    "model": "inspect a checkpoint, compare it with recorded numbers",
    "chat": "ask the vision-language backbone about images",
    "train": "train a policy by the name of its recipe",
    "eval": "ask vision-language benchmarks, and what training left of the skill",
    "bench": "what acting while thinking costs: every strategy at injected delays",
    "run": "drive any body with any policy",
    "serve": "serve a policy to robots elsewhere, openpi's clients among them",
    "shift": "run a shift of the station and write its report",
}
