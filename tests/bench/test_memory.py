"""The memory benchmarks name what they do not know."""

import checkpoint_memory
import finetune_memory
import pytest

from takt.types import TaktError


def test_unknown_sizes_list_the_known():
    with pytest.raises(TaktError, match="nano, cpu-bench, 4.7b"):
        checkpoint_memory.Config(preset="huge")
    with pytest.raises(TaktError, match="nano, cpu-bench, 4.7b"):
        finetune_memory.main(finetune_memory.Options(preset="huge"))
    with pytest.raises(TaktError, match="--lora of at least 1"):
        finetune_memory.Options(lora=0)
