"""What works on this machine: each check tries the real thing and says how to mend it."""

import contextlib
import io
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Literal

from takt.extras import EXTRAS, SPECIAL, install_advice, missing_modules

Status = Literal["ok", "warn", "fail"]

PROBE_TIMEOUT_S = 60.0
RENDER_SIZE_PX = 64
RENDER_FRAMES = 30
# A 30 Hz tick with three cameras leaves about 11 ms for each image.
RENDER_BUDGET_MS = 11.0
# The virtual environment and one recorded shift with its videos.
DISK_NEEDED_GB = 5.0
DISTRIBUTIONS = ("numpy", "torch", "transformers", "mujoco", "pyarrow", "av", "pillow")
GL_PACKAGES = "libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri libgles2 libosmesa6"

# Small shadow maps and no multisampling: on a software renderer the defaults cost 30 times as much.
_SCENE = """
<mujoco><visual><quality shadowsize="512" offsamples="0"/></visual><worldbody>
<light pos="0 0 3"/><geom type="plane" size="1 1 .1" rgba="1 1 1 1"/>
<geom type="box" size=".2 .2 .2" pos="0 0 .2" rgba="1 0 0 1"/></worldbody></mujoco>
"""
_TORCH_PROBE = """
import json, torch
devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
threads = torch.get_num_threads()
print(json.dumps({"torch": torch.__version__, "devices": devices, "threads": threads}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding; `advice` is empty when all is well, `measures` carry units in their names."""

    name: str
    status: Status
    found: str
    advice: str = ""
    measures: Mapping[str, float] = field(default_factory=dict)


class _ProbeError(Exception):
    """A child process that tried something did not bring it off; the message is its last line."""


def _probe(arguments: list[str], **environment: str) -> dict:
    """Last line of this interpreter run on `arguments`, parsed; a driver's crash stays in there."""
    try:
        child = subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise _ProbeError(f"no answer within {PROBE_TIMEOUT_S:.0f} s") from None
    if child.returncode != 0:
        lines = child.stderr.strip().splitlines() or [f"exit status {child.returncode}"]
        raise _ProbeError(lines[-1])
    return json.loads(child.stdout.strip().splitlines()[-1])


def check_renderer() -> Check:
    """Render small frames with EGL, else OSMesa, each in a process of its own."""
    if missing_modules("sim"):
        return Check(
            name="renderer",
            status="fail",
            found="mujoco is not installed",
            advice=install_advice("sim"),
        )
    failures = []
    for backend in ("egl", "osmesa"):
        try:
            frame_ms = _probe(["-m", "takt.doctor"], MUJOCO_GL=backend)["frame_ms"]
        except _ProbeError as error:
            failures.append(f"{backend}: {error}")
            continue
        return _rendered(backend, frame_ms)
    return Check(
        name="renderer",
        status="fail",
        found="; ".join(failures),
        advice=f"Debian: apt-get install --no-install-recommends {GL_PACKAGES}",
    )


def _rendered(backend: str, frame_ms: float) -> Check:
    advice = "" if backend == "egl" else f"EGL failed: export MUJOCO_GL={backend}"
    if frame_ms > RENDER_BUDGET_MS:
        advice = f"a 30 Hz body in wall time allows {RENDER_BUDGET_MS:.0f} ms; a GPU helps"
    return Check(
        name="renderer",
        status="warn" if advice else "ok",
        found=f"{backend}, {frame_ms:.1f} ms per {RENDER_SIZE_PX} px frame",
        advice=advice,
        measures={"frame_ms": frame_ms},
    )


def check_gpu() -> Check:
    """CUDA devices as torch sees them, or as the driver does when torch is absent."""
    advice = "none is needed for the nano policy; a larger one needs a CUDA device and driver"
    if not missing_modules("train"):
        try:
            seen = _probe(["-c", _TORCH_PROBE])
        except _ProbeError as error:
            return Check(name="gpu", status="fail", found=str(error), advice="reinstall torch")
        devices = ", ".join(seen["devices"]) or "none"
        return Check(
            name="gpu",
            status="ok" if seen["devices"] else "warn",
            found=f"{devices} (torch {seen['torch']}, {seen['threads']} threads)",
            advice="" if seen["devices"] else advice,
            measures={"devices": len(seen["devices"]), "torch_threads": seen["threads"]},
        )
    if shutil.which("nvidia-smi") is None:
        return Check(name="gpu", status="warn", found="none, and no torch", advice=advice)
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return Check(
        name="gpu",
        status="warn",
        found=listed.stdout.strip() or "nvidia-smi lists no device",
        advice=f"torch is not installed: {install_advice('train')}",
    )


