"""Which of a detector's boxes become people, and which become regions where nothing is taught."""

from __future__ import annotations

from export.train.data.pair_teacher import annotation, without_repeats


def test_a_doubtful_box_round_a_labelled_person_is_no_region_of_its_own() -> None:
    """It would hide the labels; one beside every person stays."""
    taught = annotation((100, 50, 60, 120), None, 0.9) | {"num_keypoints": 12}
    part = annotation((105, 60, 40, 50), None, 0.2)
    several = annotation((90, 40, 200, 140), None, 0.15)
    beside = annotation((150, 50, 80, 120), None, 0.12)
    assert without_repeats([taught, part, several, beside]) == [taught, beside]


def test_doubtful_boxes_stay_where_nobody_is_labelled() -> None:
    """Two on one another too: neither is known to be a person."""
    boxes = [annotation((0, 0, 50, 80), None, 0.2), annotation((2, 2, 50, 80), None, 0.15)]
    assert without_repeats(boxes) == boxes
