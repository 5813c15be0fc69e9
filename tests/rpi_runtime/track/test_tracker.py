"""Ids that persist."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpi_runtime.errors import UsageError
from rpi_runtime.model.card import Skeleton
from rpi_runtime.poses import Pose
from rpi_runtime.track.places import person_scales
from rpi_runtime.track.smooth import SmoothSpec
from rpi_runtime.track.tracker import Tracker, TrackSpec

SKELETON = Skeleton(keypoints=tuple("abcdefgh"))
STEP_NS = 50_000_000
FIGURE = np.float32([[0, -50], [-10, -30], [10, -30], [-12, 0], [12, 0], [-8, 20], [8, 20], [0, 50]])


def person(x: float, y: float = 100, size: float = 1.0, missing: tuple[int, ...] = ()) -> Pose:
    keypoints = np.ones((8, 3), np.float32)
    keypoints[:, :2] = FIGURE * size + np.float32([x, y])
    keypoints[list(missing)] = 0
    return Pose(keypoints=keypoints, score=5.0)


def ids(tracks) -> list[int]:
    return [t.id for t in tracks]


def test_ids_follow_people_whatever_their_order():
    tracker = Tracker(SKELETON)
    assert ids(tracker.update([person(100), person(300)], 0)) == [1, 2]
    assert ids(tracker.update([person(303), person(104)], STEP_NS)) == [2, 1]
    tracks = tracker.update([person(200), person(306), person(108)], 2 * STEP_NS)
    assert ids(tracks) == [3, 2, 1]
    assert [t.age for t in tracks] == [0, 2, 2]


def test_without_smoothing_the_pose_is_handed_on():
    pose = person(100)
    (track,) = Tracker(SKELETON).update([pose], 0)
    assert track.pose is pose


def test_a_short_occlusion_is_survived_in_motion():
    tracker = Tracker(SKELETON)
    for i in range(10):
        tracker.update([person(100 + 8 * i)], i * STEP_NS)  # 160 pixels a second
    for i in range(10, 15):
        assert tracker.update([], i * STEP_NS) == ()
    assert ids(tracker.update([person(100 + 8 * 15)], 15 * STEP_NS)) == [1]


def test_a_doubtful_new_person_has_no_id_until_sure():
    tracker = Tracker(SKELETON)
    tracker.update([person(100)], 0)
    doubtful = [person(100), person(400)]
    assert ids(tracker.update(doubtful, STEP_NS, [True, False])) == [1, 0]
    assert ids(tracker.update(doubtful[::-1], 2 * STEP_NS, [True, True])) == [2, 1]
    tracks = tracker.update(doubtful, 3 * STEP_NS, [False, False])
    assert ids(tracks) == [1, 2]  # both are known now
    assert [t.age for t in tracks] == [3, 1]


def test_a_known_person_who_was_hidden_continues_when_doubtful():
    tracker = Tracker(SKELETON)
    tracker.update([person(100)], 0)
    tracker.update([], 5 * STEP_NS)
    assert ids(tracker.update([person(101)], 10 * STEP_NS, [False])) == [1]


@pytest.mark.parametrize("apart_ns", [None, 1_001_000_000, -STEP_NS])
def test_on_a_frame_that_follows_no_other_everyone_is_new(apart_ns: int | None):
    tracker = Tracker(SKELETON, TrackSpec(keep_ms=1000))
    if apart_ns is not None:
        tracker.update([], 20 * STEP_NS)
    assert ids(tracker.update([person(100)], 20 * STEP_NS + (apart_ns or 0), [False])) == [1]


def test_after_a_long_absence_the_id_is_new():
    tracker = Tracker(SKELETON, TrackSpec(keep_ms=500))
    tracker.update([person(100)], 0)
    assert ids(tracker.update([person(100)], 500_000_000)) == [1]
    assert ids(tracker.update([person(100)], 1_001_000_000)) == [2]


def test_halves_of_a_person_keep_the_id():
    tracker = Tracker(SKELETON)
    tracker.update([person(100)], 0)
    assert ids(tracker.update([person(102, missing=(0, 1, 2, 3))], STEP_NS)) == [1]
    assert ids(tracker.update([person(104, missing=(4, 5, 6, 7))], 2 * STEP_NS)) == [1]


def test_one_keypoint_in_common_is_not_enough():
    tracker = Tracker(SKELETON, TrackSpec(min_oks=0.4, max_speed=0, slack=0))
    tracker.update([person(100, missing=(0, 1, 2, 3, 4, 5))], 0)
    assert ids(tracker.update([person(100, missing=(1, 2, 3, 4, 5, 7))], STEP_NS)) == [2]


def test_two_who_pass_each_other_keep_their_ids():
    tracker = Tracker(SKELETON)
    for i in range(41):
        left, right = person(100 + 5 * i), person(300 - 5 * i, y=130)
        tracks = tracker.update([left, right], i * STEP_NS)
        assert ids(tracks) == [1, 2]


def test_time_that_runs_back_ends_all_tracks():
    tracker = Tracker(SKELETON)
    tracker.update([person(100)], 10 * STEP_NS)
    assert ids(tracker.update([person(100)], 0)) == [2]


def test_smoothing_keeps_ids_and_scores_and_lessens_trembling():
    generator = np.random.default_rng(0)
    tracker = Tracker(SKELETON, smooth=SmoothSpec(min_cutoff_hz=1, beta=1))
    raw, smooth = [], []
    for i in range(60):
        pose = person(100 + generator.normal(0, 2), missing=(3,))
        (track,) = tracker.update([pose], i * STEP_NS)
        assert track.id == 1
        assert np.array_equal(track.pose.keypoints[:, 2], pose.keypoints[:, 2])
        assert not track.pose.keypoints[3].any()
        raw.append(pose.keypoints[0, 0])
        smooth.append(track.pose.keypoints[0, 0])
    assert np.std(smooth[10:]) < 0.6 * np.std(raw[10:])


def test_the_scale_of_people():
    people = [person(0), person(50, size=2, missing=(1, 2)), person(0, missing=tuple(range(8)))]
    assert person_scales(np.stack([p.keypoints for p in people])) == pytest.approx([46, 92, 1])


positions = st.lists(st.tuples(st.integers(0, 600), st.integers(0, 400)), max_size=5, unique=True)


@settings(max_examples=100, deadline=None)
@given(frames=st.lists(positions, max_size=8))
def test_ids_are_unique_in_a_frame_and_never_given_twice(frames):
    tracker = Tracker(SKELETON, smooth=SmoothSpec())
    first_seen: dict[int, int] = {}
    for number, frame in enumerate(frames):
        poses = [person(x, y) for x, y in frame]
        tracks = tracker.update(poses, number * STEP_NS)
        assert len(tracks) == len(poses)
        assert len(set(ids(tracks))) == len(tracks)
        for track in tracks:
            assert track.id >= 1
            assert number - first_seen.setdefault(track.id, number) >= track.age
            assert (track.age == 0) == (first_seen[track.id] == number)
    assert sorted(first_seen) == list(range(1, len(first_seen) + 1))


def test_the_order_of_poses_does_not_matter_to_who_gets_which_id():
    people = [person(100), person(160), person(220, y=120)]
    moved = [person(108), person(163), person(214, y=118)]
    for order in itertools.permutations(range(3)):
        tracker = Tracker(SKELETON)
        tracker.update(people, 0)
        found = ids(tracker.update([moved[i] for i in order], STEP_NS))
        assert found == [i + 1 for i in order]


@pytest.mark.parametrize(("jump", "ids_then"), [(40, [1]), (300, [2])])
def test_a_jump_is_forgiven_as_far_as_a_person_could_come(jump, ids_then):
    tracker = Tracker(SKELETON)
    tracker.update([person(100)], 0)
    assert ids(tracker.update([person(100 + jump)], STEP_NS)) == ids_then


def test_a_ghost_does_not_take_the_id_of_the_person_it_lies_on():
    tracker = Tracker(SKELETON)
    tracker.update([person(100)], 0)
    ghost = person(100, missing=(0, 1, 2, 3, 4))
    assert ids(tracker.update([ghost, person(104)], STEP_NS)) == [2, 1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_speed": -1.0},
        {"min_oks": 0.0},
        {"min_oks": 1.0},
        {"tolerance": 0.0},
        {"keep_ms": -1},
        {"new_margin": 1.0},
    ],
)
def test_settings_without_sense_are_refused(wrong):
    with pytest.raises(UsageError, match="tracking"):
        TrackSpec(**wrong)


@pytest.mark.parametrize("seconds", [1.01, 2, 5, 60])
def test_people_keep_their_ids_however_slow_the_frames(seconds):
    tracker = Tracker(SKELETON, smooth=SmoothSpec())
    for i in range(8):
        tracks = tracker.update([person(100), person(300)], round(i * seconds * 1e9))
        assert ids(tracks) == [1, 2]
        assert [t.age for t in tracks] == [i, i]


def test_a_person_may_miss_a_slow_frame_but_not_three():
    tracker = Tracker(SKELETON)
    for i in range(4):
        tracker.update([person(100)], i * 2_000_000_000)
    tracker.update([], 8_000_000_000)
    assert ids(tracker.update([person(100)], 10_000_000_000)) == [1]
    for i in range(6, 9):
        tracker.update([], i * 2_000_000_000)
    assert ids(tracker.update([person(100)], 18_000_000_000)) == [2]


def test_a_pause_of_a_quick_camera_ends_tracks():
    tracker = Tracker(SKELETON)
    for i in range(20):
        tracker.update([person(100)], i * STEP_NS)
    assert ids(tracker.update([person(100)], 20 * STEP_NS + 5_000_000_000)) == [2]
