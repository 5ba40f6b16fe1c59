"""The precision benchmark on a few inputs: the shipped nano keeps its limits, and can miss them."""

import math
from dataclasses import replace

import pytest
import torch

from takt.types import TaktError

pytest.importorskip("mujoco")
import precision


@pytest.fixture(scope="module")
def rows():
    torch.set_num_threads(1)
    scenes = precision.scenes(2, image_px=8)  # real ones: on noise no layer weighs much
    return {row.mode: row for row in precision.measure(precision.nano_case(scenes))}


def test_bfloat16_and_8_bits_keep_the_chunk(rows):
    assert [mode for mode, row in rows.items() if row.must is not None and row.is_missed] == []
    assert set(precision.MUST) <= set(rows)
    assert max(row.chunk_min for row in rows.values()) < 1.0  # no mode is float32 by accident


def test_every_layer_moves_the_chunk_more_than_a_precision_may(rows):
    (control,) = (row for mode, row in rows.items() if mode.startswith("without"))
    assert control.chunk_median < min(precision.MUST.values())


def test_nothing_to_compare_is_refused():
    with pytest.raises(TaktError, match="--inputs of at least 1, got 0"):
        precision.main(precision.Config(inputs=0))


def test_a_miss_is_a_miss(rows):
    row = rows["int8"]
    for median in (0.99, math.nan):
        assert replace(row, chunk_median=median).is_missed
