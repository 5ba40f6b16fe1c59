"""From a stranger's dataset to a checkpoint that plans for its body."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from takt.datasets.body import BodyEpisodes, describe
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.merging import split_episodes
from takt.datasets.vision_language_row import Row
from takt.datasets.vision_language_set import BadRowError
from takt.datasets.vision_language_writer import encode_image, write_rows
from takt.datasets.writer import LeRobotWriter
from takt.embodiments import load_embodiment
from takt.embodiments.draft import draft_body
from takt.policies.xr0.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from takt.policies.xr0.model import XR0
from takt.policies.xr0.policy import XR0Policy
from takt.policies.xr0.tokenizer import build_tokenizer
from takt.recipes.finetune import RECIPES, run
from takt.training.body_statistics import DeadStatisticsError, fit_body, require_alive
from takt.training.finetune_config import FinetuneConfig
from takt.training.finetuning import choose_horizon, finetune, open_start
from takt.training.frame_cache import hold_out
from takt.training.frames import stack_episodes
from takt.training.measures import Measures
from takt.types import ActionSpace, Observation, StateSpace, TaktError, Turn

FIXTURES = Path(__file__).parents[1] / "data" / "lerobot"
CONFIG = FinetuneConfig(steps=2, batch=2, draws=2, image_pixels=(256, 2048))


def blank(folder, dtype=torch.float16):
    """A checkpoint of the tiny model that knows no body."""
    torch.manual_seed(0)
    start = Checkpoint(model=XR0(tiny.MODEL), tokenizer=build_tokenizer(), bodies={})
    save_checkpoint(folder, start, dtype)
    return folder


@pytest.fixture(scope="module")
def init(tmp_path_factory):
    return blank(tmp_path_factory.mktemp("init"))


def draft(data, out):
    path = out / "body.toml"
    path.write_text(draft_body(describe(LeRobotDataset.open(data))), encoding="utf-8")
    return path


def train(data, init, out, config=CONFIG):
    reports = []
    finetune(config, draft(data, out), data, init, out, reports.append)
    return reports


def plan(data, out, index=1):
    spec = load_embodiment(out / "body.toml")
    episode = BodyEpisodes.of(LeRobotDataset.open(data), spec).episode(index)
    images = {name: rows[0] for name, rows in episode.images.items()}
    observation = Observation(
        stamp=0.0,
        images=images,
        image_stamps=dict.fromkeys(images, 0.0),
        state=episode.state[0],
        instruction=episode.instruction,
    )
    policy = XR0Policy.load(out / "policy", spec)
    policy.reset(0)
    return spec, policy, policy.infer(observation, None)


@pytest.mark.parametrize("name", ["v21_image_0.3.2", "v30_video_0.6.1"])
def test_a_dataset_becomes_a_policy_of_its_body(name, init, tmp_path):
    reports = train(FIXTURES / name, init, tmp_path)
    assert [report.step for report in reports] == [1, 2]
    spec, policy, chunk = plan(FIXTURES / name, tmp_path)
    assert chunk.actions.shape == (10, 7)  # 1 s at 10 Hz
    assert (policy.execute_horizon, chunk.dt) == (5, 0.1)
    assert (chunk.actions >= spec.action_space.low).all()
    assert (chunk.actions <= spec.action_space.high).all()
    validation = json.loads((tmp_path / "validation.json").read_text())
    assert validation["axes"] == list(spec.action_space.names)
    assert len(validation["error_by_step_std"]) == 10
    assert validation["frames"] == {0: 12, 1: 15, 2: 9, 3: 20}[validation["episodes"][0]]


@pytest.mark.parametrize(
    ("contract", "objective", "losses", "prefix"),
    [
        ("causal", "synchronous", {"loss"}, 0),
        ("xr0_posttrain", "synchronous", {"loss"}, 0),
        ("training_time_rtc", "prefixed", {"loss"}, 6),
        ("xr0_posttrain", "released", {"loss", "mse", "frequency"}, 6),
    ],
)
def test_baselines_are_settings(contract, objective, losses, prefix, init, tmp_path):
    config = replace(CONFIG, contract=contract, objective=objective)
    reports = train(FIXTURES / "v30_video_0.6.1", init, tmp_path, config)
    assert set(reports[-1].losses) == losses
    stored = load_checkpoint(tmp_path / "policy").model.config.contract
    assert (stored.name, stored.max_prefix) == (contract, prefix)


def test_conversations_are_learnt_beside_the_frames(init, tmp_path):
    image = encode_image(np.full((32, 32, 3), 90, np.uint8))
    rows = [Row(id=str(k), images=(image,), turns=(Turn("What?", "Grey."),)) for k in range(3)]
    write_rows(tmp_path / "set.jsonl", rows)
    (tmp_path / "set.images" / "00000001.jpg").write_bytes(b"no image")
    words = (tmp_path / "set.jsonl",)
    config = replace(CONFIG, steps=3, batch=4, frames_per_conversation=2, conversations=words)
    with pytest.raises(BadRowError, match=r"set.jsonl: row 2: .*00000001.jpg.*--skip-bad"):
        train(FIXTURES / "v21_image_0.3.2", init, tmp_path, config)
    reports = train(FIXTURES / "v21_image_0.3.2", init, tmp_path, replace(config, skip_bad=True))
    assert all(report.losses["words"] > 0 for report in reports)
    validation = json.loads((tmp_path / "validation.json").read_text())
    assert "1 damaged rows" in validation["left_out_conversations"]
    assert load_checkpoint(tmp_path / "policy").has_words is True


def test_conversations_need_a_vlm_that_learns(tmp_path):
    with pytest.raises(TaktError, match="--freeze vlm"):
        FinetuneConfig(conversations=(tmp_path,), freeze="vlm")
    with pytest.raises(TaktError, match="--frames-per-conversation of at least 1"):
        FinetuneConfig(frames_per_conversation=0)


def test_what_was_stored_as_half_stays_so_and_old_bodies_stay(init, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    train(FIXTURES / "v21_image_0.3.2", init, first)
    train(FIXTURES / "v21_image_0.3.2", first / "policy", second)
    checkpoint = load_checkpoint(second / "policy", dtype=None)
    assert checkpoint.model.dtype == torch.float16
    facts = "preprocessor_config.json"
    assert (second / "policy" / facts).read_text() == (first / "policy" / facts).read_text()


def changed(init, out):
    before, after = (load_checkpoint(x).model.state_dict() for x in (init, out / "policy"))
    return {name for name, x in after.items() if not torch.equal(x, before[name])}


@pytest.mark.parametrize("lora", [None, 2])
def test_a_frozen_vlm_stays_as_it_was(init, tmp_path, lora):
    config = replace(CONFIG, freeze="vlm", lora=lora, validation=0.0)
    train(FIXTURES / "v21_image_0.3.2", init, tmp_path, config)
    names = changed(init, tmp_path)
    assert any(name.startswith("dit.") for name in names)
    assert not any(name.startswith("vlm.") for name in names)
    validation = json.loads((tmp_path / "validation.json").read_text())
    assert validation["episodes"] == []
    assert len(validation["trained_error_by_step_std"]) == 10


def test_adapters_change_linear_layers_only_and_resume(init, tmp_path):
    config = replace(CONFIG, lora=2, steps=3, lr=0.1)
    train(FIXTURES / "v21_image_0.3.2", init, tmp_path, config)
    names = changed(init, tmp_path)
    assert any("language_model.layers" in name for name in names)
    assert not any("norm" in name or "embed_tokens" in name or "bias" in name for name in names)
    whole = load_checkpoint(tmp_path / "policy").model.state_dict()
    again = train(FIXTURES / "v21_image_0.3.2", init, tmp_path, config)
    assert again == []
    resumed = load_checkpoint(tmp_path / "policy").model.state_dict()
    assert all(torch.equal(resumed[name], x) for name, x in whole.items())


@pytest.mark.parametrize(
    ("options", "moved"),
    [({"lora": 2}, "language_model.layers"), ({"freeze": "vlm"}, "dit.layers")],
)
def test_what_is_frozen_keeps_its_16_bits(tmp_path, options, moved):
    init = blank(tmp_path / "init", torch.bfloat16)
    config = replace(CONFIG, lr=0.1, recompute=True, **options)
    start = open_start(init, config).model
    assert start.vlm.model.language_model.embed_tokens.weight.dtype == torch.bfloat16
    assert start.dtype == (torch.bfloat16 if "lora" in options else torch.float32)
    train(FIXTURES / "v21_image_0.3.2", init, tmp_path, config)
    assert load_checkpoint(tmp_path / "policy", dtype=None).model.dtype == torch.bfloat16
    assert any(moved in name for name in changed(init, tmp_path))


@pytest.mark.parametrize("options", [{}, {"lora": 2}])
def test_the_episodes_held_out_are_looked_at_while_it_trains(tmp_path, options):
    init, found = blank(tmp_path / "init", torch.bfloat16), []
    measures = Measures(validate_every=1, record=lambda *metric: found.append(metric))
    config, data = replace(CONFIG, **options), FIXTURES / "v21_image_0.3.2"
    body = draft(data, tmp_path)
    finetune(config, body, data, init, tmp_path, lambda step: None, measures=measures)
    assert [(stage, metric.step) for stage, metric in found] == [("finetune", 1), ("finetune", 2)]
    seen, final = found[-1][1], json.loads((tmp_path / "validation.json").read_text())
    assert seen.frames == final["frames"]
    for name, error, rtol in (
        ("error_by_step_std", seen.error_by_step, 0.05),  # autocast while it trains
        ("mean_action_error_by_step_std", seen.mean_action_by_step, 1e-6),
    ):
        np.testing.assert_allclose(*(np.array(x, float) for x in (error, final[name])), rtol=rtol)


def test_the_split_is_disjoint_and_keeps_one_to_train_on():
    config = FinetuneConfig(validation=0.2)
    train_on, held_out = hold_out(50, config.validation, config.seed)
    assert (len(train_on), len(held_out)) == (40, 10)
    assert sorted(train_on + held_out) == list(range(50))
    assert held_out == split_episodes(50, config.validation, config.seed)[0]  # `takt data split`
    assert hold_out(50, 0.0, config.seed) == (tuple(range(50)), ())
    assert hold_out(1, config.validation, config.seed) == ((0,), ())
    assert len(hold_out(4, config.validation, config.seed)[1]) == 1


def test_the_chunk_is_a_second_unless_the_checkpoint_or_the_user_says_else(frames):
    known = fit_body([frames], tiny.BODY, tiny.MODEL, horizon=4, execute=3)
    assert choose_horizon(CONFIG, tiny.BODY, None, 6) == (10, 5)
    assert choose_horizon(CONFIG, replace(tiny.BODY, rate_hz=3.0), None, 6) == (8, 4)
    assert choose_horizon(CONFIG, tiny.BODY, known, 2) == (4, 3)
    assert choose_horizon(replace(CONFIG, horizon=6), tiny.BODY, known, 2) == (6, 3)
    with pytest.raises(TaktError, match="T=4.*up to 6.*--objective synchronous"):
        choose_horizon(CONFIG, tiny.BODY, known, 6)


def test_an_axis_that_never_moves_is_named():
    episode = tiny.episode(0)
    episode.actions[:, 1] = 0.5
    frames = stack_episodes([episode], tiny.BODY, tiny.POINTS_KEY)
    statistics = fit_body([frames], tiny.BODY, tiny.MODEL, horizon=4, execute=2)
    with pytest.raises(DeadStatisticsError, match="dead statistics.* left_jaw; take it out"):
        require_alive(statistics, tiny.BODY)


def test_too_little_data_is_refused(init, tmp_path):
    with pytest.raises(TaktError, match=r"one batch of 64 frames.*got \d\d in 3 episodes"):
        train(FIXTURES / "v21_image_0.3.2", init, tmp_path, replace(CONFIG, batch=64))
    assert not (tmp_path / "frames").exists()


def test_a_start_that_is_none_is_refused(init, tmp_path):
    with pytest.raises(TaktError, match=r"folder of a checkpoint.*nowhere"):
        open_start(tmp_path / "nowhere", CONFIG)
    released = tmp_path / "released"
    released.mkdir()
    for file in init.iterdir():
        (released / file.name).write_bytes(file.read_bytes())
    config = json.loads((released / "config.json").read_text())
    del config["takt"]["contract"]
    (released / "config.json").write_text(json.dumps(config))
    with pytest.raises(TaktError, match="--contract hf_release"):
        open_start(released, CONFIG)
    opened = open_start(released, replace(CONFIG, contract="hf_release"))
    assert opened.model.config.contract.max_prefix == 0
    assert opened.model.config.image_pixels == (256, 2048)


def test_the_bridge_recipe_trains_bridge_data(init, tmp_path):
    axes = tuple(f"a{number}" for number in range(7))
    states = tuple(f"s{number}" for number in range(8))
    bound = np.full(7, 9, np.float32)
    body = replace(
        tiny.BODY,
        cameras=tiny.BODY.cameras[:1],
        action_space=ActionSpace(names=axes, units=("",) * 7, low=-bound, high=bound),
        slots=tuple(range(7)),
        relative=(False,) * 7,
        state_space=StateSpace(names=states, slots=tuple(range(8))),
        mirror=None,
    )
    rng, episode = np.random.default_rng(0), tiny.episode(0)
    wide = replace(
        episode,
        images={body.cameras[0].name: episode.images[body.cameras[0].name]},
        image_stamps={body.cameras[0].name: episode.stamps},
        state=rng.normal(size=(12, 8)).astype(np.float32),
        actions=rng.normal(size=(12, 7)).astype(np.float32),
        extras={},
    )
    with LeRobotWriter(tmp_path / "data", body) as writer:
        writer.add_episode(wide)
    config = replace(RECIPES["bridge"], steps=1, batch=2)
    run(
        config,
        data=tmp_path / "data",
        init=init,
        body=None,
        out=tmp_path / "run",
        ranks=1,
        log=lambda line: None,
    )
    spec, policy, _ = plan(tmp_path / "data", tmp_path / "run", 0)
    assert (policy.chunk_horizon, policy.execute_horizon, policy.max_prefix) == (4, 4, 0)
    assert spec.state_slots == (0, 1, 2, 3, 4, 5, 7)
    assert spec.cameras[0].view == "Base View"
