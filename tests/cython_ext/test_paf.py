"""The grouping kernels equal the oracle, on real maps, drawn ones and random ones."""

from __future__ import annotations

import dataclasses
import functools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from cython_ext import reference
from cython_ext.specs import LimbRules, PeakRules, Peaks, People, Stored
from tests.cython_ext.conftest import fuzz
from tests.cython_ext.golden.read import real_maps
from tests.cython_ext.openpose import KEYPOINTS, LIMBS, RULES, crowd, quantize

UPSAMPLE = pytest.mark.parametrize("upsample", [0, 4, 8], ids=["fast", "x4", "x8"])
EDGES = np.array([-1, 0, 0.05, 0.06, 1, np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-42], np.float32).tolist()
# Four keypoint types in a ring of limbs, the last of which only completes.
RING = LimbRules(
    limbs=((0, 1, 0, 1, False), (1, 2, 2, 3, False), (2, 3, 1, 0, False), (3, 0, 0, 3, True)),
    limb_fraction=0.7,
    min_keypoints=2,
    min_score=0.01,
)


def assert_same(found: People, expected: People) -> None:
    assert_array_equal(found.peaks, expected.peaks)
    assert_array_equal(found.score, expected.score)
    assert_array_equal(found.count, expected.count)


def find_peaks(maps: Stored, upsample: int = 0) -> Peaks:
    return reference.find_peaks(maps, PeakRules(keypoints=KEYPOINTS, upsample=upsample))


@UPSAMPLE
@pytest.mark.parametrize("merge", [False, True])
def test_equals_the_oracle_on_real_maps(kernels: SimpleNamespace, upsample: int, merge: bool) -> None:
    rules = dataclasses.replace(RULES, merge=merge)
    group = kernels.Grouper(KEYPOINTS, rules, upsample)
    for heatmaps, pafs in real_maps():
        peaks = find_peaks(heatmaps, upsample)
        assert_same(group(peaks, pafs), reference.group(peaks, pafs, rules, upsample_by=upsample))
        stored = quantize(pafs, 1 / 110, 4)
        expected = reference.group(peaks, stored, rules, 1 / 110, 4, upsample)
        assert_same(group(peaks, stored, 1 / 110, 4), expected)


@UPSAMPLE
@pytest.mark.parametrize("count", [0, 1, 50])
def test_equals_the_oracle_on_crowds(kernels: SimpleNamespace, upsample: int, count: int) -> None:
    maps, pafs = crowd(count)
    peaks = find_peaks(maps, upsample)
    expected = reference.group(peaks, pafs, RULES, upsample_by=upsample)
    assert (len(expected.score) > 0) == (count > 0)
    assert_same(kernels.Grouper(KEYPOINTS, RULES, upsample)(peaks, pafs), expected)


@fuzz
@given(
    maps=arrays(np.float32, (4, 5, 4), elements=st.sampled_from([0, 0.25, 0.5, 1])),
    pafs=arrays(np.float32, (4, 5, 4), elements=st.sampled_from(EDGES) | st.floats(-1, 1, width=32)),
    upsample=st.sampled_from([0, 4, 8]),
    merge=st.booleans(),
)
def test_any_float_field(
    kernels: SimpleNamespace, maps: NDArray[np.float32], pafs: NDArray[np.float32], upsample: int, merge: bool
) -> None:
    rules = dataclasses.replace(RING, merge=merge)
    peaks = reference.find_peaks(maps, PeakRules(keypoints=4, upsample=upsample))
    with np.errstate(all="ignore"):
        expected = reference.group(peaks, pafs, rules, upsample_by=upsample)
    assert_same(kernels.Grouper(4, rules, upsample)(peaks, pafs), expected)


@fuzz
@given(
    maps=arrays(np.float32, (3, 6, 4), elements=st.sampled_from([0, 0.25, 0.5, 1])),
    pafs=arrays(np.int8, (3, 6, 4), elements=st.sampled_from([127, -128]) | st.integers(-128, 127)),
    upsample=st.sampled_from([0, 4, 8]),
    zero_point=st.integers(-128, 127),
)
def test_any_int8_field(
    kernels: SimpleNamespace,
    maps: NDArray[np.float32],
    pafs: NDArray[np.int8],
    upsample: int,
    zero_point: int,
) -> None:
    peaks = reference.find_peaks(maps, PeakRules(keypoints=4, upsample=upsample))
    group = kernels.Grouper(4, RING, upsample)
    expected = reference.group(peaks, pafs, RING, 0.01, zero_point, upsample)
    assert_same(group(peaks, pafs, 0.01, zero_point), expected)
    assert_same(group(peaks, reference.dequantize(pafs, 0.01, zero_point)), expected)


@functools.cache
def four_people() -> tuple[Peaks, NDArray[np.float32]]:
    maps, pafs = crowd(4, (30, 40))
    return find_peaks(maps), pafs


