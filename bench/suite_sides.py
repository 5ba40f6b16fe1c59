"""A public suite played by the loop that its users write, and by takt's; runs in the suite's own
environment, started by `suites.py`.

Either side plays the same trials with the same actions, found by the scripted expert beforehand,
and makes the images that a policy wants. Time is the process's own.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from takt.benchmarks.suites.registry import make_suite
from takt.benchmarks.suites.suite import Scene, Suite, Trial
from takt.runtime.chunking import Synchronous
from takt.runtime.clock import VirtualClock
from takt.runtime.executor import Executor
from takt.runtime.inference import InlinePolicy
from takt.runtime.latency import Injected
from takt.runtime.safety import Governor, step_limits
from takt.types import ActionChunk, Observation

Tapes = dict[Trial, np.ndarray]
"""Actions (step, action) of every trial."""


class Tape:
    """Plays recorded actions, `execute` at a time, and gets an image for each plan."""

    def __init__(self, actions: np.ndarray, execute: int, dt: float) -> None:
        """From the beginning."""
        self._actions, self._execute, self._dt, self._at = actions, execute, dt, 0

    def reset(self, seed: int) -> None:
        """From the beginning."""
        self._at = 0

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        """The next ones."""
        assert observation.images
        found = self._actions[self._at : self._at + self._execute]
        self._at += len(found)
        if not len(found):
            found = self._actions[-1:]
        return ActionChunk(stamp=observation.stamp, dt=self._dt, actions=found)


def record(suite: Suite, trials: Sequence[Trial]) -> Tapes:
    """What the expert does in each trial, without looking."""
    tapes: Tapes = {}
    for task, scene in _scenes(suite, trials):
        scene.blind = True
        for trial in (t for t in trials if t.task == task):
            scene.reset(trial)
            expert, actions = scene.expert(), []
            expert.reset(trial.seed)
            while not scene.finished:
                action = expert.infer(scene.observe(), None).actions[0].astype(np.float32)
                scene.act(action)
                actions.append(action)
            tapes[trial] = np.array(actions)
    return tapes


def takt_side(suite: Suite, tapes: Tapes, execute: int) -> dict[Trial, bool]:
    """Takt's executor: an image for every plan."""
    found = {}
    for task, scene in _scenes(suite, tapes):
        for trial, actions in tapes.items():
            if trial.task == task:
                scene.reset(trial)
                spec = scene.spec
                executor = Executor(
                    scene,
                    InlinePolicy(Tape(actions, execute, spec.dt)),
                    Synchronous(execute),
                    clock=VirtualClock(spec.dt),
                    latency=Injected(0),
                    governor=Governor(spec.action_space, step_limits(spec)),
                )
                executor.run(lambda scene=scene: scene.finished)
                found[trial] = scene.stages == 1
    return found


def stock_metaworld(suite: Suite, tapes: Tapes) -> dict[Trial, bool]:
    """As lerobot's environment does it: an image of 480 pixels with every step, MT1's class."""
    import metaworld  # pyright: ignore[reportMissingImports]

    found = {}
    for task in dict.fromkeys(trial.task for trial in tapes):
        name = f"{task}-v3"
        benchmark = metaworld.MT1(name, seed=42)
        env = benchmark.train_classes[name](
            render_mode="rgb_array", camera_name="corner2", width=480, height=480
        )
        env.set_task(benchmark.train_tasks[0])
        env.model.camera("corner2").pos = (0.75, 0.075, 0.7)
        env._freeze_rand_vec = False
        env.seeded_rand_vec = True
        for trial, actions in tapes.items():
            if trial.task == task:
                env.seed(trial.seed)
                env.reset()
                np.flip(env.render(), (0, 1))
                success = False
                for action in actions:
                    info = env.step(action)[4]
                    np.flip(env.render(), (0, 1))
                    success = success or bool(info["success"])
                found[trial] = success
        env.close()
    return found


STOCK: dict[str, Callable[[Suite, Tapes], dict[Trial, bool]]] = {"metaworld": stock_metaworld}


def _scenes(suite: Suite, trials: Sequence[Trial] | Tapes) -> Sequence[tuple[str, Scene]]:
    tasks = dict.fromkeys(trial.task for trial in trials)
    return [(task, suite.open(task)) for task in tasks]


def _timed(side: Callable[[], dict[Trial, bool]]) -> tuple[dict[Trial, bool], float]:
    began = time.process_time()
    return side(), time.process_time() - began


def main() -> None:
    """One JSON object: processor seconds of either side by round, and who succeeded where."""
    asked = json.loads(sys.stdin.read())
    name, options = asked["suite"], asked["options"]
    published = make_suite(name, {**options, "render": "default"})
    fast = make_suite(name, {**options, "render": "fast"})
    tapes = record(fast, fast.trials())
    rounds = []
    for _ in range(asked["rounds"]):
        stock, stock_s = _timed(lambda: STOCK[name](published, tapes))
        each, each_s = _timed(lambda: takt_side(fast, tapes, 1))
        plan, plan_s = _timed(lambda: takt_side(fast, tapes, asked["execute"]))
        succeeded = sum(stock.values())
        told = {"stock_s": stock_s, "each_s": each_s, "plan_s": plan_s, "succeeded": succeeded}
        rounds.append({**told, "same": stock == each == plan})
    print(json.dumps({"trials": len(tapes), "rounds": rounds}))
    sys.stdout.flush()
