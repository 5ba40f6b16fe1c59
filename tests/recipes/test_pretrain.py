"""Pre-training on a mixture: several bodies and conversations, one checkpoint that knows them."""

import json
import shutil
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest

pytest.importorskip("torch")

import tiny
import torch

from takt.datasets.writer import LeRobotWriter
from takt.embodiments.slot_table import LayoutMismatchError
from takt.policies.xr0.backbone import load_backbone
from takt.policies.xr0.checkpoint import load_checkpoint
from takt.policies.xr0.checkpoint_files import CheckpointError
from takt.policies.xr0.model import XR0
from takt.policies.xr0.released_config import text_json, to_json, vision_json
from takt.policies.xr0.tokenizer import build_tokenizer
from takt.recipes.pretrain import PretrainConfig, run, training
from takt.recipes.watch import WatchConfig
from takt.training.batches import Batcher
from takt.training.body_statistics import DeadStatisticsError
from takt.training.flow_objective import OBJECTIVES, PAPER, SYNCHRONOUS
from takt.training.mixture import Mixture, RobotFrames
from takt.training.shards import WHOLE, Shard
from takt.types import TaktError

BODY_FILE = """
name = "{name}"
rate_hz = 10
instruction = "Wave."
axes = [
  {{ name = "left_turn", unit = "rad", low = -2, high = 2, slot = 3, relative = true }},
  {{ name = "left_jaw", unit = "{unit}", low = -2, high = 2, slot = {slot} }},
]
cameras = [{{ name = "front", view = "Front View", height = {px}, width = {px} }}]
"""
FEW = PretrainConfig(horizon=8, execute=6, words=1, choice=2, expert=1, batch=8)


