"""A policy in its own process: no shared GIL, lock or garbage collector with the control loop."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

from takt.runtime.closing import Closing
from takt.runtime.inference import Inference, PolicyError
from takt.runtime.messages import Done, Failed, Infer, Load, Reply, Request, Reset, message, parcel
from takt.runtime.shared_memory import Channel, open_pair
from takt.types import ActionChunk, Observation, Seconds

LOAD_TIMEOUT_S = 300.0  # importing torch and reading a large checkpoint from a cold disk
ANSWER_TIMEOUT_S = 120.0
CLOSE_TIMEOUT_S = 5.0


class PolicyDiedError(PolicyError):
    """The policy process ended or fell silent."""


class PolicyProcess(Closing):
    """A `PolicyWorker` that builds and runs its policy in a fresh interpreter.

    The child is started with `python -m`, so nothing of the parent's state is copied or pickled.
    """

    def __init__(self, factory: str, kwargs: Mapping[str, Any], *, threads: int = 1) -> None:
        """Start loading; returns at once. `factory` is "module:function", `kwargs` JSON-able.

        Raises:
            PolicyError: the system starts no process.
        """
        self._pending, self._asked = 0, 0.0
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        ours, childs = open_pair()
        self._channel = Channel(ours)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "takt.runtime.policy_host", str(childs)],
                pass_fds=astuple(childs),
                env=_child_environment(threads),
                stdin=subprocess.DEVNULL,
                stdout=self._stderr,
                stderr=self._stderr,
                start_new_session=True,  # a Ctrl-C in the terminal reaches the parent only
            )
        except OSError as error:
            self._channel.close()
            self._stderr.close()
            raise PolicyError(
                f"expected to start the policy's process, got {error}; end other processes, or "
                "raise the limits on processes and memory (ulimit -u, ulimit -v)"
            ) from error
        finally:
            childs.close()
        self._send(Load(factory=factory, kwargs=dict(kwargs)))

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    def reset(self, seed: int) -> None:
        """Drop what is in flight and begin a new episode; waits for the policy to be loaded."""
        while self._pending:
            self._receive(LOAD_TIMEOUT_S)
        self._send(Reset(seed=seed))
        self._receive(ANSWER_TIMEOUT_S)

    def submit(self, observation: Observation, committed: ActionChunk | None) -> None:
        """Start an inference."""
        self._send(Infer(observation=observation, committed=committed))

    def ready(self) -> bool:
        """Whether the answer is here, or the news of a death or of too long a silence."""
        return self._channel.ready() or self._patience(ANSWER_TIMEOUT_S) == 0.0

    def result(self) -> Inference:
        """Wait for the plan of the last `submit`."""
        reply = self._receive(ANSWER_TIMEOUT_S)
        if not isinstance(reply, Inference):
            raise PolicyError(f"expected a plan, got {type(reply).__name__}; submit() comes first")
        return reply

    def close(self) -> None:
        """End the child: first by hanging up, then by force. Idempotent."""
        self._channel.close()
        try:
            self._process.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.close()

    def _send(self, request: Request) -> None:
        try:
            self._channel.send(parcel(request))
        except OSError as error:
            raise self._death() from error
        self._pending += 1
        self._asked = time.monotonic()

    def _receive(self, timeout_s: Seconds) -> Done | Inference:
        try:
            if not self._channel.ready(self._patience(timeout_s)):
                if self._process.poll() is not None:
                    raise self._death()
                raise PolicyDiedError(
                    f"expected an answer from the policy within {timeout_s:.0f} s, got none; "
                    "is the machine overloaded or the model too large for it?"
                )
            reply: Reply = message(self._channel.receive())
        except (EOFError, OSError) as error:
            raise self._death() from error
        self._pending -= 1
        if isinstance(reply, Failed):
            raise PolicyError(f"the policy failed with {reply.error}: {reply.text}")
        return reply

    def _patience(self, timeout_s: Seconds) -> Seconds:
        """How long to wait yet; children of the policy's own may hold its pipe after its death."""
        dead = self._process.poll() is not None
        return 0.0 if dead else max(0.0, self._asked + timeout_s - time.monotonic())

    def _death(self) -> PolicyDiedError:
        try:
            status = self._process.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            status = None
        self._stderr.seek(0)
        said = self._stderr.read()[-2000:].decode(errors="replace").strip()
        return PolicyDiedError(
            f"the policy process ended (exit status {status}); its last words: {said or 'none'}"
        )


def _child_environment(threads: int) -> dict[str, str]:
    """Our environment and import path, with the number of compute threads."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": str(threads),
    }
