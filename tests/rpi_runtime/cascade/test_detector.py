"""A detector finds, crops give the poses: boxes without keypoints, a budget for the frame, people not reached."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from rpi_runtime.cascade.boxes import clip_box, person_box
from rpi_runtime.cascade.cascade import Cascade
from rpi_runtime.cascade.refine import refiner_for
from rpi_runtime.cascade.spec import RefineConfig
from rpi_runtime.errors import CardError
from rpi_runtime.estimate import Estimator
from rpi_runtime.model.card import InputSpec, ModelCard, OutputSpec, Skeleton
from rpi_runtime.model.decoders import BoxSettings
from rpi_runtime.model.inference import Quantization
from rpi_runtime.poses import Pose
from rpi_runtime.sinks.message import make_message
from rpi_runtime.track.tracker import Tracker
from tests.rpi_runtime.cascade.test_cascade import BLANK, FRAME, MS, Clock, Refiner, pose
from tests.rpi_runtime.dots import CROPS, SKELETON, person

NOBODY = Skeleton()
BOXES = ModelCard(
    name="boxes",
    input=InputSpec(width=320, height=320),
    outputs=(
        OutputSpec(name="out", role="boxes", channels=4, axes="rows", rows=64),
        OutputSpec(name="out", role="scores", channels=1, axes="rows", rows=64, first=4),
    ),
    decoder=BoxSettings(form="corners", unit="pixel", logits=False, threshold=0.3),
)


def seen(points: np.ndarray, score: float = 0.8) -> Pose:
    """As a detector gives a person: a box and a score."""
    box = person_box(np.insert(np.asarray(points, np.float32), 2, 1, axis=1), 0.07)
    return Pose(keypoints=np.zeros((0, 3), np.float32), score=score, box=box)


def make(truth: list[np.ndarray], *, cost_ms: float = 10.0, **spec: float) -> tuple[Cascade, Refiner, Clock]:
    clock = Clock()
    refiner = Refiner(clock, truth, cost_ms)
    config = RefineConfig(model="toy.tflite", **spec)  # type: ignore[arg-type]
    cascade = Cascade(refiner, CROPS, NOBODY, config, clock=clock)
    refiner.seen.clear()
    return cascade, refiner, clock


def test_the_run_has_the_refining_networks_skeleton():
    cascade, _, _ = make([person(100, 60)])
    assert cascade.skeleton == CROPS.skeleton


def test_a_box_becomes_a_pose_and_its_score_is_both_networks():
    cascade, refiner, _ = make([person(100, 60)])
    (found,) = cascade(BLANK, [seen(person(100, 60))], FRAME).poses
    assert_allclose(found.keypoints[:, :2], person(100, 60))
    assert found.score == pytest.approx(0.8 * 9.0)
    assert_allclose(found.box, seen(person(100, 60)).box)
    assert refiner.seen == [100]


def test_who_is_not_reached_has_a_box_and_a_score():
    people = [person(60, 60, 15), person(200, 60, 30)]
    cascade, _, _ = make([people[1]], budget_ms=10, cost_ms=10)
    found = cascade(BLANK, [seen(p) for p in people], FRAME)
    assert found.refined == (False, True)
    small = found.poses[0]
    assert not small.found.any() and small.keypoints.shape == (len(SKELETON.keypoints), 3)
    assert small.score == 0.8 and small.box is not None


def test_the_budget_is_that_of_the_whole_frame():
    """What the detector took counts: 25 of 40 ms leave one crop of 10, not four."""
    people = [person(40 + 60 * n, 60) for n in range(4)]
    cascade, refiner, clock = make([], budget_ms=40, cost_ms=10)
    cascade.begin()
    clock.now += 25 * MS
    cascade(BLANK, [seen(p) for p in people], FRAME)
    assert len(refiner.seen) == 1
    refiner.seen.clear()
    cascade(BLANK, [seen(p) for p in people], 2 * FRAME)
    assert len(refiner.seen) == 4, "a frame that nothing was done for before begins with the cascade"


def test_keypoints_do_not_jump_when_a_person_is_reached_only_now_and_then():
    """Four walkers, one crop a frame: each is refined every fourth frame and stays near the truth."""
    places = [np.array([60 + 60 * n, 60]) for n in range(4)]
    cascade, refiner, _ = make([], budget_ms=10, cost_ms=10, look_every=1)
    worst = 0.0
    for frame in range(1, 41):
        truth = [person(x + 1.5 * frame, y) for x, y in places]
        refiner.truth = truth
        found = cascade(
            BLANK, [seen(t + np.random.default_rng(frame).normal(0, 0.3)) for t in truth], frame * FRAME
        )
        assert sum(found.refined) == 1
        if frame > 8:
            assert all(p.found.all() for p in found.poses)
            ordered = sorted(found.poses, key=lambda p: p.keypoints[0, 0])
            for p, t in zip(ordered, truth, strict=True):
                worst = max(worst, float(np.abs(p.keypoints[:, :2] - t).max()))
    assert worst < 3


def test_with_a_network_of_poses_the_refined_do_not_fall_back_to_coarse_keypoints():
    clock = Clock()
    refiner = Refiner(clock, [], 10.0)
    config = RefineConfig(model="toy.tflite", budget_ms=10, look_every=1)
    cascade = Cascade(refiner, CROPS, SKELETON, config, clock=clock)
    rng = np.random.default_rng(0)
    truth = [person(80, 60, 20), person(200, 60, 20)]
    refiner.truth = truth
    worst = 0.0
    for frame in range(1, 20):
        coarse = [pose(t + rng.normal(0, 4, t.shape)) for t in truth]
        found = cascade(BLANK, coarse, frame * FRAME)
        if frame > 3:
            for p, t in zip(sorted(found.poses, key=lambda p: p.keypoints[0, 0]), truth, strict=True):
                worst = max(worst, float(np.abs(p.keypoints[:, :2] - t).max()))
    assert worst < 6, "coarse keypoints are up to 12 pixels off"


def test_a_keypoint_that_is_gone_is_not_carried_for_ever():
    cascade, _, _ = make([person(100, 60)], budget_ms=0, look_every=1)
    cascade(BLANK, [seen(person(100, 60))], FRAME)
    hidden = pose(person(100, 60), value=0.9)
    hidden.keypoints[0] = 0
    cascade._refiner = lambda frame, box: (hidden,)  # type: ignore[method-assign,assignment]
    (found,) = cascade(BLANK, [seen(person(100, 60))], 2 * FRAME).poses
    assert found.found.tolist() == [False] + [True] * (len(SKELETON.keypoints) - 1)


def test_between_looks_the_box_goes_along():
    cascade, refiner, _ = make([], look_every=100)
    for frame in range(1, 20):
        refiner.truth = [person(60 + 5 * frame, 60)]
        look = cascade.wants_look(frame * FRAME)
        assert look == (frame == 1)
        (found,) = cascade(BLANK, [seen(refiner.truth[0])] if look else None, frame * FRAME).poses
    x, _, width, _ = found.box
    assert abs(x + width / 2 - (60 + 5 * 19)) < 12


def test_a_person_found_twice_by_the_detector_does_not_make_it_look_at_every_frame():
    cascade, _, _ = make([person(100, 60)], budget_ms=0, look_every=5)
    found = cascade(BLANK, [seen(person(96, 60)), seen(person(104, 60))], FRAME)
    assert len(found.poses) == 1
    assert not cascade.wants_look(2 * FRAME)


def test_half_of_a_person_and_the_person_are_one():
    """A detector's two boxes have little in common; the keypoints on both crops are the same person's."""
    truth = person(100, 60)
    cascade, _, _ = make([truth], budget_ms=0)
    found = cascade(BLANK, [seen(truth), seen(truth[:3], score=0.4)], FRAME)
    assert [p.score for p in found.poses] == [pytest.approx(0.8 * 9.0)], "the surer one stays"


def test_ids_stay_whether_a_person_has_keypoints_or_only_a_box():
    tracker = Tracker(SKELETON)
    ids = []
    for frame in range(1, 13):
        whole = seen(person(60 + 3 * frame, 60))
        if frame % 3 == 0:
            keypoints = np.insert(np.asarray(person(60 + 3 * frame, 60), np.float32), 2, 0.9, axis=1)
            whole = Pose(keypoints=keypoints, score=0.8, box=whole.box)
        other = seen(person(240, 60))
        ids.append([t.id for t in tracker.update([whole, other], frame * FRAME)])
    assert ids == [[1, 2]] * 12


def test_messages_have_the_box():
    from rpi_runtime.sinks.message import schema
    from tests.rpi_runtime.results import make_result

    jsonschema = pytest.importorskip("jsonschema")
    result = make_result()
    track = result.tracks[0]
    boxed = Pose(keypoints=np.zeros((0, 3), np.float32), score=0.81, box=(1.04, 2.0, 30.0, 60.0))
    from dataclasses import replace

    message = make_message(replace(result, tracks=(replace(track, pose=boxed),)), SKELETON)
    jsonschema.validate(message, schema())
    assert message["people"][0] == {
        "id": track.id,
        "score": 0.81,
        "age": track.age,
        "keypoints": {},
        "box": [1.0, 2.0, 30.0, 60.0],
    }


@pytest.mark.parametrize(
    ("box", "expected"),
    [((-10, 5, 30, 20), (0, 5, 20, 20)), ((300, 200, 50, 90), (300, 200, 20, 40)), ((400, 0, 9, 9), None)],
)
def test_boxes_end_at_the_picture(box, expected):
    assert clip_box(box, 320, 240) == expected


def test_a_detector_does_not_refine():
    class Detector:
        card, path = type("C", (), {"skeleton": NOBODY}), "d.tflite"

    with pytest.raises(CardError, match="no keypoints, so it cannot refine"):
        refiner_for(Detector())  # type: ignore[arg-type]


class Finder:
    """A detector that gives the same box at every look, with the scores of a list in turn; then none."""

    def __init__(self, scores: list[float]) -> None:
        self.card, self.path = BOXES, "toy.tflite"
        self.input = np.zeros((1, 320, 320, 3), np.float32)
        self._scores, self._now = scores, 0.0

    def invoke(self) -> None:
        self._now = self._scores.pop(0) if self._scores else 0.0

    def output(self, role: str, stride: int | None = None) -> np.ndarray:
        rows = np.zeros((1, 1, 64, 4 if role == "boxes" else 1), np.float32)
        rows[0, 0, 0] = (100, 100, 160, 250) if role == "boxes" else self._now
        return rows

    def quantization(self, role: str, stride: int | None = None) -> Quantization:
        return Quantization(scale=0.0, zero_point=0)


@pytest.mark.parametrize("crops", [False, True])
@pytest.mark.parametrize(("track", "wanted"), [(True, [0, 0, 1, 1]), (False, [0, 1, 1, 1])])
def test_a_new_person_appears_once_sure_and_stays_when_doubtful(
    track: bool, wanted: list[int], crops: bool
) -> None:
    """A doubtful score is above the card's 0.3 and not a tenth above it."""
    cascade = make([person(130, 175, 60)], look_every=1, budget_ms=0)[0] if crops else None
    finder = Finder([0.0, 0.35, 0.45, 0.32])
    estimator = Estimator([finder], track=track, cascade=cascade)  # type: ignore[list-item]
    picture = np.zeros((320, 320, 3), np.uint8)
    assert [len(estimator(picture, (n + 1) * FRAME).tracks) for n in range(4)] == wanted


def test_who_is_doubtful_on_a_single_picture_is_there() -> None:
    estimator = Estimator([Finder([0.35])])  # type: ignore[list-item]
    assert len(estimator(np.zeros((320, 320, 3), np.uint8), 0).tracks) == 1
