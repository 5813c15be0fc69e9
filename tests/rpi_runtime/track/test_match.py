"""One measure of likeness for tracking and cascade, compared with its definition; pairs, best first."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpi_runtime.model.card import Skeleton
from rpi_runtime.poses import Pose
from rpi_runtime.track.match import TOLERANCE, Matcher, pair

SIGMAS = (0.026, 0.079, 0.107, 0.089)
SKELETON = Skeleton(keypoints=("a", "b", "c", "d"), sigmas=SIGMAS)
SIZE_OF_HEIGHT = 0.46  # square root of a person's area over the longer side


def square(x: float, y: float, side: float = 100.0, missing: tuple[int, ...] = ()) -> Pose:
    """A person whose four keypoints are a square's corners."""
    corners = [(x, y), (x + side, y), (x, y + side), (x + side, y + side)]
    keypoints = np.array([(*corner, 0.9) for corner in corners], np.float32)
    keypoints[list(missing)] = 0
    return Pose(keypoints=keypoints, score=1.0)


def test_oks_is_the_definitions() -> None:
    moved = 7.0
    (((alike,),),) = (Matcher(SKELETON).oks([square(0, 0)], [square(moved, 0)]).tolist(),)
    area = (SIZE_OF_HEIGHT * 100) ** 2
    expected = [math.exp(-(moved**2) / (2 * area * (2 * s * TOLERANCE) ** 2)) for s in SIGMAS]
    assert alike == pytest.approx(sum(expected) / len(SIGMAS))


def test_fewer_than_three_common_keypoints_count_as_dissimilar() -> None:
    one, other = square(0, 0, missing=(0, 1)), square(0, 0, missing=(1, 3))
    ((alike,),) = Matcher(SKELETON).oks([one], [other]).tolist()
    assert alike == pytest.approx(1 / 3)


@pytest.mark.parametrize(("ours", "theirs"), [(0, 2), (2, 0), (0, 0)])
def test_nobody_is_like_nobody(ours: int, theirs: int) -> None:
    oks = Matcher(SKELETON).oks([square(0, 0)] * ours, [square(0, 0)] * theirs)
    assert oks.shape == (ours, theirs)
    assert pair(oks).tolist() == [-1] * theirs


def test_the_best_pair_comes_first_and_ties_go_to_the_lower_row() -> None:
    assert pair(np.array([[0.9, 0.8], [0.7, 0.0], [0.0, 0.3]])).tolist() == [0, 2]
    assert pair(np.array([[0.5, 0.5], [0.5, 0.5]])).tolist() == [0, 1]


def test_pairs_that_exist_stay() -> None:
    assert pair(np.array([[0.9, 0.9], [0.1, 0.2]]), np.array([-1, 0])).tolist() == [1, 0]


@given(st.integers(0, 1 << 20), st.integers(0, 5), st.integers(0, 5))
def test_no_row_and_no_column_is_used_twice(seed: int, people: int, poses: int) -> None:
    merit = np.random.default_rng(seed).integers(0, 4, (people, poses)).astype(np.float64)
    rows = pair(merit)
    used = rows[rows >= 0].tolist()
    assert len(used) == len(set(used))
    free = set(range(people)) - set(used)
    for column in np.flatnonzero(rows < 0):
        assert not any(merit[row, column] > 0 for row in free)
