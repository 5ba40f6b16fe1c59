import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
    Qwen2VLImageProcessorPil,
    smart_resize,
)

from takt.policies.xr0.cache import PromptInputs
from takt.policies.xr0.checkpoint import load_checkpoint, save_checkpoint
from takt.policies.xr0.checkpoint_files import CheckpointError
from takt.policies.xr0.images import (
    ImageError,
    fit_images,
    fit_size,
    pack_patches,
    resize,
)
from takt.policies.xr0.preprocessor_config import image_settings, read_bodies, with_image_settings
from takt.policies.xr0.presets import nano, xr0_4_7b
from takt.policies.xr0.processor import XR0Processor, prompt_text, rotary_positions
from takt.policies.xr0.tokenizer import SPECIAL_TOKENS, VOCAB_SIZE, build_tokenizer
from takt.types import TaktError


def test_released_template():
    text = prompt_text(("Base View", "Left-Wrist View"), "open the drawer.", (1, 2))
    assert text == (
        "<|im_start|>user\nThe following observations are captured from multiple views.\n"
        "# Base View\n<|vision_start|><|image_pad|><|vision_end|>\n"
        "# Left-Wrist View\n<|vision_start|><|image_pad|><|image_pad|><|vision_end|>\n"
        "Generate robot actions for the task:\nopen the drawer. /no_cot<|im_end|>\n"
        "<|im_start|>assistant\n<cot></cot><|im_end|>\n"
    )


def test_three_views_cost_few_text_tokens(processor, prompts, spec):
    image = processor.config.token_ids.image
    text = prompts.input_ids[0] != image
    assert text.sum() <= 40
    assert (~text).sum() == 3 * 16
    written = processor.tokenizer.decode(
        prompts.input_ids[0][text].tolist(), skip_special_tokens=False
    )
    assert written == prompt_text(processor.views, spec.instruction, (0, 0, 0))


def test_tokenizer_is_rebuilt_identically_and_knows_every_byte(tokenizer):
    assert build_tokenizer().to_str() == tokenizer.to_str()
    assert tokenizer.get_vocab_size() <= VOCAB_SIZE
    text = "Grüße, 把螺母放好 🔩\t12!"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_a_tokenizer_file_with_qwen_ids_serves_the_released_size(tmp_path):
    vocab = {byte: number for number, byte in enumerate(sorted(ByteLevel.alphabet()))}
    vocab |= {token: 151_643 + number for number, token in enumerate(SPECIAL_TOKENS)}
    written = Tokenizer(BPE(vocab, []))
    written.pre_tokenizer = ByteLevel(add_prefix_space=False)
    written.add_special_tokens(list(SPECIAL_TOKENS))
    written.save(str(tmp_path / "tokenizer.json"))
    read = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    processor = XR0Processor(xr0_4_7b(), read, ("Base View", "Left-Wrist View"))
    inputs = processor([np.zeros((1, 256, 256, 3), np.uint8)] * 2, ["Open the drawer."])
    assert (inputs.input_ids == 151_655).sum() == 2 * 64
    assert inputs.input_ids[0, 0] == 151_644
    assert inputs.pixel_values.shape == (2 * 256, 1536)


def test_positions_are_those_of_transformers(model, processor, prompts):
    ids, grids = prompts.input_ids[0], [(8, 8)] * 3
    ours = rotary_positions(ids.tolist(), grids, processor.config)
    kinds = (ids == processor.config.token_ids.image)[None].int()
    theirs, _ = model.vlm.model.get_rope_index(
        ids[None], kinds, image_grid_thw=torch.tensor([(1, 8, 8)] * 3)
    )
    assert (ours == theirs[:, 0].numpy()).all()


@pytest.mark.parametrize("config", [nano(), xr0_4_7b()], ids=["nano", "4.7b"])
def test_patches_are_those_of_transformers(config):
    vision = config.vision
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    theirs = Qwen2VLImageProcessorPil(
        patch_size=vision.patch_size,
        merge_size=vision.spatial_merge_size,
        temporal_patch_size=vision.temporal_patch_size,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        size={"shortest_edge": 1, "longest_edge": 10**6},
    )(images=[image], return_tensors="pt")["pixel_values"]
    ours = pack_patches(torch.from_numpy(image)[None], vision)[0]
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("height", "width", "fitted"),
    [
        (256, 256, (256, 256)),
        (200, 200, (192, 192)),
        (84, 84, (96, 96)),
        (480, 640, (256, 320)),
        (10, 10, (32, 32)),
    ],
)
def test_sides_fit_the_budget(height, width, fitted):
    config = xr0_4_7b()
    assert fit_size(height, width, config) == fitted
    assert config.image_pixels[0] <= fitted[0] * fitted[1] <= config.image_pixels[1]