def check_real_time() -> Check:
    """Whether the control loop may ask for FIFO scheduling; the priority is given back at once."""
    if not hasattr(os, "sched_setscheduler"):
        return Check(
            name="real_time", status="warn", found="no FIFO scheduler here", advice="use Linux"
        )
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    limit = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return Check(
            name="real_time",
            status="warn",
            found=f"FIFO scheduling refused (RLIMIT_RTPRIO {limit})",
            advice="for a real body: a line '@realtime - rtprio 80' in /etc/security/limits.d, "
            "or the CAP_SYS_NICE capability",
        )
    os.sched_setscheduler(0, policy, parameters)
    return Check(name="real_time", status="ok", found="FIFO scheduling allowed")


def check_video() -> Check:
    """Encode and decode four H.264 frames in memory."""
    if missing_modules("data"):
        return Check(
            name="video",
            status="fail",
            found=f"not installed: {', '.join(missing_modules('data'))}",
            advice=install_advice("data"),
        )
    try:
        started = time.perf_counter()
        frames = _video_round_trip(4)
        spent_ms = (time.perf_counter() - started) * 1e3
    except Exception as error:  # noqa: BLE001 -- any failure of the codec is the finding
        return Check(
            name="video",
            status="fail",
            found=f"H.264: {error}",
            advice="pip install --force-reinstall av (its wheel brings the codec)",
        )
    return Check(
        name="video",
        status="ok" if frames == 4 else "fail",
        found=f"H.264, {frames} of 4 frames came back in {spent_ms:.0f} ms",
        advice="" if frames == 4 else "pip install --force-reinstall av",
        measures={"round_trip_ms": spent_ms},
    )


def _video_round_trip(count: int) -> int:
    import av
    import numpy as np

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width = stream.height = RENDER_SIZE_PX
        stream.pix_fmt = "yuv420p"
        for shade in range(count):
            image = np.full((RENDER_SIZE_PX, RENDER_SIZE_PX, 3), 60 * shade, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer, "r") as recorded:
        return sum(1 for _ in recorded.decode(video=0))


def check_processor() -> Check:
    """Cores that this process may use; the control loop and the policy want one each."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    threads = os.environ.get("OMP_NUM_THREADS", "unset")
    return Check(
        name="processor",
        status="ok" if cores >= 2 else "warn",
        found=f"{cores} cores, load {os.getloadavg()[0]:.1f}, OMP_NUM_THREADS {threads}",
        advice="" if cores >= 2 else "the policy and the control loop will share one core",
        measures={"cores": cores, "load": os.getloadavg()[0]},
    )


def check_versions() -> Check:
    """Versions of what matters; a torchvision beside a CPU torch is an error."""
    versions = {"python": platform.python_version()}
    for name in ("takt-vla", *DISTRIBUTIONS, "torchvision"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    found = ", ".join(f"{name} {version}" for name, version in versions.items())
    missing = [extra for extra in EXTRAS if extra not in SPECIAL and missing_modules(extra)]
    if "torchvision" in versions:
        advice = "pip uninstall torchvision: it breaks transformers on a CPU torch"
        return Check(name="versions", status="fail", found=found, advice=advice)
    advice = install_advice(",".join(missing)) if missing else ""
    return Check(name="versions", status="warn" if missing else "ok", found=found, advice=advice)


def check_disk() -> Check:
    """Free space where results of this working directory go."""
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    enough = free_gb >= DISK_NEEDED_GB
    return Check(
        name="disk",
        status="ok" if enough else "warn",
        found=f"{free_gb:.1f} GB free in {Path.cwd()}",
        advice="" if enough else f"make room: {DISK_NEEDED_GB:.0f} GB are comfortable",
        measures={"free_gb": free_gb},
    )


CHECKS: tuple[Callable[[], Check], ...] = (
    check_renderer,
    check_gpu,
    check_real_time,
    check_video,
    check_processor,
    check_versions,
    check_disk,
)


def _render_frames() -> float:
    """Milliseconds per frame of a small scene with the backend that MUJOCO_GL names."""
    import mujoco

    model = mujoco.MjModel.from_xml_string(_SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with mujoco.Renderer(model, RENDER_SIZE_PX, RENDER_SIZE_PX) as renderer:
        renderer.update_scene(data)
        if not renderer.render().any():
            raise RuntimeError("the rendered image is black")
        started = time.perf_counter()
        for _ in range(RENDER_FRAMES):
            renderer.update_scene(data)
            renderer.render()
        return (time.perf_counter() - started) * 1e3 / RENDER_FRAMES


if __name__ == "__main__":
    print(json.dumps({"frame_ms": _render_frames()}))
