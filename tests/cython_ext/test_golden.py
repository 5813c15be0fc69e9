"""Kernels and oracles give what stands in the golden files, in every clone.

The oracles were held to the original implementations when the files were made (`tests.cython_ext.golden.make`), so that
a change of oracle and kernel alike is seen here even where the recorded cases of the originals are missing.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from numpy.testing import assert_array_equal

from cython_ext import reference, reference_tags, reference_topdown
from cython_ext.specs import Groups, PeakRules, Peaks, People
from tests.cython_ext.golden.read import (
    MODES,
    POINT_MODES,
    TAG_MODES,
    PafCase,
    crop_cases,
    paf_cases,
    tag_cases,
)
from tests.cython_ext.openpose import KEYPOINTS, RULES

PAF_CASES = paf_cases()


def assert_same(found: Peaks | People | Groups, expected: Peaks | People | Groups) -> None:
    for name in expected.__slots__:
        assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


@pytest.mark.parametrize("case", PAF_CASES, ids=lambda case: case.name.rpartition("/")[2])
@pytest.mark.parametrize("mode", MODES)
def test_paf_oracle(case: PafCase, mode: str) -> None:
    rules = PeakRules(keypoints=KEYPOINTS, upsample=MODES[mode])
    peaks = reference.find_peaks(case.maps.heatmaps, rules, *case.maps.heatmap_scale)
    assert_same(peaks, case.peaks[mode])
    people = reference.group(peaks, case.maps.pafs, RULES, *case.maps.paf_scale, MODES[mode])
    assert_same(people, case.people[mode])


@pytest.mark.parametrize("case", PAF_CASES, ids=lambda case: case.name.rpartition("/")[2])
@pytest.mark.parametrize("mode", MODES)
def test_paf_kernels(kernels: SimpleNamespace, case: PafCase, mode: str) -> None:
    find = kernels.PeakFinder(PeakRules(keypoints=KEYPOINTS, upsample=MODES[mode]))
    group = kernels.Grouper(KEYPOINTS, RULES, MODES[mode])
    peaks = find(case.maps.heatmaps, *case.maps.heatmap_scale)
    assert_same(peaks, case.peaks[mode])
    assert_same(group(peaks, case.maps.pafs, *case.maps.paf_scale), case.people[mode])
    heatmaps, pafs = case.maps.real()
    assert_same(find(heatmaps), case.peaks[mode])
    assert_same(group(case.peaks[mode], pafs), case.people[mode])


def test_the_pictures_have_people_crowds_and_nobody() -> None:
    counts = sorted(len(case.people["fast"].score) for case in PAF_CASES)
    assert counts[0] == 0 and counts[-1] >= 2


@pytest.mark.parametrize("mode", TAG_MODES)
def test_tags(kernels: SimpleNamespace, mode: str) -> None:
    seen = 0
    for heatmaps, tags, groups in tag_cases():
        assert_same(reference_tags.group(heatmaps, tags, TAG_MODES[mode]), groups[mode])
        assert_same(kernels.TagGrouper(TAG_MODES[mode])(heatmaps, tags), groups[mode])
        seen += len(groups[mode].score)
    assert seen > 8


@pytest.mark.parametrize("mode", POINT_MODES)
def test_crops(kernels: SimpleNamespace, mode: str) -> None:
    cases = list(crop_cases())
    assert len(cases) == 3
    for maps, points in cases:
        assert_array_equal(reference_topdown.find_points(maps, POINT_MODES[mode]), points[mode])
        assert_array_equal(kernels.PointFinder(POINT_MODES[mode])(maps), points[mode])