def body(folder, name, unit="m", slot=6):
    text = BODY_FILE.format(name=name, unit=unit, slot=slot, px=tiny.PX)
    (folder / f"{name}.toml").write_text(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two bodies' datasets and a set of words."""
    root = tmp_path_factory.mktemp("mixture")
    for number, name in enumerate(("one", "two")):
        with LeRobotWriter(root / name, tiny.BODY, extras={tiny.POINTS_KEY: 12}) as writer:
            for seed in range(2):
                writer.add_episode(tiny.episode(10 * number + seed))
        body(root, name, slot=6 + number)
    rows = [{"images": [f"{n}.png"], "conversations": talk(n)} for n in range(3)]
    write_words(root, rows)
    return root


def talk(number):
    ask = {"from": "human", "value": "<image>\nHow many?"}
    return [ask, {"from": "gpt", "value": str(number)}]


def write_words(root, rows):
    for row in rows:
        PIL.Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(root / row["images"][0])
    (root / "words.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def mixture(folder, *names, words=True):
    text = "".join(f'[[robots]]\ndata = "{n[:3]}"\nbody = "{n}.toml"\n' for n in names)
    path = folder / f"{'-'.join(names)}.toml.mixture"
    path.write_text(text + '[[conversations]]\ndata = "words.jsonl"\n' * words)
    return path


def pretrain(config, path, out, **options):
    return run(config, mixture=path, out=out, ranks=1, log=lambda line: None, **options)


def test_one_checkpoint_knows_every_body_and_a_run_goes_on(folder, tmp_path):
    path = mixture(folder, "one", "two")
    policy = pretrain(FEW, path, tmp_path)
    known = load_checkpoint(policy)
    assert set(known.bodies) == {"one", "two"}
    assert (tmp_path / "training.html").exists()
    before = (policy / "model.safetensors").stat().st_mtime_ns
    assert pretrain(FEW, path, tmp_path) == policy
    assert (policy / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(TaktError, match="choice: 2, now 3"):
        pretrain(replace(FEW, choice=3), path, tmp_path)


def test_what_is_refused_leaves_the_folder_free_and_bad_episodes_are_left_out(folder, tmp_path):
    data = tmp_path / "one"
    shutil.copytree(folder / "one", data)
    with LeRobotWriter(data, tiny.BODY, extras={tiny.POINTS_KEY: 12}) as writer:
        writer.add_episode(tiny.episode(5))
    for video in sorted(data.rglob("*.mp4")):
        if "front" in str(video) and video.name.endswith("002.mp4"):
            video.write_bytes(video.read_bytes()[:50])
    body(tmp_path, "one")
    path = mixture(tmp_path, "one", words=False)
    config = replace(FEW, words=0, validation=0.0)
    with pytest.raises(TaktError, match=r"episode 2.*--skip-bad"):
        pretrain(config, path, tmp_path / "out")
    assert not (tmp_path / "out" / "run.json").exists()
    policy = pretrain(replace(config, skip_bad=True), path, tmp_path / "out")
    assert set(load_checkpoint(policy).bodies) == {"one"}


def test_an_axis_that_never_moves_and_uneven_ranks_claim_nothing(folder, tmp_path, monkeypatch):
    with LeRobotWriter(tmp_path / "one", tiny.BODY, extras={tiny.POINTS_KEY: 12}) as writer:
        still = tiny.episode(0)
        still.actions[:, 1] = 0.5
        writer.add_episode(still)
    body(tmp_path, "one")
    path, out = mixture(tmp_path, "one", words=False), tmp_path / "out"
    config = replace(FEW, model=str(tiny_config(tmp_path)), words=0)
    with pytest.raises(DeadStatisticsError, match="left_jaw"):
        pretrain(config, path, out)
    monkeypatch.setattr("takt.training.parallel.world_size", lambda: 3)
    with pytest.raises(TaktError, match="divide a batch of 8"):
        pretrain(config, mixture(folder, "one", words=False), out)
    assert not (out / "run.json").exists()


def test_two_ranks_pretrain_and_measure_together(folder, tmp_path):
    path = mixture(folder, "one", "two")
    config = replace(FEW, model=str(tiny_config(tmp_path)), words=0, choice=1, expert=2)
    watch = WatchConfig(validate_every=1, tensorboard=False)
    policy = run(config, mixture=path, out=tmp_path / "out", ranks=2, log=print, watch=watch)
    assert set(load_checkpoint(policy).bodies) == {"one", "two"}
    lines = (tmp_path / "out" / "expert" / "metrics.jsonl").read_text()
    assert "error_by_step" in lines


def test_what_trains_badly_is_said_of_each_dataset(tmp_path, monkeypatch):
    still, lines = tiny.episode(0), []
    still.state[:, 1] = 0.25
    with LeRobotWriter(tmp_path / "one", tiny.BODY, extras={tiny.POINTS_KEY: 12}) as writer:
        writer.add_episode(still)
    body(tmp_path, "one")
    monkeypatch.setattr("takt.training.parallel.launch", lambda *rest: None)
    path, config = mixture(tmp_path, "one", words=False), replace(FEW, words=0)
    run(config, mixture=path, out=tmp_path / "out", ranks=1, log=lines.append)
    (warning,) = [line for line in lines if "warning: " in line]
    assert warning.startswith(f"{tmp_path / 'one'}: warning: state axis 'left_jaw'")


def tiny_config(folder):
    path = folder / "config.json"
    path.write_text(json.dumps(to_json(tiny.MODEL)))
    return path


def test_bodies_that_disagree_are_refused_with_the_slot_table(folder, tmp_path):
    body(folder, "one_other", unit="1")
    with pytest.raises(LayoutMismatchError, match=r"left_jaw \(m\) +left_jaw \(1\)  <- disagree"):
        pretrain(FEW, mixture(folder, "one", "one_other"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_to_act_while_thinking_learns_to_go_on_from_committed_actions():
    chosen = replace(FEW, post=1, objective="prefixed")
    found = [training(config).objective for config in (FEW, replace(FEW, post=1), chosen)]
    assert found == [SYNCHRONOUS, PAPER, OBJECTIVES["prefixed"]]
    short = replace(FEW, horizon=4, execute=2)
    assert training(short).horizon == 4  # without a prefix
    with pytest.raises(TaktError, match="max_prefix=6"):
        training(replace(short, post=1))


def test_words_need_conversations(folder, tmp_path):
    with pytest.raises(TaktError, match=r"\[\[conversations\]\]"):
        pretrain(FEW, mixture(folder, "one", words=False), tmp_path)
    with pytest.raises(TaktError, match="a stage"):
        PretrainConfig(choice=0, expert=0)
    with pytest.raises(TaktError, match="positive --lr, got 0"):
        PretrainConfig(lr=0.0)


def test_batches_are_of_one_body_and_come_as_often_as_they_weigh():
    data = tiny.frames()
    batcher = tiny.batcher(data)
    one = batcher.draw(1, torch.Generator().manual_seed(0))

    class Named(Batcher):
        """Says which one was drawn."""

        def __init__(self, number):
            self.mine = replace(one, points=torch.tensor(number))

        def draw(self, size, generator, shard=WHOLE):
            return self.mine

    source = Mixture([Named(0), Named(1)], [3.0, 1.0])
    drawn, again = (
        [int(source.draw(4, torch.Generator().manual_seed(seed)).points) for seed in range(400)]
        for _ in range(2)
    )
    assert sum(drawn) == pytest.approx(100, abs=30)
    assert drawn == again
    whole = Mixture([batcher], [1.0]).draw(4, torch.Generator().manual_seed(1))
    parts = [
        Mixture([batcher], [1.0]).draw(4, torch.Generator().manual_seed(1), Shard(index, 2))
        for index in range(2)
    ]
    assert torch.equal(whole.actions, torch.cat([part.actions for part in parts]))
    assert RobotFrames(spec=tiny.BODY, frames=[data]).share == len(data)


def test_the_vlm_begins_as_a_qwen3_vl_of_its_size(tmp_path):
    """From a folder that transformers wrote."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    torch.manual_seed(0)
    config = Qwen3VLConfig(
        text_config=text_json(tiny.MODEL),
        vision_config=vision_json(tiny.MODEL),
        tie_word_embeddings=True,
    )
    donor = Qwen3VLForConditionalGeneration(config)
    donor.save_pretrained(tmp_path)
    build_tokenizer().save(str(tmp_path / "tokenizer.json"))
    model = XR0(tiny.MODEL)
    kept = {name: x.clone() for name, x in model.action_projector.state_dict().items()}
    tokenizer = load_backbone(model, tmp_path)
    assert tokenizer.to_str() == build_tokenizer().to_str()
    weights = donor.state_dict()
    for name, tensor in model.vlm.state_dict().items():
        assert torch.equal(tensor, weights[name]), name
    assert all(torch.equal(x, kept[n]) for n, x in model.action_projector.state_dict().items())
    larger = replace(tiny.MODEL, vision=replace(tiny.MODEL.vision, depth=2))
    with pytest.raises(CheckpointError, match=r"missing vlm\.model\.visual\.blocks\.1"):
        load_backbone(XR0(larger), tmp_path)
