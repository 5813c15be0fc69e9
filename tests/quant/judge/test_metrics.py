"""Agreement of maps, by hand-computed cases."""

from __future__ import annotations

import numpy as np
import pytest

from quant.judge.metrics import AgreementMeter


def bump(x: float, y: float, height: float = 1.0, size: tuple[int, int] = (12, 16)) -> np.ndarray:
    """A Gaussian of sigma 1 cell at (x, y)."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    return (height * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 2)).astype(np.float32)


def maps(*channels: np.ndarray) -> np.ndarray:
    return np.stack(channels, axis=-1)


def pafs(value: float = 0.0) -> np.ndarray:
    return np.full((12, 16, 4), value, np.float32)


def meter() -> AgreementMeter:
    return AgreementMeter(keypoints=2, stride=8, peak_threshold=0.1)


def test_equal_maps_agree_entirely() -> None:
    m = meter()
    heatmaps = maps(bump(4, 5), bump(9, 3), 1 - bump(4, 5))
    m.add((heatmaps, heatmaps), (pafs(1), pafs(1)))
    result = m.result()
    assert (result.images, result.peaks) == (1, 2)
    assert (result.heatmap_rmse, result.paf_relative_l2, result.lost, result.added) == (0, 0, 0, 0)
    assert (result.shift_px, result.shift_p95_px) == (0, 0)


def test_rmse_and_relative_l2_are_over_all_images() -> None:
    m = meter()
    zero = np.zeros((12, 16, 3), np.float32)
    m.add((zero, zero + 0.3), (pafs(2), pafs(2)))
    m.add((zero, zero - 0.1), (pafs(2), pafs(1)))
    result = m.result()
    assert result.heatmap_rmse == pytest.approx(np.sqrt((0.09 + 0.01) / 2), rel=1e-6)
    assert result.paf_relative_l2 == pytest.approx(np.sqrt(1 / (4 + 4)), rel=1e-6)


def test_lost_added_and_shifted_peaks() -> None:
    real = maps(bump(3, 3) + bump(10, 8), bump(5, 5), np.zeros((12, 16), np.float32))
    other = maps(bump(3.5, 3), bump(5, 5) + bump(12, 9), np.ones((12, 16), np.float32))
    m = meter()
    m.add((real, other), (pafs(), pafs()))
    result = m.result()
    assert result.peaks == 3
    assert result.lost == pytest.approx(1 / 3)  # (10, 8) of the first type
    # (12, 9) of the second; the background counts in the rmse only
    assert result.added == pytest.approx(1 / 3)
    assert result.shift_px == pytest.approx(0.5 * 8 / 2, abs=0.1)  # half a cell and none, of stride 8


def test_a_map_of_many_cells_is_compared_as_one_of_the_usual_size() -> None:
    size = (96, 128)
    found = []
    for shift in (2, 3):
        m = meter()
        real, other = (bump(30 + place, 30, size=size) for place in (0, shift))
        m.add((maps(real, real), maps(other, other)))
        found.append(m.result().lost)
    assert found == [0, 1]


def test_of_a_person_s_map_the_highest_peak_counts_alone() -> None:
    """A crop shows parts of others, too; what is read is the highest peak."""
    real = maps(np.maximum(bump(3, 3), bump(11, 8, 0.4)), bump(8, 6))
    other = maps(bump(3, 3), bump(8, 6))
    moved = maps(np.maximum(bump(3, 3, 0.3), bump(11, 8, 0.4)), bump(8, 6))
    crops = AgreementMeter(keypoints=2, stride=8, peak_threshold=0.1, single=True)
    whole = meter()
    for each in (crops, whole):
        each.add((real, other))
    assert (crops.result().peaks, crops.result().lost, crops.result().added) == (2, 0, 0)
    assert whole.result().lost == pytest.approx(1 / 3)
    crops.add((real, moved))
    assert crops.result().lost == pytest.approx(1 / 4)


def test_a_peak_two_cells_away_is_lost_and_added() -> None:
    m = meter()
    blank = np.zeros((12, 16), np.float32)
    m.add((maps(bump(3, 3), blank, blank), maps(bump(5, 3), blank, blank)), (pafs(), pafs()))
    result = m.result()
    assert (result.lost, result.added, result.shift_px) == (1.0, 1.0, 0.0)


def test_a_peak_of_another_type_is_no_match() -> None:
    m = meter()
    blank = np.zeros((12, 16), np.float32)
    m.add((maps(bump(3, 3), blank, blank), maps(blank, bump(3, 3), blank)), (pafs(), pafs()))
    assert (m.result().lost, m.result().added) == (1.0, 1.0)


def test_no_peaks_at_all() -> None:
    m = meter()
    blank = np.zeros((12, 16, 3), np.float32)
    m.add((blank, blank), (pafs(), pafs()))
    result = m.result()
    assert (result.peaks, result.lost, result.added, result.paf_relative_l2) == (0, 0, 0, 0)


def test_tags_count_where_their_keypoint_is() -> None:
    m = meter()
    heatmaps = maps(bump(4, 5), bump(9, 3))
    m.add((heatmaps, heatmaps))
    m.add_values((heatmaps[::2, ::2], heatmaps[::2, ::2] + 0.1))
    tags = np.zeros((12, 16, 2), np.float32)
    other = tags + np.where(heatmaps >= 0.1, np.float32(0.25), np.float32(9))
    m.add_tags(heatmaps, (tags, other))
    result = m.result()
    assert result.tag_rmse == pytest.approx(0.25)
    # a fifth of the values is 0.1 off
    assert result.heatmap_rmse == pytest.approx(np.sqrt(0.01 / 5), rel=1e-5)
    assert result.paf_relative_l2 == 0
