"""MuJoCo scenes, stepping, rendering and scripted experts.

Importing this room chooses EGL for headless rendering unless `MUJOCO_GL` says otherwise: MuJoCo
reads the variable once, at its own import, so it cannot be set later.
"""

import os

os.environ.setdefault("MUJOCO_GL", "egl")