@pytest.mark.parametrize("sides", [(200, 200), (84, 84), (480, 640), (37, 1000), (256, 320)])
@pytest.mark.parametrize("budget", [(1024, 90_000), (65_536, 16_777_216)])
def test_resized_images_are_those_of_transformers(sides, budget):
    settings = {"min_pixels": budget[0], "max_pixels": budget[1]}
    config = with_image_settings(xr0_4_7b(), settings)
    image = np.random.default_rng(0).integers(0, 256, (*sides, 3), dtype=np.uint8)
    theirs = Qwen2VLImageProcessorPil(
        patch_size=16, image_mean=[0.5] * 3, image_std=[0.5] * 3, **settings
    )(images=[image], return_tensors="pt")
    fitted = fit_images(image[None], config)
    grid = [side // 16 for side in fitted.shape[1:3]]
    assert theirs["image_grid_thw"].tolist() == [[1, *grid]]
    ours = pack_patches(fitted, config.vision)[0]
    torch.testing.assert_close(ours, theirs["pixel_values"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("budget", [(1024, 90_000), (65_536, 16_777_216), (1, 4096)])
def test_sizes_are_those_of_transformers(budget):
    config = replace(xr0_4_7b(), image_pixels=budget)
    few = [*range(1, 40), 47, 48, 49, 80, 199, 200, 201, 256, 1000, 2049]
    for height, width in ((height, width) for height in few for width in few):
        if max(height, width) <= 200 * min(height, width):
            theirs = smart_resize(height, width, 32, *budget)
            assert fit_size(height, width, config) == theirs, (height, width)


def test_size_rule_of_a_released_file():
    config = xr0_4_7b()
    size = {"shortest_edge": 65_536, "longest_edge": 200_000}
    released = with_image_settings(config, {"size": size, "do_resize": True, "patch_size": 16})
    assert fit_size(200, 200, config) == (192, 192)
    assert fit_size(200, 200, released) == fit_size(84, 84, released) == (256, 256)
    as_given = with_image_settings(config, {"do_resize": False, "image_mean": [0.5] * 3})
    assert fit_size(480, 640, config) == (256, 320)
    assert fit_size(480, 640, as_given) == (480, 640)
    assert fit_size(200, 200, as_given) == (192, 192)
    assert with_image_settings(config, {"action_config": {}}) == config
    for written in (released, as_given):
        assert with_image_settings(config, image_settings(written)) == written


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"patch_size": 14}, "patch_size"),
        ({"image_std": [0.27, 0.26, 0.28]}, "image_std"),
        ({"do_rescale": False}, "do_rescale"),
        ({"resample": 2}, "resample 3, got 2"),
        ({"do_resize": "false"}, "do_resize"),
        ({"size": {"height": 224, "width": 224}}, "size = {shortest_edge, longest_edge}"),
        ({"size": [1024, 90_000]}, "size = {shortest_edge, longest_edge}"),
        ({"size": {"shortest_edge": "a"}}, "size.shortest_edge .* got 'a'"),
        ({"size": {"shortest_edge": -1}}, "size.shortest_edge .* got -1"),
        ({"size": {"longest_edge": True}}, "size.longest_edge .* got True"),
        ({"max_pixels": 0}, "max_pixels .* got 0"),
        ({"min_pixels": 9000, "max_pixels": 4000}, "smallest .* 9000 and 4000"),
    ],
)
def test_another_image_rule_is_refused_by_name(wrong, says):
    with pytest.raises(CheckpointError, match=says):
        with_image_settings(xr0_4_7b(), wrong)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"std": [[1.0, -1.0]]}, "std: expected deviations from 0 on"),
        ({"mean": [["1", "2"]]}, "numbers"),
        ({"execute_horizon": 0.5}, "execute_horizon .* got 0.5"),
        ({"execute_horizon": True}, "execute_horizon .* got True"),
        ({"execute_horizon": 2}, r"execute_horizon .* 1\.\.1, got 2"),
    ],
)
def test_statistics_that_cannot_be_are_refused_by_name(change, says):
    entry = {"mean": [[0.0, 0.0]], "std": [[1.0, 1.0]], **change}
    config = replace(xr0_4_7b(), action_dim=2)
    with pytest.raises(CheckpointError, match=f"'arm'.*{says}"):
        read_bodies({"action_config": {"arm": entry}}, config)


