"""The people that INT8 finds against those of the float network, in units of their own size."""

from __future__ import annotations

import numpy as np
import pytest

from quant.cards.read import read_own_card
from quant.judge.people import FAR, PeopleMeter
from rpi_runtime.poses import Pose

FINDER, POSES = read_own_card("rtmdet-nano-person-320"), read_own_card("yolo11n-pose-320")
NOBODY = np.zeros((0, 3), np.float32)


def boxed(x: float, score: float = 0.9, side: float = 100.0) -> Pose:
    return Pose(keypoints=NOBODY, score=score, box=(x, 10.0, side, side))


def posed(shift: float = 0.0, sure: float = 0.9) -> Pose:
    points = np.stack([np.arange(17) * 5.0 + shift, np.arange(17) * 5.0, np.full(17, sure)], axis=1)
    return Pose(keypoints=points.astype(np.float32), score=0.9, box=(0.0, 0.0, 100.0, 100.0))


def test_equal_people_are_kept() -> None:
    meter = PeopleMeter(FINDER)
    meter.add([boxed(0), boxed(200)], [boxed(200), boxed(0)])
    found = meter.result()
    assert (found.parts, found.lost, found.added, found.shift) == (2, 0, 0, 0)


def test_who_is_not_found_is_lost_and_who_is_new_is_added() -> None:
    meter = PeopleMeter(FINDER)
    meter.add([boxed(0), boxed(200)], [boxed(0), boxed(400)])
    assert (meter.result().lost, meter.result().added) == (0.5, 0.5)


@pytest.mark.parametrize(("score", "lost"), [(0.29, 0), (0.1, 1)])
def test_nearly_as_sure_is_not_lost(score: float, lost: int) -> None:
    meter = PeopleMeter(FINDER)
    meter.add([boxed(0, 0.31)], [boxed(0, score)])
    assert meter.result().lost == lost


def test_doubtful_people_of_the_float_network_need_not_be_found() -> None:
    meter = PeopleMeter(FINDER)
    meter.add([boxed(0, 0.29)], [boxed(0, 0.31)])
    assert (meter.result().parts, meter.result().lost, meter.result().added) == (0, 0, 0)


@pytest.mark.parametrize("side", [20.0, 200.0])
def test_edges_count_by_the_size_of_the_person(side: float) -> None:
    meter = PeopleMeter(FINDER)
    meter.add([boxed(0, side=side)], [boxed(0.1 * side, side=side)])
    assert meter.result().shift == pytest.approx(0.05)  # left and right by a tenth, top and bottom by nothing


def test_keypoints_that_move_far_or_fade_are_lost() -> None:
    for other, lost in ((posed(100 * FAR * 0.9), 0), (posed(100 * FAR * 1.1), 17), (posed(sure=0.1), 17)):
        meter = PeopleMeter(POSES)
        meter.add([posed()], [other])
        assert meter.result().parts == 18
        assert meter.result().lost == pytest.approx(lost / 18)


def test_keypoints_that_float_does_not_find_do_not_count() -> None:
    meter = PeopleMeter(POSES)
    meter.add([posed(sure=0.1)], [posed(50)])
    assert (meter.result().parts, meter.result().lost) == (1, 0)


def scattered(x: float) -> Pose:
    points = np.stack([np.arange(17) * 5.0 + x, np.arange(17) * 5.0, np.full(17, 0.9)], axis=1)
    return Pose(keypoints=points.astype(np.float32), score=0.5)


def test_people_without_a_box_are_found_again_by_their_keypoints() -> None:
    meter = PeopleMeter(read_own_card("movenet-multipose-256"))
    meter.add([scattered(0), scattered(200)], [scattered(201), scattered(400)])
    found = meter.result()
    assert found.parts == 34
    assert found.lost == 0.5
    assert found.added == pytest.approx(1 / 34)
    assert found.shift == pytest.approx(1 / 80)


def test_the_person_of_a_crop_with_a_centre_is_compared_as_it_is() -> None:
    meter = PeopleMeter(read_own_card("movenet-lightning-192"))
    meter.add([scattered(0)], [scattered(2)])
    assert (meter.result().parts, meter.result().lost) == (17, 0)
