"""The transport bench asks all sides for the same, and ends their servers."""

import json
import os

import pytest
import transport
import wake_ups


def test_all_sides_are_measured_and_nothing_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    config = transport.Config(pixels=64, calls=20, warm_up=2, rounds=1, json=True)
    assert transport.main(config) in (0, 1)
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"ws_to_shm_p50", "ws_to_shm_p99", "rt_priority"} <= set(found)
    assert set(found["free"]["times_us"]) == {"websocket", "shared_memory", "policy_process"}
    assert all(times["p99"] >= times["p50"] > 0 for times in found["times_us"].values())
    assert len(os.listdir("/proc/self/fd")) == before


def test_every_wake_up_wakes(capsys: pytest.CaptureFixture[str]) -> None:
    assert wake_ups.main(wake_ups.Config(calls=50, rounds=1, json=True)) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(found) == {"pipe", "eventfd", "semaphore"}
    assert all(times["p50"] > 0 for times in found.values())
