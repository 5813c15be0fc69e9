"""The one-euro filter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpi_runtime.errors import UsageError
from rpi_runtime.smooth import OneEuro, SmoothSpec

STEP_NS = 33_333_333


def keypoints(*rows: tuple[float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_first_frame_passes_unchanged():
    points = keypoints((3, 4, 0.5), (0, 0, 0))
    assert np.array_equal(OneEuro(2, SmoothSpec())(points, 0, 100), points)


def test_one_step_by_the_paper_s_formulas():
    spec = SmoothSpec(min_cutoff_hz=1.5, beta=0.7, speed_cutoff_hz=1.0)
    smooth = OneEuro(1, spec)
    smooth(keypoints((10, 20, 1)), 0, 50)
    out = smooth(keypoints((16, 20, 1)), 100_000_000, 50)

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
    smooth = OneEuro(2, SmoothSpec(forget_ms=300))
    smooth(keypoints((10, 10, 1), (50, 50, 1)), 0, 100)
    out = smooth(keypoints((0, 0, 0), (50, 50, 1)), STEP_NS, 100)
    assert np.array_equal(out, keypoints((0, 0, 0), (50, 50, 1)))
    back = smooth(keypoints((14, 10, 1), (50, 50, 1)), 2 * STEP_NS, 100)
    assert 10 < back[0, 0] < 14
    fresh = smooth(keypoints((90, 10, 1), (50, 50, 1)), 2 * STEP_NS + 400_000_000, 100)
    assert fresh[0, 0] == 90


def test_time_that_stands_still_or_runs_back_starts_afresh():
    smooth = OneEuro(1, SmoothSpec())
    smooth(keypoints((10, 10, 1)), 1_000, 100)
    assert smooth(keypoints((20, 10, 1)), 1_000, 100)[0, 0] == 20
    assert smooth(keypoints((30, 10, 1)), 0, 100)[0, 0] == 30


@given(
    xs=st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=30),
    steps=st.lists(st.integers(1, 10**9), min_size=30, max_size=30),
    size=st.floats(0.1, 1e4),
)
def test_the_result_lies_within_what_was_seen(xs, steps, size):
    smooth = OneEuro(1, SmoothSpec())
    now = 0
    for i, x in enumerate(xs):
        now += steps[i]
        out = smooth(keypoints((x, -x, 0.7)), now, size)
        seen = np.array(xs[: i + 1])
        assert seen.min() - 0.01 <= out[0, 0] <= seen.max() + 0.01
        assert out[0, 2] == np.float32(0.7)


@pytest.mark.parametrize("wrong", [{"min_cutoff_hz": 0.0}, {"beta": -1.0}, {"forget_ms": -1}])
def test_settings_without_sense_are_refused(wrong):
    with pytest.raises(UsageError, match="smoothing"):
        SmoothSpec(**wrong)
