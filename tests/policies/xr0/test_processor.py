import numpy as np
import pytest
import torch
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from takt.policies.xr0.images import fit_size, pack_patches, resize
from takt.policies.xr0.presets import nano, xr0_4_7b
from takt.policies.xr0.processor import XR0Processor, prompt_text, rotary_positions
from takt.policies.xr0.tokenizer import VOCAB_SIZE, build_tokenizer
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


def test_odd_sizes_are_resized(processor):
    views = [np.full((2, 70, 100, 3), 255, np.uint8), np.zeros((2, 64, 64, 3), np.uint8)]
    two = XR0Processor(processor.config, processor.tokenizer, ("Ego View", "Base View"))
    inputs = two(views, ["go"] * 2)
    assert inputs.image_grid_thw.tolist() == [[1, 8, 12], [1, 8, 8]] * 2
    white = inputs.pixel_values[: 8 * 12]
    torch.testing.assert_close(white, torch.ones_like(white))
    assert resize(torch.zeros(1, 8, 8, 3, dtype=torch.uint8), (16, 24)).shape == (1, 16, 24, 3)


def test_bad_input_is_named(processor):
    images = [np.zeros((1, 64, 64, 3), np.uint8)] * 3
    with pytest.raises(TaktError, match="3 views"):
        processor(images[:2], ["go"])
    with pytest.raises(TaktError, match="uint8"):
        processor([np.zeros((1, 64, 64, 3), np.float32)] * 3, ["go"])
    with pytest.raises(TaktError, match="image tokens"):
        processor(images, ["<|image_pad|>"])
    with pytest.raises(TaktError, match="no image slot"):
        XR0Processor(processor.config, processor.tokenizer, ())
    with pytest.raises(TaktError, match="tokenizer.json"):
        XR0Processor(xr0_4_7b(), processor.tokenizer, ("Ego View",))
