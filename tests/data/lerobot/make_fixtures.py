# ruff: noqa
"""Write the tiny LeRobot datasets of this folder with the installed `lerobot` library.

usage: python make_fixtures.py OUT_DIR        (run once per library version)

Needs lerobot 0.3.2 (v2.1 layout), 0.4.4 or 0.6.1 (v3.0 layout), CPU only, no network.
The data is synthetic and deterministic; see signals() and images().
"""

import os
import shutil
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import lerobot
import numpy as np
from lerobot.datasets.lerobot_dataset import CODEBASE_VERSION, LeRobotDataset

FPS = 10
LENGTHS = [12, 15, 9, 20]
TASKS = ["pick up the red block", "press the green button", "把毛巾对折"]
FRONT, WRIST = (96, 128, 3), (64, 64, 3)


def task_of(ep, i):
    """Episodes 0 and 2 share a task; episode 3 changes its task half-way."""
    return TASKS[[0, 1, 0, 2][ep]] if ep < 3 or i < 10 else TASKS[1]


def signals(ep, i):
    k6, k7 = np.arange(6, dtype=np.float32), np.arange(7, dtype=np.float32)
    state = (ep + 0.0625 * i + 0.125 * k6).astype(np.float32)  # exact in float32
    action = (-ep + 0.03125 * i - 0.25 * k7).astype(np.float32)
    action[6] = 1.0 if (i // 4) % 2 == 0 else -1.0  # gripper
    return state, action


def images(ep, i):
    """front: red ramp, green = 40*ep, white 16x16 square at x=4*i, y=8+20*ep. wrist: flat, blue = 10*i."""
    front = np.zeros(FRONT, np.uint8)
    front[:, :, 0] = np.arange(FRONT[1]) * 2
    front[:, :, 1] = 40 * ep
    front[8 + 20 * ep : 24 + 20 * ep, 4 * i : 4 * i + 16] = 255
    wrist = np.zeros(WRIST, np.uint8)
    wrist[:, :, 0] = 30 + 50 * ep
    wrist[:, :, 1] = np.arange(WRIST[0])[:, None] * 2
    wrist[:, :, 2] = 10 * i
    return front, wrist


def build(root, mode, meta_kw=None, **create_kw):
    shutil.rmtree(root, ignore_errors=True)
    img = lambda s: {"dtype": mode, "shape": s, "names": ["height", "width", "channels"]}
    features = {
        "observation.state": {
            "dtype": "float32",
            "shape": (6,),
            "names": [f"joint_{k}" for k in range(6)],
        },
        "action": {
            "dtype": "float32",
            "shape": (7,),
            "names": [f"joint_{k}" for k in range(6)] + ["gripper"],
        },
        "observation.images.front": img(FRONT),
        "observation.images.wrist": img(WRIST),
        "next.reward": {"dtype": "float32", "shape": (1,), "names": None},
        "next.done": {"dtype": "bool", "shape": (1,), "names": None},
    }
    ds = LeRobotDataset.create(
        "takt/fixture",
        fps=FPS,
        features=features,
        root=root,
        robot_type="toy_arm",
        use_videos=(mode == "video"),
        **create_kw,
    )
    if meta_kw:
        ds.meta.update_chunk_settings(**meta_kw)
    for ep, n in enumerate(LENGTHS):
        for i in range(n):
            state, action = signals(ep, i)
            front, wrist = images(ep, i)
            last = i == n - 1
            frame = {
                "observation.state": state,
                "action": action,
                "observation.images.front": front,
                "observation.images.wrist": wrist,
                "next.reward": np.array([float(last)], np.float32),
                "next.done": np.array([last]),
            }
            if CODEBASE_VERSION == "v2.1":
                ds.add_frame(frame, task=task_of(ep, i))
            else:
                ds.add_frame({**frame, "task": task_of(ep, i)})
        ds.save_episode()
    if hasattr(ds, "finalize"):
        ds.finalize()
    shutil.rmtree(Path(root) / "images", ignore_errors=True)  # empty leftovers of the writer
    print(root, lerobot.__version__, CODEBASE_VERSION)


if __name__ == "__main__":
    out, v = Path(sys.argv[1]), lerobot.__version__
    tag = "v21" if CODEBASE_VERSION == "v2.1" else "v30"
    build(out / f"{tag}_image_{v}", "image")
    build(out / f"{tag}_video_{v}", "video")
    small = {"chunks_size": 2, "data_files_size_in_mb": 0.004, "video_files_size_in_mb": 0.004}
    if v == "0.4.4":
        build(out / f"{tag}_image_chunked_{v}", "image", meta_kw=small)
    if v == "0.6.1":
        from lerobot.configs.video import RGBEncoderConfig

        build(
            out / f"{tag}_video_chunked_h264_{v}",
            "video",
            meta_kw=small,
            rgb_encoder=RGBEncoderConfig(vcodec="h264"),
        )
