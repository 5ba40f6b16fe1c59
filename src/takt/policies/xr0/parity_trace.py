"""Every intermediate of XR-0 that a recorded case may hold, by its recorded name."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from takt.policies.common.qwen3_vl import encode_images
from takt.policies.xr0.cache import PromptInputs, VLMCache
from takt.policies.xr0.masks import dit_positions
from takt.policies.xr0.model import XR0
from takt.policies.xr0.parity_case import Flow, Run


@torch.no_grad()
def trace(model: XR0, run: Run) -> dict[str, Tensor]:
    """Run the model; the tensors come in the order in which they are computed."""
    cache = model.encode(run.prompt)
    out = _trace_vlm(model, run.prompt, cache)
    if run.flow is not None:
        horizon, prefix = run.flow.noise.shape[1], run.flow.prefix.shape[1]
        out |= trace_layout(model, cache, horizon, prefix)
        out |= _trace_velocities(model, cache, run.flow)
        out |= _trace_actions(model, cache, run.flow)
    return out


def _trace_vlm(model: XR0, prompt: PromptInputs, cache: VLMCache) -> dict[str, Tensor]:
    grids = [(rows, columns) for _, rows, columns in prompt.image_grid_thw.tolist()]
    pixels = prompt.pixel_values.to(model.dtype)
    visual = encode_images(model.vlm.model.visual, pixels, grids, model.config.rotary)
    out = {"vlm.image_embeds": visual.embeds}
    out |= {f"vlm.deepstack.{i}": level for i, level in enumerate(visual.deepstack)}
    out["vlm.position_ids"] = prompt.position_ids
    for number, key, value in zip(model.config.kv_layers, cache.keys, cache.values, strict=True):
        out |= {f"vlm.k.{number}": key, f"vlm.v.{number}": value}
    return out


def trace_layout(
    model: XR0, cache: VLMCache, horizon: int, prefix: int | Tensor, hidden: Tensor | None = None
) -> dict[str, Tensor]:
    """Positions, rotary and mask of the DiT's tokens; arguments as of `XR0.token_layout`."""
    (cos, sin), mask = model.token_layout(cache, horizon, prefix, model.dtype, hidden)
    lead, offset = 1 + model.config.state_length, model.config.contract.rope_offset
    positions = dit_positions(cache.max_position, lead, horizon, prefix, offset)
    names = ("dit.position_ids", "dit.cos", "dit.sin", "dit.attn_mask")
    return dict(zip(names, (positions, cos[:, 0], sin[:, 0], mask), strict=True))


def _trace_velocities(model: XR0, cache: VLMCache, flow: Flow) -> dict[str, Tensor]:
    """Integrate by hand over `velocity`, so that every step shows what it did."""
    out: dict[str, Tensor] = {}
    mask, prefix = flow.action_mask.to(model.dtype), flow.prefix.shape[1]
    chunk = flow.noise.to(model.dtype, copy=True)
    chunk[:, :prefix] = flow.prefix
    for step in range(flow.steps):
        tau = torch.full((len(chunk),), step / flow.steps)
        out[f"dit.t_embeds.{step}"] = model.t_projector(model.t_embedder(tau))
        with _watched_layers(model, step, out):
            velocity = model.velocity(cache, flow.state, chunk, tau, mask, prefix)
        out[f"velocity.{step}"] = velocity
        chunk = chunk + velocity / flow.steps
    return out


def _trace_actions(model: XR0, cache: VLMCache, flow: Flow) -> dict[str, Tensor]:
    """The chunk as deployment computes it, and decoded."""
    mask = flow.action_mask.to(model.dtype)
    actions = model.sample(cache, flow.state, mask, flow.noise, flow.prefix, flow.steps)
    out = {"actions": actions}
    if flow.statistics is not None:
        decoded = flow.statistics.inverse(actions.float().numpy())
        out["decoded"] = torch.from_numpy(decoded)
        out["mask_from_stats"] = torch.from_numpy(flow.statistics.mask)[None]
    return out


@contextmanager
def _watched_layers(model: XR0, step: int, seen: dict[str, Tensor]) -> Iterator[None]:
    """Note what enters the first DiT layer and what leaves each."""

    def watch(number: int) -> Any:  # noqa: ANN401
        def note(_: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if number == 0:
                seen[f"dit.in.{step}"] = inputs[0]
            seen[f"dit.layer_out.{step}.{number}"] = output

        return note

    layers = enumerate(model.dit.layers)
    handles = [layer.register_forward_hook(watch(number)) for number, layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
