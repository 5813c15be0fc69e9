"""Boxes, order, budget, merging and memory of the cascade, on a made-up clock and on people of dots."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from rpi_runtime.cascade.boxes import ease_box, person_box
from rpi_runtime.cascade.budget import Budget
from rpi_runtime.cascade.cascade import Cascade
from rpi_runtime.cascade.people import duplicates
from rpi_runtime.cascade.refine import CropRefiner, PictureRefiner, refiner_for
from rpi_runtime.cascade.skeletons import Merger
from rpi_runtime.cascade.spec import RefineConfig
from rpi_runtime.errors import CardError, UsageError
from rpi_runtime.estimate import Estimator
from rpi_runtime.model.card import Skeleton
from rpi_runtime.poses import Pose
from tests.rpi_runtime.dots import CROPS, PICTURES, SKELETON, DotsNetwork, draw, person

MS = 1_000_000
FRAME = 40 * MS
BLANK = np.zeros((240, 320, 3), np.uint8)


def pose(points, score=1.0, value=0.5):
    """A pose at (K, 2) places."""
    return Pose(keypoints=np.insert(np.asarray(points, np.float32), 2, value, axis=1), score=score)


class Clock:
    """Goes on only when told to."""

    now = 0

    def __call__(self):
        return self.now


class Refiner:
    """Finds everybody of `truth` on every crop; takes `costs_ms` of the clock; remembers the boxes' middles."""

    def __init__(self, clock, truth=(), cost_ms=10.0):
        self.clock, self.truth, self.cost_ms = clock, list(truth), cost_ms
        self.seen = []

    def __call__(self, frame, box):
        self.clock.now += int(self.cost_ms * MS)
        self.seen.append(round(box[0] + box[2] / 2))
        return tuple(pose(points, score=9.0, value=0.9) for points in self.truth)


def make(truth=(), *, cost_ms=10.0, **spec):
    """A cascade, its refiner and its clock; the two warm-up crops are forgotten."""
    clock = Clock()
    refiner = Refiner(clock, truth, cost_ms)
    config = RefineConfig(model="toy.tflite", **spec)
    cascade = Cascade(refiner, CROPS, SKELETON, config, clock=clock)
    refiner.seen.clear()
    return cascade, refiner, clock


CROWD = [person(40 + 60 * n, 60, 15 + n) for n in range(5)]  # the farther right, the larger


@pytest.mark.parametrize(("budget_ms", "reached"), [(0, 5), (9, 0), (10, 1), (35, 3), (1000, 5)])
def test_no_crop_is_begun_that_would_exceed_the_budget(budget_ms, reached):
    cascade, refiner, clock = make(CROWD, budget_ms=budget_ms)
    begin = clock.now
    found = cascade(BLANK, [pose(p + 2) for p in CROWD], FRAME)
    assert len(refiner.seen) == sum(found.refined) == reached
    assert budget_ms == 0 or clock.now - begin <= budget_ms * MS
    assert len(found.poses) == 5


def test_the_largest_come_first_and_then_who_has_waited():
    cascade, refiner, _ = make(CROWD, budget_ms=20, look_every=1)
    for frame in range(1, 4):
        cascade(BLANK, [pose(p) for p in CROWD], frame * FRAME)
    assert refiner.seen == [280, 220, 160, 100, 40, 280]


def test_the_unreached_keep_their_coarse_keypoints():
    cascade, _, _ = make(CROWD, budget_ms=10)
    coarse = [pose(p + 2) for p in CROWD]
    found = cascade(BLANK, coarse, FRAME)
    assert found.refined == (False, False, False, False, True) and found.looked
    for n in range(4):
        assert found.poses[n] is coarse[n]
    assert_allclose(found.poses[4].keypoints[:, :2], CROWD[4])
    assert_allclose(found.poses[4].keypoints[:, 2], 0.9)
    assert found.poses[4].score == 1.0, "of whoever found the person"


def test_in_between_people_are_where_they_were_and_every_so_often_all_is_looked_at():
    cascade, _, _ = make([person(100, 60)], look_every=3)
    looks = []
    for frame in range(1, 8):
        look = cascade.wants_look(frame * FRAME)
        looks.append(look)
        found = cascade(BLANK, [pose(person(101, 61))] if look else None, frame * FRAME)
        assert (found.refined, found.looked) == ((True,), look)
        assert_allclose(found.poses[0].keypoints[:, :2], person(100, 60))
    assert looks == [True, False, False, True, False, False, True]


def test_a_walker_is_followed_without_a_look():
    cascade, refiner, _ = make(look_every=100)
    for frame in range(1, 30):
        refiner.truth = [person(50 + 6 * frame, 60)]
        look = cascade.wants_look(frame * FRAME)
        assert look == (frame == 1)
        found = cascade(BLANK, [pose(refiner.truth[0])] if look else None, frame * FRAME)
        assert found.refined == (True,)
    assert abs(refiner.seen[-1] - (50 + 6 * 29)) <= 15, "the box goes along"


