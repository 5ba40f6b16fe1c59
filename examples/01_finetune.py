"""A checkpoint learns a new body from its data. Run: python examples/01_finetune.py.

Records three toy episodes, then does what `takt train finetune --steps 2 --batch 2` does.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from takt.datasets.writer import LeRobotWriter
from takt.embodiments import load_embodiment
from takt.policies.xr0.policy import XR0Policy
from takt.recipes.finetune import RECIPES, run
from takt.types import EmbodimentSpec, Episode, Observation

DESK_ARM = Path(__file__).parent / "desk_arm.toml"


def episode(body: EmbodimentSpec, seed: int) -> Episode:
    """A second of noise: a real arm records what it sees and does."""
    rng, stamps = np.random.default_rng(seed), np.arange(20) / body.rate_hz
    images = {c.name: rng.integers(0, 256, (20, c.height, c.width, 3)) for c in body.cameras}
    poses = rng.normal(0, 0.01, (21, len(body.slots))).cumsum(0).astype(np.float32)
    return Episode(
        embodiment=body.name,
        instruction=body.instruction,
        rate_hz=body.rate_hz,
        stamps=stamps,
        images={name: frames.astype(np.uint8) for name, frames in images.items()},
        image_stamps=dict.fromkeys(images, stamps),
        state=poses[:-1],
        actions=poses[1:],
    )


def main() -> None:
    """Record, train, plan."""
    body, out = load_embodiment(DESK_ARM), Path("out/desk-arm")
    with LeRobotWriter(out / "data", body) as writer:
        for seed in range(writer.num_episodes, 3):
            writer.add_episode(episode(body, seed))
    config, paths = replace(RECIPES["finetune"], steps=2, batch=2), (out / "data", out / "run")
    folder = run(config, data=paths[0], init=None, body=DESK_ARM, out=paths[1], ranks=1, log=print)
    assert folder is not None
    policy, seen = XR0Policy.load(folder, body), episode(body, 9)
    observation = Observation(
        stamp=0.0,
        images={name: frames[0] for name, frames in seen.images.items()},
        image_stamps=dict.fromkeys(seen.images, 0.0),
        state=seen.state[0],
        instruction=body.instruction,
    )
    chunk = policy.infer(observation, None)
    print(f"{chunk.actions.shape[0]} actions of {chunk.actions.shape[1]} axes, every {chunk.dt} s")


if __name__ == "__main__":
    main()
