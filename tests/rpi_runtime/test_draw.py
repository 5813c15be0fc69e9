"""Skeletons over pictures."""

from __future__ import annotations

import numpy as np

from rpi_runtime.draw import PALETTE, draw_people
from tests.rpi_runtime.results import make_result
from tests.rpi_runtime.toys import CARD


def draw(people, **options):
    image = np.zeros((48, 64, 3), np.uint8)
    image.setflags(write=False)
    return draw_people(image, make_result(people=people).tracks, CARD.skeleton, **options)


def test_a_limb_joins_two_keypoints_in_the_colour_of_the_id():
    drawn = draw(1)
    assert drawn[20, 20, ::-1].tolist() == list(PALETTE[1])
    assert drawn[40, 20].tolist() == [0, 0, 0]


def test_nobody_changes_nothing_and_a_caption_is_written():
    assert not draw(0).any()
    assert draw(0, caption="12 fps").any()


def test_keypoints_that_were_not_found_are_not_drawn():
    assert not draw(1)[:3, :3].any(), "nothing at (0, 0)"