def test_who_is_not_found_on_the_crop_is_lost_and_looked_for():
    cascade, refiner, _ = make([person(100, 60)])
    cascade(BLANK, [pose(person(100, 60))], FRAME)
    refiner.truth = []
    assert not cascade.wants_look(2 * FRAME)
    assert cascade(BLANK, None, 2 * FRAME).poses == ()
    assert cascade.wants_look(3 * FRAME)
    found = cascade(BLANK, [pose(person(100, 60))], 3 * FRAME)
    assert (len(found.poses), found.refined) == (1, (False,)), "on a look the coarse keypoints are evidence"


def test_somebody_else_on_the_crop_is_not_taken():
    cascade, _, _ = make([person(250, 60)])
    coarse = [pose(person(60, 60))]
    found = cascade(BLANK, coarse, FRAME)
    assert found.poses[0] is coarse[0] and found.refined == (False,)


def test_two_who_turn_out_to_be_one_are_one():
    cascade, _, _ = make([person(100, 60)])
    found = cascade(BLANK, [pose(person(95, 60), 1.0), pose(person(105, 60), 2.0)], FRAME)
    assert [p.score for p in found.poses] == [2.0]
    assert cascade.wants_look(2 * FRAME)


def test_a_pause_or_a_jump_back_needs_a_look():
    cascade, _, _ = make([person(100, 60)])
    cascade(BLANK, [pose(person(100, 60))], 10 * FRAME)
    assert not cascade.wants_look(11 * FRAME)
    assert cascade.wants_look(10 * FRAME + 600 * MS)
    assert cascade.wants_look(FRAME)
    assert cascade.wants_look(10 * FRAME), "a file without times"


def test_when_no_crop_fits_the_budget_every_frame_is_looked_at(caplog):
    cascade, refiner, _ = make([person(100, 60)], cost_ms=30, budget_ms=20)
    assert "one crop takes 30.0 ms here, the budget is 20 ms" in caplog.text
    for frame in range(1, 5):
        assert cascade.wants_look(frame * FRAME)
        cascade(BLANK, [pose(person(100, 60))], frame * FRAME)
    assert refiner.seen == []


def test_the_estimate_follows_the_cost_and_forgives_a_passing_load():
    budget = Budget(20, Clock())
    assert budget.cost_ns == 0
    budget.learn(10 * MS)
    assert budget.cost_ns == 10 * MS
    for _ in range(60):
        budget.learn(15 * MS)
    assert_allclose(budget.cost_ns, 15 * MS, rtol=0.02)
    for _ in range(5):
        budget.learn(80 * MS)
    assert budget.hopeless
    for _ in range(100):
        budget.relieve()
    assert not budget.hopeless and budget.cost_ns >= 10 * MS


def test_boxes_have_a_margin_and_need_an_extent():
    box = person_box(pose(np.array([(10, 20), (50, 120), (0, 0)], float)).keypoints * [[1], [1], [0]])
    assert_allclose(box, (-5, 5, 70, 130))
    assert person_box(np.zeros((3, 3), np.float32)) is None
    assert person_box(pose(np.full((3, 2), 7.0)).keypoints) is None


def test_edges_go_out_at_once_and_in_slowly():
    assert_allclose(ease_box((0, 0, 100, 100), (-20, -10, 150, 150)), (-20, -10, 150, 150))
    assert_allclose(ease_box((0, 0, 100, 100), (20, 0, 80, 50)), (6, 0, 94, 85))
    assert ease_box((0, 0, 100, 50), (10, -5, 85, 60)) == (0, 0, 100, 50), "nearly the same"
    assert ease_box((0, 0, 100, 50), (11, -5, 84, 60)) != (0, 0, 100, 50)
    assert ease_box(None, (1, 2, 3, 4)) == (1, 2, 3, 4) and ease_box((1, 2, 3, 4), None) is None


BODY = Skeleton(keypoints=("nose", "neck", "right_shoulder", "left_shoulder", "left_hip", "tail"))
COCO = Skeleton(keypoints=("nose", "left_shoulder", "right_shoulder", "left_hip"))


def test_keypoints_are_merged_by_name_and_the_neck_lies_between_the_shoulders():
    merger = Merger(BODY, COCO)
    assert merger.known.tolist() == [True] * 5 + [False]
    carried = merger.carry_over(np.array([(5, 1, 0.9), (8, 4, 0.8), (2, 6, 0.6), (0, 0, 0)], np.float32))
    assert_allclose(
        carried, [(5, 1, 0.9), (5, 5, 0.6), (2, 6, 0.6), (8, 4, 0.8), (0, 0, 0), (0, 0, 0)], rtol=1e-6
    )
    coarse = np.full((6, 3), 0.3, np.float32)
    fresh, stale = (merger.merge(coarse, carried, fresh=flag) for flag in (True, False))
    assert_allclose(fresh[4:], coarse[4:], err_msg="seen on this picture")
    assert_allclose(stale[4:], [(0, 0, 0), coarse[5]], err_msg="looked for and not found; not looked for")
    one = carried.copy()
    one[:] = merger.carry_over(np.array([(5, 1, 0.9), (8, 4, 0.8), (0, 0, 0), (0, 0, 0)], np.float32))
    assert one[1, 2] == 0, "no neck of one shoulder"


