import pytest
import torch

from takt.policies.xr0 import memory
from takt.policies.xr0.memory import (
    Need,
    NotEnoughMemoryError,
    available_bytes,
    named_refusal,
    named_shortage,
    require_memory,
)
from takt.policies.xr0.model import XR0
from takt.policies.xr0.presets import nano
from takt.policies.xr0.weights import load_weights, write_weights
from takt.types import TaktError

CPU = torch.device("cpu")
GB = 10**9


@pytest.fixture
def free(monkeypatch):
    """Sets the free memory in bytes."""
    return lambda size: monkeypatch.setattr(memory, "available_bytes", lambda device: size)


@pytest.fixture
def released():
    """As many parameters as the released model, without memory."""
    return {"all": torch.empty(4_716_274_176, device="meta", dtype=torch.bfloat16)}


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_smaller_dtype_or_preset_is_named(released, free):
    free(12 * GB)
    with pytest.raises(NotEnoughMemoryError) as error:
        require_memory(released, torch.float32, CPU)
    message = str(error.value)
    assert "expected 18.9 GB" in message
    assert "got 12 GB on cpu" in message
    assert "dtype bfloat16 (9.43 GB)" in message
    assert "preset nano" in message
    assert "4.7b" not in message
    require_memory(released, torch.bfloat16, CPU)
    require_memory(released, None, CPU)


def test_a_dtype_that_does_not_fit_is_not_named(released, free):
    free(9 * GB)
    with pytest.raises(NotEnoughMemoryError) as error:
        require_memory(released, None, CPU)
    assert "dtype" not in str(error.value)
    free(1000)
    with pytest.raises(NotEnoughMemoryError, match="nothing"):
        require_memory(released, None, CPU)


def test_an_unknown_amount_is_no_obstacle(released, free):
    free(None)
    require_memory(released, torch.float32, CPU)


def test_loading_asks_first(model, tmp_path, free):
    write_weights(tmp_path, model.state_dict().items())
    free(1000)
    with pytest.raises(NotEnoughMemoryError):
        load_weights(model.config, tmp_path)


@pytest.mark.parametrize(
    "refusal",
    [
        MemoryError(),
        RuntimeError("unable to mmap 9 bytes: Cannot allocate memory (12)"),
        torch.OutOfMemoryError("CUDA out of memory."),
    ],
)
def test_a_refused_allocation_says_the_same(free, monkeypatch, refusal):
    """As under `ulimit -v`, which the system's own numbers do not show."""
    free(99 * GB)
    monkeypatch.setattr(memory.resource, "getrlimit", lambda what: (200 * GB, 200 * GB))
    monkeypatch.setattr(memory, "_virtual_bytes", lambda: 188 * GB)
    need = Need(parameters=4_716_274_176, bytes=18 * GB, stored="float32")
    with (
        pytest.raises(NotEnoughMemoryError, match=r"18 GB.*got 12 GB on cpu \(.+\).*bfloat16"),
        named_refusal(need, CPU),
    ):
        raise refusal


def test_another_error_passes_through():
    with (
        pytest.raises(RuntimeError, match="shape"),
        named_refusal(Need(parameters=1, bytes=4), CPU),
    ):
        raise RuntimeError("another shape")


def test_available_is_what_the_system_can_free(tmp_path):
    write(tmp_path, {"proc/meminfo": "MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable: 5 kB\n"})
    assert available_bytes(CPU, tmp_path) == 5 * 1024
    assert available_bytes(CPU, tmp_path / "no such system") is None


@pytest.mark.parametrize(
    ("group", "files"),
    [
        (
            "0::/box/job\n",
            {
                "box/memory.max": "5000\n",
                "box/memory.current": "3000\n",
                "box/memory.stat": "anon 1700\nactive_file 300\ninactive_file 1000\n",
                "box/job/memory.max": "max\n",
                "box/job/memory.current": "2000\n",
            },
        ),
        (
            "9:pids:/box\n4:cpu,memory:/box\n0::/\n",
            {
                "memory/box/memory.limit_in_bytes": "5000\n",
                "memory/box/memory.usage_in_bytes": "3000\n",
                "memory/box/memory.stat": "inactive_file 1\ntotal_inactive_file 1000\n"
                "total_active_file 300\n",
                "memory/memory.limit_in_bytes": "9223372036854771712\n",
                "memory/memory.usage_in_bytes": "4000\n",
            },
        ),
    ],
    ids=["version 2", "version 1"],
)
def test_the_tightest_control_group_counts_without_its_file_cache(tmp_path, group, files):
    write(tmp_path, {f"sys/fs/cgroup/{name}": text for name, text in files.items()})
    write(tmp_path, {"proc/self/cgroup": group, "proc/meminfo": "MemAvailable: 99 kB\n"})
    assert available_bytes(CPU, tmp_path) == 5000 - 3000 + 1300


def test_a_shortage_during_inference_says_what_is_needed_and_fits(prompts, free):
    free(3_000_000)
    model = XR0(nano())
    with pytest.raises(NotEnoughMemoryError) as error, named_shortage(model, prompts):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 bytes")
    message = str(error.value)
    assert f"{prompts.input_ids.numel()} prompt tokens" in message
    assert "got 0.003 GB on cpu ([enforce fail]" in message
    assert "dtype bfloat16" in message
    half = model.bfloat16()
    with pytest.raises(NotEnoughMemoryError) as error, named_shortage(half, prompts):
        raise MemoryError
    assert "dtype" not in str(error.value)
    with pytest.raises(RuntimeError, match="something else"), named_shortage(model, prompts):
        raise RuntimeError("something else")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named(released):
    with pytest.raises(TaktError, match=r"GPU for device 'cuda'.*cpu"):
        require_memory(released, None, torch.device("cuda"))
