"""The least work of a stage is that of the weights which are served."""

import torch
from inference_sides import prepare
from roofline import language_bytes, stage_work


def sides(mode):
    device = torch.device("cpu")
    return prepare("nano", device, views=1, horizon=4, steps=2, mode=mode, compiled=False)


def work(found):
    def flow(cache):
        return found.model.sample(cache, found.state, found.mask, found.noise, None, 2)

    return stage_work(found.model, found.served, found.inputs, flow, 2)


def test_codes_are_fewer_bytes_and_the_same_arithmetic():
    plain, coded = work(sides(None)), work(sides("int8"))
    for stage in ("vision", "language", "DiT loop"):
        assert coded[stage].flops == plain[stage].flops
        assert 0.2 < coded[stage].bytes / plain[stage].bytes < 0.8


def test_the_last_language_layer_gives_keys_and_values_alone():
    model = sides(None).model
    layers = model.vlm.model.language_model.layers
    last = layers[-1]
    without = dict(last.named_parameters()).keys() - {
        "self_attn.k_proj.weight",
        "self_attn.v_proj.weight",
        "self_attn.k_norm.weight",
        "input_layernorm.weight",
    }
    whole = sum(x.nbytes for x in layers.parameters())
    unread = sum(last.get_parameter(name).nbytes for name in without)
    assert language_bytes(model) == whole - unread
