"""A point of an image as hundredths, "31,54": how our own small models are asked for one.

Four digits are quickly learnt by a model that has never seen a coordinate (`takt train`'s frame
questions, the blocks' questions). Labelled sets are for Qwen3-VL, which knows thousandths as JSON:
`takt.transforms.qwen_coordinates`.
"""

import numpy as np


def point_text(point: tuple[float, float]) -> str:
    """(x, y) as shares of width and height, from the top left: "31,54", two digits each."""
    x, y = (min(max(int(100 * value), 0), 99) for value in point)
    return f"{x:02d},{y:02d}"


def read_point(text: str) -> np.ndarray | None:
    """(x, y) that `text` gives, to half a hundredth; None for a text that is no point."""
    parts = text.strip().split(",")
    if len(parts) != 2 or not all(len(part) == 2 and part.isdigit() for part in parts):
        return None
    return (np.array([int(part) for part in parts]) + 0.5) / 100