def test_a_checkpoint_brings_its_size_rule(checkpoint, tmp_path):
    save_checkpoint(tmp_path, checkpoint)
    assert load_checkpoint(tmp_path).model.config == checkpoint.model.config
    path = tmp_path / "preprocessor_config.json"
    size = {"shortest_edge": 4096, "longest_edge": 8192}
    settings = json.loads(path.read_text()) | {"do_resize": False, "size": size}
    path.write_text(json.dumps(settings))
    config = load_checkpoint(tmp_path).model.config
    assert (config.image_rule, config.image_pixels) == ("misfits", (4096, 8192))


def test_odd_sizes_are_resized(processor):
    views = [np.full((2, 70, 100, 3), 255, np.uint8), np.zeros((2, 64, 64, 3), np.uint8)]
    two = XR0Processor(processor.config, processor.tokenizer, ("Ego View", "Base View"))
    inputs = two(views, ["go"] * 2)
    assert inputs.image_grid_thw.tolist() == [[1, 8, 12], [1, 8, 8]] * 2
    white = inputs.pixel_values[: 8 * 12]
    torch.testing.assert_close(white, torch.ones_like(white))
    assert resize(torch.zeros(1, 8, 8, 3, dtype=torch.uint8), (16, 24)).shape == (1, 16, 24, 3)


def test_a_flipped_view_is_read_as_it_looks(processor):
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    turned = fit_images(image[:, ::-1, ::-1], processor.config)
    assert (turned.numpy() == np.rot90(image, 2, (1, 2))).all()


@pytest.mark.parametrize(
    ("shape", "dtype", "advice"),
    [
        ((1, 64, 64, 4), "uint8", "alpha"),
        ((1, 3, 64, 64), "uint8", "channel axis last"),
        ((1, 64, 64, 1), "uint8", "grey or palette"),
        ((1, 64, 64), "uint8", "grey or palette"),
        ((1, 64, 64, 3), "float32", "0..255"),
        ((1, 64, 64, 3), "uint16", "8 bits"),
        ((1, 0, 64, 3), "uint8", "no pixels"),
        ((1, 1, 201, 3), "uint8", "crop"),
    ],
)
def test_other_images_are_refused_with_advice(processor, shape, dtype, advice):
    with pytest.raises(ImageError, match=advice):
        fit_images(np.zeros(shape, dtype), processor.config)


def test_bad_input_is_named(model, processor):
    images = [np.zeros((1, 64, 64, 3), np.uint8)] * 3
    with pytest.raises(TaktError, match="3 views"):
        processor(images[:2], ["go"])
    with pytest.raises(TaktError, match="uint8"):
        processor([np.zeros((1, 64, 64, 3), np.float32)] * 3, ["go"])
    with pytest.raises(TaktError, match="image tokens"):
        processor(images, ["<|image_pad|>"])
    with pytest.raises(TaktError, match="at most 4096 tokens"):
        processor(images, ["nut " * 5000])
    with pytest.raises(TaktError, match=r"each of 2 instructions, got \[1, 1, 1\]"):
        processor(images, ["go", "stop"])
    with pytest.raises(ImageError, match=r"Image; .*convert\('RGB'\)"):
        processor([Image.new("L", (64, 64))] * 3, ["go"])
    with pytest.raises(TaktError, match="no image slot"):
        XR0Processor(processor.config, processor.tokenizer, ())
    no_image = PromptInputs(
        input_ids=torch.zeros(1, 4, dtype=torch.long),
        attention_mask=None,
        pixel_values=torch.zeros(0, 192),
        image_grid_thw=torch.zeros(0, 3, dtype=torch.long),
        position_ids=torch.arange(4).expand(3, 1, 4),
    )
    with pytest.raises(TaktError, match="no image slot"):
        model.encode(no_image)
    shifted = replace(processor.config.token_ids, vision_end=3)
    for config in (xr0_4_7b(), replace(processor.config, token_ids=shifted)):
        with pytest.raises(TaktError, match="tokenizer.json"):
            XR0Processor(config, processor.tokenizer, ("Ego View",))
