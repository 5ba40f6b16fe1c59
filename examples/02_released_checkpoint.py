"""A checkpoint in the released layout plans for LIBERO's arm.

Run: python examples/02_released_checkpoint.py DIR. Without DIR a small one with random weights is
written first, whose actions mean nothing.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from takt.embodiments import load_embodiment
from takt.policies.xr0.checkpoint import BodyStatistics, Checkpoint, save_checkpoint
from takt.policies.xr0.config import HF_RELEASE
from takt.policies.xr0.model import XR0
from takt.policies.xr0.policy import XR0Policy
from takt.policies.xr0.presets import nano
from takt.policies.xr0.tokenizer import build_tokenizer
from takt.transforms.normalise import Normalise
from takt.types import Observation

LIBERO = Path(__file__).parent / "libero.toml"


def stand_in(folder: Path) -> Path:
    """Ten actions a chunk, seven of 32 columns in use, as in the released LIBERO checkpoint."""
    std = np.full((10, 32), 1e-6, np.float32)
    std[:, :7] = 0.3
    action = Normalise(mean=np.zeros_like(std), std=std, eps=HF_RELEASE.decode_eps)
    body = BodyStatistics(action=action, state=None, execute_horizon=10)
    model = XR0(nano(HF_RELEASE))
    checkpoint = Checkpoint(model=model, tokenizer=build_tokenizer(), bodies={"libero_all": body})
    save_checkpoint(folder, checkpoint, torch.bfloat16)
    return folder


def main() -> None:
    """Look once, plan once."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else stand_in(Path("out/released"))
    body, on_gpu = load_embodiment(LIBERO), torch.cuda.is_available()
    policy = XR0Policy.load(
        folder,
        body,
        HF_RELEASE,  # released folders do not name the contract they were trained under
        dtype=torch.bfloat16 if on_gpu else torch.float32,
        device="cuda" if on_gpu else "cpu",
        threads=2,
    )
    policy.reset(seed=0)
    observation = Observation(
        stamp=0.0,
        images={c.name: np.zeros((c.height, c.width, 3), np.uint8) for c in body.cameras},
        image_stamps={c.name: 0.0 for c in body.cameras},
        state=np.zeros(8, np.float32),
        instruction="Put the bowl on the plate.",
    )
    chunk = policy.infer(observation, None)
    print(f"{chunk.actions.shape[0]} actions of {chunk.actions.shape[1]} axes, every {chunk.dt} s")
    print(chunk.actions.round(2))


if __name__ == "__main__":
    main()
