"""Where models run unless it is said."""

import torch


def fastest_device() -> str:
    """The GPU if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"
