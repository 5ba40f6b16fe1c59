"""The child side of `PolicyProcess`: build the policy, answer until the parent hangs up."""

import importlib
import signal
import sys
import time
import traceback
from collections.abc import Callable

from takt.runtime.inference import Inference
from takt.runtime.messages import Done, Failed, Infer, Load, Reply, Request, Reset, message, parcel
from takt.runtime.shared_memory import Channel, Handles
from takt.types import Policy, TaktError


def resolve(factory: str) -> Callable[..., Policy]:
    """The function behind "module:function"."""
    module, _, function = factory.partition(":")
    if not function:
        raise TaktError(f"policy factory: expected 'module:function', got {factory!r}")
    return getattr(importlib.import_module(module), function)


class PolicyHost:
    """Holds the policy and answers one request with one reply."""

    def __init__(self) -> None:
        """No policy yet."""
        self._policy: Policy | None = None

    def answer(self, request: Request) -> Reply:
        """Do what is asked; an exception becomes a `Failed`."""
        try:
            return self._answer(request)
        except TaktError as error:
            return Failed(error=type(error).__name__, text=str(error))
        except Exception as error:  # everything else must reach the parent with its traceback
            return Failed(error=type(error).__name__, text=traceback.format_exc(limit=-4))

    def _answer(self, request: Request) -> Reply:
        match request:
            case Load(factory=factory, kwargs=kwargs):
                self._policy = resolve(factory)(**kwargs)
                return Done()
            case Reset(seed=seed):
                self._loaded().reset(seed)
                return Done()
            case Infer(observation=observation, committed=committed):
                began = time.perf_counter()
                chunk = self._loaded().infer(observation, committed)
                return Inference(chunk=chunk, compute_s=time.perf_counter() - began)

    def _loaded(self) -> Policy:
        if self._policy is None:
            raise TaktError("expected Load before any other request")
        return self._policy


def main() -> None:
    """Serve the channel whose handles are `argv[1]`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C belongs to the parent
    host = PolicyHost()
    with Channel(Handles.parse(sys.argv[1])) as channel:
        while True:
            try:
                # nothing here keeps the request: its images' slot is free before the answer leaves
                channel.send(parcel(host.answer(message(channel.receive()))))
            except (EOFError, BrokenPipeError):
                return  # the parent is gone


if __name__ == "__main__":
    main()
