"""The other side of the inference benchmark is the released computation."""

from pathlib import Path

import pytest
import released_style
import torch

from takt.policies.xr0.parity import check_parity

CASES = Path(__file__).parents[1] / "data" / "parity"


@pytest.mark.parametrize("name", ["hf_release", "hf_release_b1", "xr0_posttrain"])
def test_passes_parity(name):
    torch.set_num_threads(1)
    report = check_parity(CASES / name, trace=released_style.trace)
    wrong = [item for item in report.differences if not item.is_within]
    assert wrong == []
    assert report.passed, report.not_compared
