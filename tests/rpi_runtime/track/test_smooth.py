"""The one-euro filter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpi_runtime.errors import UsageError
from rpi_runtime.track import smooth
from rpi_runtime.track.smooth import SmoothSpec

STEP_NS = 33_333_333


class OneEuro:
    """The filter for one person."""

    def __init__(self, keypoints: int, spec: SmoothSpec) -> None:
        self.filter = smooth.OneEuro(keypoints, spec)
        self.filter.keep(np.zeros(0, np.intp), 1)

    def __call__(self, points: np.ndarray, timestamp_ns: int, size: float) -> np.ndarray:
        return self.filter(np.zeros(1, np.intp), points[None], timestamp_ns, np.array([size]))[0]


def keypoints(*rows: tuple[float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_first_frame_passes_unchanged():
    points = keypoints((3, 4, 0.5), (0, 0, 0))
    assert np.array_equal(OneEuro(2, SmoothSpec())(points, 0, 100), points)


def test_one_step_by_the_paper_s_formulas():
    spec = SmoothSpec(min_cutoff_hz=1.5, beta=0.7, speed_cutoff_hz=1.0)
    one = OneEuro(1, spec)
    one(keypoints((10, 20, 1)), 0, 50)
    out = one(keypoints((16, 20, 1)), 100_000_000, 50)

    def alpha(cutoff: float) -> float:
        return 1 / (1 + (1 / (2 * math.pi * cutoff)) / 0.1)

    speed = alpha(1.0) * (6 / 0.1)
    expected = 10 + alpha(1.5 + 0.7 * speed / 50) * 6
    assert out[0, 0] == pytest.approx(expected, rel=1e-6)
    assert out[0, 1] == 20


def test_trembling_shrinks_and_motion_lags_little():
    generator = np.random.default_rng(0)
    still, walking = OneEuro(1, SmoothSpec()), OneEuro(1, SmoothSpec())
    trembled, smoothed, lag = [], [], 0.0
    for i in range(200):
        noise = generator.normal(0, 2, 2)
        out = still(keypoints((100 + noise[0], 100 + noise[1], 1)), i * STEP_NS, 100)
        trembled.append(noise)
        smoothed.append(out[0, :2] - 100)
        x = 100 + 2.0 * i  # 60 pixels a second, 0.6 of the person's size
        lag = x - float(walking(keypoints((x, 0, 1)), i * STEP_NS, 100)[0, 0])
    assert np.std(smoothed[20:]) < 0.5 * np.std(trembled[20:])
    assert 0 <= lag < 5


def test_missing_points_stay_missing_and_keep_the_rest():
    one = OneEuro(2, SmoothSpec(forget_ms=300))
    one(keypoints((10, 10, 1), (50, 50, 1)), 0, 100)
    out = one(keypoints((0, 0, 0), (50, 50, 1)), STEP_NS, 100)
    assert np.array_equal(out, keypoints((0, 0, 0), (50, 50, 1)))
    back = one(keypoints((14, 10, 1), (50, 50, 1)), 2 * STEP_NS, 100)
    assert 10 < back[0, 0] < 14
    fresh = one(keypoints((90, 10, 1), (50, 50, 1)), 2 * STEP_NS + 400_000_000, 100)
    assert fresh[0, 0] == 90


def test_time_that_stands_still_or_runs_back_starts_afresh():
    one = OneEuro(1, SmoothSpec())
    one(keypoints((10, 10, 1)), 1_000, 100)
    assert one(keypoints((20, 10, 1)), 1_000, 100)[0, 0] == 20
    assert one(keypoints((30, 10, 1)), 0, 100)[0, 0] == 30


def test_people_are_filtered_each_on_their_own():
    spec = SmoothSpec()
    together = smooth.OneEuro(1, spec)
    together.keep(np.zeros(0, np.intp), 2)
    alone = [OneEuro(1, spec), OneEuro(1, spec)]
    people = np.random.default_rng(0).normal(100, 10, (20, 2, 1, 3)).astype(np.float32)
    for i, frame in enumerate(people):
        frame[..., 2] = 1
        rows = np.array([0, 1] if i % 2 else [1, 0])
        out = together(rows, frame[rows], i * STEP_NS, np.array([50.0, 80.0])[rows])
        for row, filtered in zip(rows, out, strict=True):
            assert np.array_equal(filtered, alone[row](frame[row], i * STEP_NS, [50.0, 80.0][row]))
    together.keep(np.array([1]), 1)
    (kept,) = together(np.array([0]), people[0][:1], 20 * STEP_NS, np.array([80.0]))
    assert np.array_equal(kept, alone[1](people[0][0], 20 * STEP_NS, 80.0))


@given(
    xs=st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=30),
    steps=st.lists(st.integers(1, 10**9), min_size=30, max_size=30),
    size=st.floats(0.1, 1e4),
)
def test_the_result_lies_within_what_was_seen(xs, steps, size):
    one = OneEuro(1, SmoothSpec())
    now = 0
    for i, x in enumerate(xs):
        now += steps[i]
        out = one(keypoints((x, -x, 0.7)), now, size)
        seen = np.array(xs[: i + 1])
        assert seen.min() - 0.01 <= out[0, 0] <= seen.max() + 0.01
        assert out[0, 2] == np.float32(0.7)


@pytest.mark.parametrize("wrong", [{"min_cutoff_hz": 0.0}, {"beta": -1.0}, {"forget_ms": -1}])
def test_settings_without_sense_are_refused(wrong):
    with pytest.raises(UsageError, match="smoothing"):
        SmoothSpec(**wrong)
