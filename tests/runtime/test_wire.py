"""Self-describing bytes: what was written comes back, and other bytes build nothing."""

import numpy as np
import pytest
from fakes import FakeStation

from takt.runtime.wire import Codec, WireError
from takt.types import Observation

CODEC = Codec(Observation)


def test_messages_survive_the_wire_and_other_bytes_do_not() -> None:
    observation = FakeStation().observe()
    back = CODEC.decode(CODEC.encode(observation))
    np.testing.assert_array_equal(back.images["ego"], observation.images["ego"])
    assert back.state.dtype == observation.state.dtype
    assert back.state.flags.writeable
    for junk in (b"", b"\xc1", b"\x81\xa8__type__\xa4Evil"):
        with pytest.raises(WireError):
            CODEC.decode(junk)