def test_other_names_are_matched_by_their_place_among_cocos():
    coco = (0, 1, 2, *[-1] * 14)
    renamed = Skeleton(keypoints=("n", "l", "r"), coco=coco)
    ours = Skeleton(keypoints=("nose", "left_eye", "right_eye"), coco=(0, 1, 2, *[-1] * 14))
    assert Merger(ours, renamed).known.all()
    with pytest.raises(CardError, match="2 keypoints in common"):
        Merger(Skeleton(keypoints=("a", "b", "x")), Skeleton(keypoints=("a", "b", "c")))


def test_of_duplicates_the_less_sure_one_goes():
    assert duplicates(np.array([[1, 0.95, 0], [0.95, 1, 0.2], [0, 0.2, 1]]), [1.0, 2.0, 3.0]) == [0]


@pytest.mark.parametrize("key", ["budget_ms", "look_every"])
def test_settings_are_checked(key):
    with pytest.raises(UsageError, match=key):
        RefineConfig(model="m.tflite", **{key: -1})


@pytest.mark.parametrize("card", [CROPS, PICTURES], ids=lambda c: c.name)
@pytest.mark.parametrize("place", [(150, 60), (8, 100), (310, 20)], ids=str)
def test_either_kind_of_network_finds_the_person_of_a_box(card, place):
    points = person(*place)
    refiner = refiner_for(DotsNetwork(card))
    assert isinstance(refiner, CropRefiner if card is CROPS else PictureRefiner)
    (found,) = refiner(draw([points]), person_box(pose(points + 3).keypoints))
    assert found.found.all()
    assert_allclose(found.keypoints[:, :2], points, atol=2)


@pytest.mark.parametrize("card", [CROPS, PICTURES], ids=lambda c: c.name)
def test_a_box_beside_the_picture_shows_nobody(card):
    assert refiner_for(DotsNetwork(card))(draw([]), (900.0, 900.0, 50.0, 80.0)) == ()


@pytest.mark.parametrize("card", [CROPS, PICTURES], ids=lambda c: c.name)
def test_the_estimator_refines_both_of_two_people(card):
    finder, network = DotsNetwork(PICTURES), DotsNetwork(card)
    cascade = Cascade(
        refiner_for(network), card, SKELETON, RefineConfig(model="r", budget_ms=0, look_every=4)
    )
    estimator = Estimator([finder], smooth=False, cascade=cascade)
    plain = Estimator([DotsNetwork(PICTURES)], smooth=False)
    assert plain.networks == f"{PICTURES.name} {PICTURES.input.size}"
    assert estimator.networks == f"{plain.networks} + {card.name} {card.input.size}"
    errors = {"plain": [], "refined": []}
    for frame in range(1, 9):
        people = [person(90 + frame, 70), person(240 - frame, 80)]
        picture = draw(people)
        released = []
        result = estimator(picture, frame * FRAME, prepared=lambda: released.append(1))  # noqa: B023
        assert [t.refined for t in result.tracks] == [True, True] and released == [1]
        assert result.looked == (frame % 4 == 1)
        assert list(result.latency_ns) == [
            *(["preprocess", "infer", "decode"] if result.looked else []),
            "refine",
            "track",
        ]
        for name, tracks in (("refined", result.tracks), ("plain", plain(picture, frame * FRAME).tracks)):
            for truth in people:
                errors[name].append(min(np.abs(t.pose.keypoints[:, :2] - truth).max() for t in tracks))
    assert finder.runs == 2 and {t.id for t in result.tracks} == {1, 2}
    assert max(errors["refined"]) < min(2.5, max(errors["plain"]))


def test_without_ids_every_picture_is_looked_at():
    network = DotsNetwork(CROPS)
    cascade = Cascade(refiner_for(network), CROPS, SKELETON, RefineConfig(model="r", budget_ms=0))
    finder = DotsNetwork(PICTURES)
    estimator = Estimator([finder], track=False, cascade=cascade)
    for frame in range(3):
        assert estimator(draw([person(100, 60)]), frame).looked
    assert finder.runs == 3


def test_a_picture_that_has_nothing_to_do_with_the_last_is_not_taken_for_its_sequel():
    cascade, refiner, _ = make(CROWD, budget_ms=20)
    for frame in (1, 2):
        cascade.forget()
        cascade(BLANK, [pose(p) for p in CROWD], frame * FRAME)
    assert refiner.seen == [280, 220, 280, 220], "nobody has waited"


def test_networks_of_different_bodies_are_refused():
    other = replace(CROPS, skeleton=Skeleton(keypoints=("k", "l", "m", "n", "o", "p")))
    with pytest.raises(CardError, match=r"^r\.tflite: the two networks have 0 keypoints in common"):
        Cascade(Refiner(Clock()), other, SKELETON, RefineConfig(model="r.tflite"))
