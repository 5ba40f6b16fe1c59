"""The nut station's policy: XR-0 nano from scripted demonstrations, trained to act while it thinks."""

from takt.policies.xr0.presets import nano
from takt.training.loop import LoopConfig
from takt.training.pipeline import Grounding, TrainingConfig

EPISODES = 430


def nut_station() -> TrainingConfig:
    """What the shipped checkpoint was trained with (docs/LOG.md has the measurements).

    T = 16 actions (.53 s), T_e = 6: with d = 3 ticks (80 ms), d <= T_e <= T - d.
    """
    return TrainingConfig(
        model=nano(),
        horizon=16,
        execute=6,
        candidates=4,
        draws=8,
        max_prefix=6,
        grounding=Grounding(
            key="annotation.points",
            points_per_view=4,
            # Ego: left nut, left pin, right nut, right pin; then the left wrist's four points, then the right's.
            mirror=(2, 3, 0, 1, 8, 9, 10, 11, 4, 5, 6, 7),
        ),
        choice=LoopConfig(steps=4000, batch_size=64, seed=1),
        expert=LoopConfig(steps=1000, batch_size=64, seed=2),
        post=LoopConfig(steps=2000, batch_size=64, seed=3, lr=4e-4),
    )
