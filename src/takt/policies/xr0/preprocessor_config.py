"""`preprocessor_config.json`: how images are sized and which bodies the checkpoint knows.

Released names: `action_config[body] = {mean, std}` of (T, D); ours add `execute_horizon`,
`state_mean` and `state_std`. Torch is not imported here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from takt.policies.xr0.checkpoint_files import CheckpointError
from takt.policies.xr0.config import VisionConfig, XR0Config
from takt.transforms.normalise import Normalise
from takt.types import TaktError

Json = Mapping[str, Any]

_AREAS = ("min_pixels", "max_pixels")
_EDGES = ("shortest_edge", "longest_edge")  # areas too, under the released names
_BICUBIC = 3  # PIL's number for the filter of `images.resize`


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyStatistics:
    """What a checkpoint knows about one body.

    Attributes:
        action: Rows are the chunk's T steps, columns the policy's.
        state: One row; None where the policy takes the raw state.
        execute_horizon: T_e, steps of a chunk to execute before the next is asked for.
    """

    action: Normalise
    state: Normalise | None
    execute_horizon: int

    def __post_init__(self) -> None:
        """T_e is a whole number inside the chunk."""
        if type(self.execute_horizon) is not int or not (
            0 < self.execute_horizon <= self.action.horizon
        ):
            raise CheckpointError(
                f"execute_horizon must be in 1..{self.action.horizon}, got {self.execute_horizon}"
            )


def read_bodies(preprocessor: Json, config: XR0Config) -> dict[str, BodyStatistics]:
    """Bodies by name.

    Args:
        preprocessor: The parsed file.
        config: Its widths and contract.

    Raises:
        CheckpointError: Statistics are missing, of another width or not finite; names the body.
    """
    entries = preprocessor.get("action_config", {})
    if not isinstance(entries, dict):
        raise CheckpointError(
            f"preprocessor_config.json: expected action_config = {{body: statistics}}, "
            f"got {type(entries).__name__}; is it the file that came with the weights?"
        )
    return {name: _body(name, entry, config) for name, entry in entries.items()}


def body_json(body: BodyStatistics) -> dict[str, Any]:
    """What `read_bodies` reads."""
    entry: dict[str, Any] = {
        "mean": body.action.mean.tolist(),
        "std": body.action.std.tolist(),
        "execute_horizon": body.execute_horizon,
    }
    if body.state is not None:
        entry["state_mean"] = body.state.mean[0].tolist()
        entry["state_std"] = body.state.std[0].tolist()
    return entry


def _body(name: str, entry: Any, config: XR0Config) -> BodyStatistics:  # noqa: ANN401
    eps, state = config.contract.decode_eps, None
    try:
        mean, std = _rows(entry["mean"], entry["std"], config.action_dim)
        if "state_mean" in entry:
            rows = _rows([entry["state_mean"]], [entry["state_std"]], config.state_dim)
            state = Normalise(*rows, eps)
        return BodyStatistics(
            action=Normalise(mean, std, eps),
            state=state,
            execute_horizon=entry.get("execute_horizon", len(mean)),
        )
    except (KeyError, TypeError, ValueError, TaktError) as error:
        text = error if isinstance(error, TaktError) else f"expected mean and std, got {error!r}"
        raise CheckpointError(
            f"preprocessor_config.json: statistics of {name!r}: {text}"
        ) from error


def _rows(mean: list[Any], std: list[Any], columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation, each (steps, columns) float32."""
    given = np.array(mean), np.array(std)
    if any(array.dtype.kind not in "iuf" for array in given):  # text would be parsed
        raise CheckpointError("expected numbers in mean and std; recompute the statistics")
    arrays = given[0].astype(np.float32), given[1].astype(np.float32)
    shapes = [array.shape for array in arrays]
    if shapes[0] != shapes[1] or len(shapes[0]) != 2 or shapes[0][1] != columns:
        raise CheckpointError(
            f"expected mean and std of shape (steps, {columns}), got {shapes[0]} and {shapes[1]}; "
            "is config.json of another checkpoint?"
        )
    return arrays


def with_image_settings(config: XR0Config, preprocessor: Json) -> XR0Config:
    """The config with the size rule of a released `preprocessor_config.json`.

    Args:
        config: Stays as it is where the file says nothing.
        preprocessor: The parsed file: `size` or `min_pixels` and `max_pixels`, `do_resize`.

    Raises:
        CheckpointError: The file asks for other patches or pixel values than the policy makes.
    """
    for name, value in _fixed_settings(config.vision).items():
        if preprocessor.get(name, value) != value:
            raise CheckpointError(
                f"preprocessor_config.json: expected {name} {value}, got {preprocessor[name]}; "
                "is it the file that came with the weights?"
            )
    resizes = preprocessor.get("do_resize", True)
    if not isinstance(resizes, bool):
        raise CheckpointError(
            f"preprocessor_config.json: expected do_resize true or false, got {resizes!r}"
        )
    pixels = _image_pixels(preprocessor, config.image_pixels)
    return replace(
        config, image_pixels=pixels, image_rule=config.image_rule if resizes else "misfits"
    )


def _image_pixels(preprocessor: Json, kept: tuple[int, int]) -> tuple[int, int]:
    """Smallest and largest area; `kept` where the file says nothing."""
    size = preprocessor.get("size")
    if not isinstance(size, dict | None) or (size and size.keys() - {*_EDGES}):
        raise CheckpointError(
            f"preprocessor_config.json: expected size = {{{', '.join(_EDGES)}}}, got {size!r}; "
            "is it the file that came with the weights?"
        )
    found = []
    for area, edge, own in zip(_AREAS, _EDGES, kept, strict=True):
        given = (preprocessor.get(area), (size or {}).get(edge), own)
        found.append(next(pixels for pixels in given if pixels is not None))
    smallest, largest = found
    for area, edge, pixels in zip(_AREAS, _EDGES, found, strict=True):
        if type(pixels) is not int or pixels < 1:
            raise CheckpointError(
                f"preprocessor_config.json: expected {area} or size.{edge} to be a number of "
                f"pixels from 1 on, got {pixels!r}"
            )
    if smallest > largest:
        raise CheckpointError(
            "preprocessor_config.json: expected the smallest image area to be at most the "
            f"largest, got {smallest} and {largest} pixels"
        )
    return smallest, largest


def image_settings(config: XR0Config) -> dict[str, Any]:
    """What `with_image_settings` reads, as the released processor names it."""
    smallest, largest = config.image_pixels
    return {
        **_fixed_settings(config.vision),
        "do_resize": config.image_rule == "budget",
        "size": {"shortest_edge": smallest, "longest_edge": largest},
    }


def _fixed_settings(vision: VisionConfig) -> dict[str, Any]:
    return {
        "patch_size": vision.patch_size,
        "merge_size": vision.spatial_merge_size,
        "temporal_patch_size": vision.temporal_patch_size,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "resample": _BICUBIC,
        "do_rescale": True,
        "do_normalize": True,
    }
