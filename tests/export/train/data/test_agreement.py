"""Which keypoints teach: those that both looks agree on, and that no label by hand contradicts."""

from __future__ import annotations

import numpy as np
import pytest

from export.train.data.agreement import MIRRORED, agreed, checked, similarity

AREA = 100.0 * 200.0
ALL = np.ones(17, bool)


@pytest.fixture
def person() -> np.ndarray:
    """A person whose keypoints lie far apart, (17, 3)."""
    points = np.random.default_rng(0).uniform(0, 200, (17, 3))
    points[:, 2] = 0.9
    return points


def labelled(person: np.ndarray) -> np.ndarray:
    """The same, labelled by hand."""
    return np.column_stack((person[:, :2], np.full(17, 2.0)))


def test_the_similarity_is_one_at_the_same_place_and_falls_with_the_distance(person: np.ndarray) -> None:
    moved = person + np.array([3.0, 4.0, 0.0])
    assert np.allclose(similarity(person, person, AREA), 1)
    nose, hip = similarity(person, moved, AREA)[[0, 11]]
    # COCO: exp(-d^2 / (2 s^2 (2 sigma)^2)) with s^2 = 0.53 of the box
    assert nose == pytest.approx(np.exp(-25 / (2 * 0.53 * AREA * 0.052**2)))
    assert hip > nose


def test_keypoints_on_which_the_looks_differ_or_that_are_unsure_do_not_teach(person: np.ndarray) -> None:
    other = person.copy()
    other[3, :2] += 60
    seen = person.copy()
    seen[5, 2] = 0.1
    assert np.flatnonzero(~agreed(seen, person, other, AREA)).tolist() == [3, 5]


def test_a_label_by_hand_leaves_the_keypoints_that_it_confirms(person: np.ndarray) -> None:
    by_hand = labelled(person)
    by_hand[9, :2] += 80  # a wrist somewhere else
    by_hand[0] = 0  # no label: the network is believed
    kept, swapped = checked(by_hand, person, ALL, AREA)  # type: ignore[misc]
    assert not swapped
    assert np.flatnonzero(~kept).tolist() == [9]


def test_exchanged_sides_are_mended(person: np.ndarray) -> None:
    kept, swapped = checked(labelled(person)[MIRRORED], person, ALL, AREA)  # type: ignore[misc]
    assert swapped
    assert kept.all()


def test_somebody_else_is_left_out(person: np.ndarray) -> None:
    assert checked(labelled(person) + np.array([500.0, 0.0, 0.0]), person, ALL, AREA) is None
    assert checked(np.zeros((17, 3)), person, ALL, AREA) is None
