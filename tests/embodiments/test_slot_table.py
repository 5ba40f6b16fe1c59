"""Bodies that share a policy agree on its columns, or are refused with the table."""

from dataclasses import replace

import pytest
import tiny

from takt.embodiments.slot_table import LayoutMismatchError, require_one_layout, slot_table
from takt.types import ActionSpace

OTHER = replace(
    tiny.BODY,
    name="other",
    action_space=replace(tiny.BODY.action_space, names=("a", "b", "c", "d")),
    slots=(4, 6, 9, 1),
)


def test_names_may_differ_and_columns_be_missing():
    require_one_layout([tiny.BODY, OTHER])
    lines = slot_table([tiny.BODY, OTHER]).splitlines()
    assert lines[0].split() == ["column", "tiny", "other"]
    assert [line.split()[0] for line in lines[1:]] == ["1", "3", "4", "6", "9"]
    assert lines[2].split() == ["3", "left_turn", "(rad,", "relative)", "-"]


@pytest.mark.parametrize(
    "wrong",
    [
        replace(OTHER, relative=(True, True, True, False)),
        replace(
            OTHER,
            action_space=ActionSpace(
                names=("a", "b", "c", "d"),
                units=("rad", "1", "rad", "m"),
                low=OTHER.action_space.low,
                high=OTHER.action_space.high,
            ),
        ),
    ],
)
def test_a_column_of_two_meanings_is_refused_with_the_table(wrong):
    with pytest.raises(LayoutMismatchError, match=r"in column 6;[\s\S]*\n6 .*<- disagree"):
        require_one_layout([tiny.BODY, wrong])


def test_one_name_is_one_body():
    with pytest.raises(LayoutMismatchError, match="'tiny'"):
        require_one_layout([tiny.BODY, replace(OTHER, name="tiny")])
