"""The NumPy oracle against what the original decoder computed on real maps, and against arithmetic."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cython_ext import reference, tables
from cython_ext.specs import PeakRules
from tests.cython_ext.openpose import FIGURE, KEYPOINTS, RULES, draw_people

EXACT = PeakRules(keypoints=KEYPOINTS, upsample=4)


def test_equals_the_original_decoder_on_real_maps(shared: Path) -> None:
    folder = shared / "fixtures" / "paf_decode"
    cases = sorted(folder.glob("*.npz"))
    assert cases
    people = {i["id"]: i["poses"] for i in json.loads((folder / "index.json").read_text())["images"]}
    for path in cases:
        case = np.load(path)
        peaks = reference.find_peaks(case["heatmaps"], EXACT)
        np.testing.assert_array_equal(peaks.table, case["all_keypoints"][:, :3])
        np.testing.assert_array_equal(np.diff(peaks.starts), case["keypoints_per_type"])
        found = reference.group(peaks, case["pafs"], RULES, upsample_by=4)
        entries = case["pose_entries"].reshape(-1, 20)
        assert len(found.peaks) == len(entries) == people[path.stem]
        np.testing.assert_array_equal(found.peaks, entries[:, :18])
        np.testing.assert_array_equal(found.score, entries[:, 18])
        np.testing.assert_array_equal(found.count, entries[:, 19])


def test_upsampling_equals_the_original_on_real_maps(shared: Path) -> None:
    for path in sorted((shared / "fixtures" / "paf_decode").glob("*.npz")):
        case = np.load(path)
        nose = reference.upsample(case["heatmaps"][..., :1], 4)[..., 0]
        np.testing.assert_array_equal(nose, case["upsampled_heatmap_nose"])
        field = reference.upsample(case["pafs"][..., 12:13], 4)[..., 0]
        np.testing.assert_array_equal(field, case["upsampled_paf_ch12"])


@pytest.mark.parametrize("factor", [4, 8])
@pytest.mark.parametrize("shape", [(1, 1, 19), (2, 3, 38), (15, 20, 19), (32, 57, 38)])
def test_upsampling_equals_opencv(factor: int, shape: tuple[int, int, int]) -> None:
    cv2 = pytest.importorskip("cv2")
    maps = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    expected = cv2.resize(maps, (0, 0), fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(reference.upsample(maps, factor), expected)


def test_logarithm_and_power_are_close_to_the_real_ones() -> None:
    x = np.geomspace(1e-6, 1e6, 50_000).astype(np.float32)
    np.testing.assert_allclose(reference.log2(x), np.log2(x.astype(float)), atol=1.2e-6, rtol=0)
    y = np.linspace(0, 1, 10_001).astype(np.float32)
    np.testing.assert_allclose(tables.exp2(y), 2 ** y.astype(float), atol=1e-6, rtol=0)
    assert tables.exp2(np.zeros(1, np.float32))[0] == 1


def test_sub_pixel_refinement_finds_the_centre_of_a_gaussian() -> None:
    rng = np.random.default_rng(5)
    for centre in rng.uniform(3, 9, (50, 2)):
        rows, columns = np.mgrid[:13, :13]
        square = (columns - centre[0]) ** 2 + (rows - centre[1]) ** 2
        gaussian = 0.8 * np.exp(-square / (2 * 0.875**2))
        peaks = reference.find_peaks(gaussian[..., None].astype(np.float32), PeakRules(keypoints=1))
        np.testing.assert_allclose(peaks.table, [[*centre, 0.8]], atol=2e-4)


def test_fast_finds_drawn_people() -> None:
    figures = FIGURE * 8 + np.array([[[12.3, 8.1]], [[30.7, 6.2]], [[48.2, 9.9]]])
    heatmaps, pafs = draw_people(figures, (32, 57), noise=0.01)
    peaks = reference.find_peaks(heatmaps, PeakRules(keypoints=KEYPOINTS))
    people = reference.group(peaks, pafs, RULES)
    assert people.peaks.shape == (3, KEYPOINTS)
    assert (people.peaks >= 0).all()
    order = np.argsort(peaks.table[people.peaks[:, 1], 0])
    np.testing.assert_allclose(peaks.table[people.peaks[order], :2], figures, atol=0.25)