@fuzz
@given(seed=st.integers(0, 1 << 30))
def test_order_of_peaks_does_not_matter(kernels: SimpleNamespace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    peaks, pafs = four_people()
    order = np.concatenate(
        [rng.permutation(np.arange(*peaks.starts[k : k + 2])) for k in range(KEYPOINTS)]
    ).astype(int)
    shuffled = Peaks(table=peaks.table[order], starts=peaks.starts)
    group = kernels.Grouper(KEYPOINTS, RULES)
    people = {tuple(row) for row in group(peaks, pafs).peaks.tolist()}
    back = np.append(order, -1)  # -1, absent, stays so
    assert {tuple(row) for row in back[group(shuffled, pafs).peaks].tolist()} == people
    assert len(people) == 4


@UPSAMPLE
def test_any_strides(kernels: SimpleNamespace, upsample: int) -> None:
    maps, pafs = crowd(5, (20, 40))
    peaks = find_peaks(maps, upsample)
    expected = reference.group(peaks, pafs, RULES, upsample_by=upsample)
    padded = np.zeros((24, 44, 50), np.float32)
    padded[1:21, 2:42, 5:43] = pafs
    group = kernels.Grouper(KEYPOINTS, RULES, upsample)
    assert_same(group(peaks, padded[1:21, 2:42, 5:43]), expected)
    assert_same(group(peaks, np.ascontiguousarray(pafs.transpose(2, 0, 1)).transpose(1, 2, 0)), expected)
    assert_same(group(peaks, np.ascontiguousarray(pafs[::-1, ::-1])[::-1, ::-1]), expected)


def test_one_cell(kernels: SimpleNamespace) -> None:
    maps, pafs = np.ones((1, 1, 19), np.float32), np.ones((1, 1, 38), np.float32)
    for upsample in (0, 4, 8):
        peaks = kernels.PeakFinder(PeakRules(keypoints=KEYPOINTS, upsample=upsample))(maps)
        expected = reference.group(peaks, pafs, RULES, upsample_by=upsample)
        assert_same(kernels.Grouper(KEYPOINTS, RULES, upsample)(peaks, pafs), expected)


def test_memory_grows_with_people_and_pairs(kernels: SimpleNamespace) -> None:
    rng = np.random.default_rng(2)
    maps, pafs = np.zeros((40, 60, 19), np.float32), np.full((40, 60, 38), 0.7, np.float32)
    maps[::4, ::4] = rng.uniform(0.5, 1, (10, 15, 19))
    peaks = find_peaks(maps)
    rules = dataclasses.replace(RULES, limb_fraction=0.1)
    group = kernels.Grouper(KEYPOINTS, rules)
    before = group._buffers.capacity
    expected = reference.group(peaks, pafs, rules)
    assert_same(group(peaks, pafs), expected)
    assert len(expected.score) > before[0]
    assert group._buffers.capacity > before


def test_merge_joins_two_halves_of_a_person(kernels: SimpleNamespace) -> None:
    # Limb 0: 0 -> 1, limb 1: 2 -> 3, then limb 2 from 1 to 2 only completes: two entries of one person.
    limbs = ((0, 1, 0, 1, False), (2, 3, 0, 1, False), (1, 2, 0, 1, True))
    rules = LimbRules(limbs=limbs, min_keypoints=2)
    table = np.array([[2 + 4 * k, 1, 0.5] for k in range(4)], np.float32)
    peaks = Peaks(table=table, starts=np.arange(5, dtype=np.int32))
    pafs = np.zeros((3, 20, 2), np.float32)
    pafs[..., 0] = 1
    apart = kernels.Grouper(4, rules)(peaks, pafs)
    assert_array_equal(apart.peaks, [[0, 1, 2, -1], [-1, 1, 2, 3]])
    merged = kernels.Grouper(4, dataclasses.replace(rules, merge=True))(peaks, pafs)
    assert_array_equal(merged.peaks, [[0, 1, 2, 3]])
    assert merged.count[0] == 4
    assert_same(merged, reference.group(peaks, pafs, dataclasses.replace(rules, merge=True)))


@pytest.mark.parametrize(
    ("pafs", "scale", "zero_point", "message"),
    [
        (np.zeros((3, 3, 38), np.int8), 0.0, 0, "scale 0.0"),
        (np.zeros((3, 3, 38), np.int8), -1.0, 0, "scale -1.0"),
        (np.zeros((3, 3, 38), np.int8), 0.1, -129, "zero point -129"),
        (np.zeros((3, 3, 37), np.float32), 0.0, 0, "at least 38"),
        (np.zeros((3, 3, 38), np.float16), 0.0, 0, "maps of float16"),
        (None, 0.0, 0, "maps of NoneType"),
    ],
)
def test_refuses(kernels: SimpleNamespace, pafs: Stored, scale: float, zero_point: int, message: str) -> None:
    peaks = find_peaks(np.zeros((3, 3, 19), np.float32))
    with pytest.raises((ValueError, TypeError), match=message):
        kernels.Grouper(KEYPOINTS, RULES)(peaks, pafs, scale, zero_point)


def test_refuses_peaks_of_other_keypoints(kernels: SimpleNamespace) -> None:
    peaks = Peaks(table=np.zeros((2, 3), np.float32), starts=np.array([0, 1, 2], np.int32))
    with pytest.raises(ValueError, match="expected 18 types"):
        kernels.Grouper(KEYPOINTS, RULES)(peaks, np.zeros((3, 3, 38), np.float32))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"limbs": ()}, "one or more"),
        ({"limbs": ((0, -1, 0, 1, False),)}, "none negative"),
        ({"limbs": ((3, 3, 0, 1, False),)}, "different keypoints"),
        ({"limb_fraction": 1.1}, "limb_fraction 1.1"),
    ],
)
def test_refuses_rules(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LimbRules(**{"limbs": LIMBS, **wrong})  # type: ignore[arg-type]


def test_refuses_limbs_of_unknown_keypoints(kernels: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match="limbs name keypoint 17"):
        kernels.Grouper(17, RULES)
