"""Skeletons over pictures, with OpenCV and with Pillow."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from rpi_runtime.poses import Pose
from rpi_runtime.sinks.draw import PALETTE, draw_people
from tests.rpi_runtime.results import make_result
from tests.rpi_runtime.toys import CARD


@pytest.fixture(autouse=True, params=["opencv", "pillow"])
def library(request, monkeypatch):
    if request.param == "pillow":
        monkeypatch.setitem(sys.modules, "cv2", None)
    else:
        pytest.importorskip("cv2", reason="OpenCV is not installed")


def drawn(people, **options):
    image = np.zeros((48, 64, 3), np.uint8)
    image.setflags(write=False)
    return draw_people(image, make_result(people=people).tracks, CARD.skeleton, **options)


def test_a_limb_joins_two_keypoints_in_the_colour_of_the_id():
    picture = drawn(1)
    assert picture[19:21, 20, ::-1].max(axis=0).tolist() == pytest.approx(list(PALETTE[1]), abs=8)
    assert picture[40, 20].tolist() == [0, 0, 0]


def test_nobody_changes_nothing_and_a_caption_is_written():
    assert not drawn(0).any()
    assert drawn(0, caption="12 fps").any()


def test_keypoints_that_were_not_found_are_not_drawn():
    assert not drawn(1)[:3, :3].any(), "nothing at (0, 0)"


def test_who_has_only_a_box_has_its_edges_drawn():
    (track,) = make_result(people=1).tracks
    nothing = np.zeros_like(track.pose.keypoints)
    seen = replace(track, pose=Pose(keypoints=nothing, score=0.5, box=(10.0, 24.0, 40.0, 18.0)))
    picture = draw_people(np.zeros((48, 64, 3), np.uint8), (seen,), CARD.skeleton)
    for edge in (picture[26:40, 8:13], picture[26:40, 48:53], picture[40:45, 20:40]):
        assert edge[..., ::-1].reshape(-1, 3).max(axis=0).tolist() == pytest.approx(list(PALETTE[1]), abs=8)
    assert not picture[30:36, 20:40].any(), "and nothing inside"
