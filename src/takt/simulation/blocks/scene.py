"""What lies on the table, and its picture. Lengths are shares of the table's side."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from takt.embodiments.blocks import IMAGE_PX

COLOURS = {
    "red": (200, 40, 40),
    "green": (40, 160, 60),
    "blue": (50, 70, 200),
    "yellow": (220, 200, 50),
    "purple": (130, 60, 160),
    "orange": (240, 130, 40),
}
APART = 0.26  # least distance of two centres: twice the half diagonal of the largest block
EDGE = 0.12
_TIP_RADIUS = 0.035
_GRID = (np.arange(IMAGE_PX) + 0.5) / IMAGE_PX


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A square: centre (x, y), half its side, its turn (rad), the paint's RGB."""

    colour: str
    centre: tuple[float, float]
    half: float
    turn: float
    paint: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Blocks of different colours on a table of one shade; `grain` seeds the camera's noise."""

    blocks: tuple[Block, ...]
    shade: tuple[float, float, float]
    grain: int

    def block(self, colour: str) -> Block:
        """The one of a colour."""
        return next(block for block in self.blocks if block.colour == colour)

    def nearest(self, point: np.ndarray) -> Block:
        """The block whose centre is nearest to (x, y)."""
        return min(self.blocks, key=lambda block: np.hypot(*np.subtract(block.centre, point)))


def random_scene(rng: np.random.Generator, count: int = 3) -> Scene:
    """`count` blocks that do not touch."""
    colours = rng.permutation(list(COLOURS))[:count].tolist()
    centres = _apart(rng, count)
    blocks = [
        Block(
            colour=colour,
            centre=(float(centre[0]), float(centre[1])),
            half=rng.uniform(0.06, 0.09),
            turn=rng.uniform(0, np.pi / 2),
            paint=_triple(np.array(COLOURS[colour]) + rng.normal(0, 10, 3)),
        )
        for colour, centre in zip(colours, centres, strict=True)
    ]
    shade = _triple(rng.uniform(90, 220) + rng.normal(0, 12, 3))
    return Scene(blocks=tuple(blocks), shade=shade, grain=int(rng.integers(2**31)))


def _apart(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 2) centres; all are drawn anew until they fit, so that none is special."""
    while True:
        centres = rng.uniform(EDGE, 1 - EDGE, (count, 2))
        gaps = np.hypot(*np.moveaxis(centres[:, None] - centres[None], -1, 0))
        if count < 2 or gaps[~np.eye(count, dtype=bool)].min() > APART:
            return centres


def draw(scene: Scene, tip: np.ndarray | None = None) -> UInt8[np.ndarray, "height width 3"]:
    """The picture, with the pointer's tip at (x, y) if it is over the table."""
    image = np.broadcast_to(scene.shade, (IMAGE_PX, IMAGE_PX, 3)).astype(np.float32)
    for block in scene.blocks:
        across, down = _offsets(np.array(block.centre))
        cos, sin = np.cos(block.turn), np.sin(block.turn)
        reach = np.maximum(np.abs(across * cos + down * sin), np.abs(down * cos - across * sin))
        image = _over(image, reach - block.half, block.paint)
    if tip is not None:
        distance = np.hypot(*_offsets(tip))
        image = _over(image, distance - _TIP_RADIUS, (250.0, 250.0, 250.0))
        image = _over(image, distance - _TIP_RADIUS / 2, (20.0, 20.0, 20.0))
    noise = np.random.default_rng(scene.grain).normal(0, 4, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def _offsets(centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(1, W) to the right of and (H, 1) below `centre`."""
    return _GRID[None] - centre[0], _GRID[:, None] - centre[1]


def _over(image: np.ndarray, outside: np.ndarray, paint: tuple[float, ...]) -> np.ndarray:
    """Paint where the distance `outside` (H, W) is below 0; edges are a pixel wide."""
    cover = np.clip(0.5 - outside * IMAGE_PX, 0, 1)[..., None]
    return image * (1 - cover) + cover * np.array(paint, np.float32)


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    red, green, blue = values.tolist()
    return red, green, blue
