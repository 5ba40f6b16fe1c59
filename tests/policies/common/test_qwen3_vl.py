"""Our forward pass against transformers' own, on the same modules."""

import pytest
import torch
from transformers import Qwen3VLConfig, Qwen3VLModel

from takt.policies.common.kernels import attend, rms_norm
from takt.policies.common.qwen3_vl import encode_images, run_text
from takt.policies.common.rotary import text_rotary
from takt.policies.xr0.masks import causal_mask

IMAGE = 7
SECTIONS = (2, 1, 1)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    text = {
        "vocab_size": 20,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "intermediate_size": 48,
        "initializer_range": 0.2,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1e4,
            "mrope_section": list(SECTIONS),
            "mrope_interleaved": True,
        },
    }
    vision = {
        "hidden_size": 16,
        "depth": 2,
        "num_heads": 2,
        "intermediate_size": 24,
        "patch_size": 4,
        "out_hidden_size": 32,
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0, 1],
        "initializer_range": 0.2,
    }
    config = Qwen3VLConfig(text_config=text, vision_config=vision, image_token_id=IMAGE)
    return Qwen3VLModel(config).eval()


def run_both(model, grids, padded):
    """Transformers' hidden states and cache beside ours, for one image per prompt."""
    generator = torch.Generator().manual_seed(1)
    firsts = (1, 4, 5)
    prompts = [
        [first, *[IMAGE] * (height * width // 4), 2, 3]
        for first, (height, width) in zip(firsts, grids, strict=False)
    ]
    length = max(len(tokens) for tokens in prompts)
    ids, mask = torch.zeros(2, len(prompts), length, dtype=torch.long)
    for row, tokens in enumerate(prompts):
        ids[row, length - len(tokens) :] = torch.tensor(tokens)  # left padding
        mask[row, length - len(tokens) :] = 1
    assert bool(mask.all()) is not padded
    pixels = torch.randn(sum(h * w for h, w in grids), 3 * 2 * 16, generator=generator)
    thw = torch.tensor([(1, *grid) for grid in grids])
    types = (ids == IMAGE).int()
    positions, _ = model.get_rope_index(ids, types, image_grid_thw=thw, attention_mask=mask)
    theirs = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        pixel_values=pixels,
        image_grid_thw=thw,
        use_cache=True,
    )
    visual = encode_images(model.visual, pixels, grids, "float32")
    slots = (ids == IMAGE).flatten().nonzero().squeeze(1)
    words = model.language_model.embed_tokens(ids)
    embeds = words.flatten(0, 1).index_copy(0, slots, visual.embeds).view_as(words)
    rotary = text_rotary(positions, 8, 1e4, SECTIONS, "float32", torch.float32)
    seen = causal_mask(mask) if padded else None
    ours = run_text(
        model.language_model, embeds, rotary, seen, visual.deepstack, slots, tail=length
    )
    return theirs, ours, mask.bool()


@pytest.mark.parametrize(
    ("grids", "padded"),
    [([(4, 4), (4, 4)], False), ([(4, 6), (2, 4)], True), ([(4, 6), (2, 4), (4, 6)], True)],
)
def test_same_hidden_states_keys_and_values(model, grids, padded):
    with torch.no_grad():
        theirs, ours, real = run_both(model, grids, padded)
    assert ours.hidden is not None
    torch.testing.assert_close(
        ours.hidden[real], theirs.last_hidden_state[real], atol=2e-5, rtol=1e-5
    )
    for layer, key, value in zip(
        theirs.past_key_values.layers, ours.keys, ours.values, strict=True
    ):
        for own, other in ((key, layer.keys), (value, layer.values)):
            own, other = own.transpose(1, 2)[real], other.transpose(1, 2)[real]
            torch.testing.assert_close(own, other, atol=2e-5, rtol=1e-5)


def test_gradients_reach_pixels_through_keys(model):
    _, ours, _ = run_both(model, [(4, 4), (4, 4)], False)
    (sum(key.square().sum() for key in ours.keys) + ours.values[-1].square().sum()).backward()
    gradient = model.visual.patch_embed.proj.weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 0


def test_norm_has_the_gradient_of_its_formula():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(8, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: rms_norm(a.transpose(0, 1), b, 1e-6), (x, weight))
    with torch.no_grad():
        plain = rms_norm(x, weight, 1e-6)
    torch.testing.assert_close(rms_norm(x, weight, 1e-6), plain)


def test_attention_keeps_float32_under_cpu_autocast():
    q, k, v = torch.randn(3, 2, 4, 5, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = attend(q, k[:, :2], v[:, :2], causal=True)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, attend(q, k[:, :2], v[:, :2], causal=True))
