"""Recording a fixed piece of work once and replaying it without Python."""

from collections.abc import Callable

import torch

_WARM_UP = 3  # libraries choose kernels and take workspaces in the first calls, unrecordably


class Recorded:
    """A function of fixed buffers: a CUDA graph on a GPU, the function itself elsewhere."""

    def __init__(self, work: Callable[[], None], device: torch.device) -> None:
        """Runs `work` a few times, then records it; its memory stays reserved."""
        self._work = work
        self._graph: torch.cuda.CUDAGraph | None = None
        if device.type != "cuda":
            return
        with torch.cuda.device(device):  # a graph is recorded on the current device
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(_WARM_UP):
                    work()
            torch.cuda.current_stream().wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                work()

    def __call__(self) -> None:
        """Do the work on the buffers' present contents."""
        if self._graph is None:
            self._work()
        else:
            self._graph.replay()
