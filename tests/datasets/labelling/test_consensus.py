"""Boxes that detectors agree on."""

import json

import numpy as np
import pytest

from takt.datasets.labelling.consensus import agree, ground
from takt.transforms.detections import Detections, distinct, iou
from takt.transforms.qwen_coordinates import boxes_text, points_text

BOX, FAR = (0, 0, 10, 10), (50, 50, 60, 60)
NOTHING = Detections(np.zeros((0, 4)), np.zeros(0))


def found(*boxes, scores=None):
    scores = np.linspace(0.9, 0.5, len(boxes)) if scores is None else np.array(scores)
    return Detections(np.array(boxes, float).reshape(-1, 4), scores)


def test_iou_is_the_shared_part_of_the_whole():
    ours = np.array([BOX, FAR, (5, 5, 5, 5)], float)
    shared = iou(ours, np.array([(5, 0, 15, 10)], float))
    np.testing.assert_allclose(shared[:, 0], [1 / 3, 0, 0])


def test_a_thing_has_one_box():
    boxes = np.array([BOX, (1, 0, 11, 10), FAR, (70, 70, 80, 80)], float)
    kept = distinct(boxes, np.array([0.5, 0.8, 0.4, 0.1]), least=0.3, overlap=0.7)
    assert kept.boxes.tolist() == [[1, 0, 11, 10], list(FAR)]
    assert kept.scores.tolist() == [0.8, 0.4]


@pytest.mark.parametrize(
    ("detections", "boxes", "left_out"),
    [
        ([found(BOX), found(BOX), NOTHING], [BOX], 0),
        ([found(BOX), NOTHING, NOTHING], [], 1),
        ([found(BOX), found((4, 0, 14, 10)), NOTHING], [], 2),  # IoU 3/7
        ([found(BOX), found((2, 0, 12, 10)), found(FAR)], [(1, 0, 11, 10)], 1),
        ([found(BOX, FAR), found(FAR, BOX), found(FAR)], [BOX, FAR], 0),
        ([found(BOX, BOX), NOTHING, NOTHING], [], 2),  # one detector has one vote
        ([NOTHING, NOTHING, NOTHING], [], 0),
    ],
)
def test_two_of_three_decide(detections, boxes, left_out):
    agreed = agree(detections, votes=2, overlap=0.5)
    assert agreed.boxes.tolist() == [list(map(float, box)) for box in boxes]
    assert agreed.left_out == left_out


def test_what_joins_a_later_group_was_not_left_out():
    """Of three in a row only the middle one overlaps with both others."""
    row = [found((0, 0, 10, 10), scores=[0.9]), found((3, 0, 13, 10), scores=[0.8])]
    agreed = agree([*row, found((6, 0, 16, 10), scores=[0.7])], votes=3, overlap=0.5)
    assert agreed.boxes.tolist() == [[3, 0, 13, 10]]
    assert agreed.left_out == 0


def test_of_several_boxes_the_closest_one_votes():
    other = found((3, 0, 13, 10), (1, 0, 11, 10))
    agreed = agree([found(BOX, scores=[0.99]), other], votes=2, overlap=0.3)
    assert agreed.boxes.tolist() == [[0.5, 0, 10.5, 10]]
    assert agreed.left_out == 1


class Fixed:
    def __init__(self, *boxes):
        self.boxes = boxes

    def reads(self, phrase):
        return True

    def detect(self, image, phrases):
        return [found(*self.boxes) for _ in phrases]


class Masks:
    """Tightens the box at 0; what lies elsewhere has a mask of one pixel."""

    def mask_boxes(self, image, boxes):
        dot = np.concatenate([boxes[:, :2], boxes[:, :2] + 1], axis=1)
        return np.where(boxes[:, :1] < 10, [(1, 1, 9, 10)], dot)


def test_a_segmenter_draws_boxes_closer_or_refuses_them_but_has_no_vote():
    def agreed(*detectors):
        (one, other) = ground(np.zeros((80, 80, 3)), ("a", "b"), detectors, Masks(), 2, 0.5)
        assert one.boxes.tolist() == other.boxes.tolist()
        return one.boxes.tolist(), one.left_out

    assert agreed(Fixed(BOX), Fixed()) == ([], 1)
    assert agreed(Fixed(BOX), Fixed(BOX)) == ([[1, 1, 9, 10]], 0)
    assert agreed(Fixed(BOX, FAR), Fixed(FAR, BOX)) == ([[1, 1, 9, 10]], 1)


def test_coordinates_are_thousandths_of_the_image():
    text = boxes_text(np.array([(32, 12, 64, 48)]), "red cup", (48, 64))
    assert json.loads(text) == [{"bbox_2d": [500, 250, 1000, 1000], "label": "red cup"}]
    text = points_text(np.array([(-1.0, 0.0), (0.5, 1.0)]), "nut")
    assert [point["point_2d"] for point in json.loads(text)] == [[0, 500], [750, 1000]]
