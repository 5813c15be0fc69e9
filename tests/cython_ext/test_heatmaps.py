"""The peak kernels equal the oracle, on real maps, drawn ones and random ones."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from cython_ext import reference
from cython_ext.specs import PeakRules, Peaks, Stored
from tests.cython_ext.conftest import fuzz
from tests.cython_ext.golden.read import real_maps
from tests.cython_ext.openpose import KEYPOINTS, crowd, quantize

RULES = [
    PeakRules(keypoints=KEYPOINTS),
    PeakRules(keypoints=KEYPOINTS, suppression="score", radius=1.5),
    PeakRules(keypoints=KEYPOINTS, upsample=4),
    PeakRules(keypoints=KEYPOINTS, upsample=8),
]
# Values at thresholds and ties are as likely as others.
EDGES = np.array(
    [-1, 0, 0.06, 0.1, 0.25, 1, np.nan, np.inf, -np.inf, 1e38, -1e38, 1e-42], np.float32
).tolist()
REALS = st.sampled_from(EDGES) | st.floats(-1, 1, width=32)
SHAPES = array_shapes(min_dims=3, max_dims=3, max_side=7)


def assert_same(found: Peaks, expected: Peaks) -> None:
    assert_array_equal(found.starts, expected.starts)
    assert_array_equal(found.table, expected.table)


@pytest.mark.parametrize("rules", RULES, ids=["position", "score", "x4", "x8"])
def test_equals_the_oracle_on_real_maps(kernels: SimpleNamespace, rules: PeakRules) -> None:
    find = kernels.PeakFinder(rules)
    for maps, _ in real_maps():
        assert_same(find(maps), reference.find_peaks(maps, rules))
        stored = quantize(maps, 1 / 140, -80)
        assert_same(find(stored, 1 / 140, -80), reference.find_peaks(stored, rules, 1 / 140, -80))


@pytest.mark.parametrize("rules", RULES, ids=["position", "score", "x4", "x8"])
@pytest.mark.parametrize("count", [0, 1, 50])
def test_equals_the_oracle_on_crowds(kernels: SimpleNamespace, rules: PeakRules, count: int) -> None:
    maps, _ = crowd(count)
    assert_same(kernels.PeakFinder(rules)(maps), reference.find_peaks(maps, rules))


@fuzz
@given(
    maps=arrays(np.float32, SHAPES, elements=REALS),
    upsample=st.sampled_from([0, 4, 8]),
    suppression=st.sampled_from(["position", "score"]),
    radius=st.sampled_from([0.0, 0.75, 2.0]),
)
def test_any_float_map(
    kernels: SimpleNamespace, maps: NDArray[np.float32], upsample: int, suppression: str, radius: float
) -> None:
    rules = PeakRules(keypoints=maps.shape[2], upsample=upsample, suppression=suppression, radius=radius)  # type: ignore[arg-type]
    with np.errstate(all="ignore"):
        expected = reference.find_peaks(maps, rules)
    assert_same(kernels.PeakFinder(rules)(maps), expected)


@fuzz
@given(
    maps=arrays(np.int8, SHAPES, elements=st.sampled_from([-128, 127, 0, 10, 20]) | st.integers(-128, 127)),
    upsample=st.sampled_from([0, 4, 8]),
    scale=st.sampled_from([1 / 256, 0.01, 1e-38, 1.0, 1e36]),
    zero_point=st.integers(-128, 127),
)
def test_any_int8_map(
    kernels: SimpleNamespace, maps: NDArray[np.int8], upsample: int, scale: float, zero_point: int
) -> None:
    rules = PeakRules(keypoints=maps.shape[2], upsample=upsample)
    find = kernels.PeakFinder(rules)
    with np.errstate(all="ignore"):
        expected = reference.find_peaks(maps, rules, scale, zero_point)
    assert_same(find(maps, scale, zero_point), expected)
    real = reference.dequantize(maps, scale, zero_point)
    assert_same(find(real), expected)


@pytest.mark.parametrize("rules", RULES, ids=["position", "score", "x4", "x8"])
@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_any_strides(kernels: SimpleNamespace, rules: PeakRules, dtype: type) -> None:
    maps, _ = crowd(6, (20, 40))
    plain = maps if dtype == np.float32 else quantize(maps, 1 / 128, 0)
    quantization = (0.0, 0) if dtype == np.float32 else (1 / 128, 0)
    expected = reference.find_peaks(plain, rules, *quantization)
    padded = np.zeros((20, 44, 23), plain.dtype)
    padded[:, 2:42, 1:20] = plain
    raw = bytearray(plain.nbytes + 1)
    views = {
        "channels first": np.ascontiguousarray(plain.transpose(2, 0, 1)).transpose(1, 2, 0),
        "columns first": np.ascontiguousarray(plain.transpose(1, 0, 2)).transpose(1, 0, 2),
        "window": padded[:, 2:42, 1:20],
        "reversed": np.ascontiguousarray(plain[::-1, ::-1, ::-1])[::-1, ::-1, ::-1],
        "unaligned": np.frombuffer(raw, plain.dtype, plain.size, 1).reshape(plain.shape),
    }
    views["unaligned"].flags.writeable = True
    views["unaligned"][:] = plain
    wide = np.zeros((40, 40, plain.shape[2]), plain.dtype)
    wide[::2] = plain
    views["every other row"] = wide[::2]
    find = kernels.PeakFinder(rules)
    for view in views.values():
        assert_same(find(view, *quantization), expected)


def test_a_plateau_has_its_peak_at_the_top_left(kernels: SimpleNamespace) -> None:
    maps = np.zeros((5, 6, 1), np.float32)
    maps[1:4, 2:5] = 1
    table = kernels.PeakFinder(PeakRules(keypoints=1))(maps).table
    assert_array_equal(table, reference.find_peaks(maps, PeakRules(keypoints=1)).table)
    assert table.shape == (1, 3)
    assert 2 <= table[0, 0] <= 2.5
    assert 1 <= table[0, 1] <= 1.5


def test_one_finder_serves_maps_of_changing_size_and_type(kernels: SimpleNamespace) -> None:
    rules = PeakRules(keypoints=KEYPOINTS)
    find = kernels.PeakFinder(rules)
    for count, size in [(3, (20, 30)), (20, (60, 70)), (0, (1, 1)), (3, (20, 30))]:
        maps, _ = crowd(count, size) if count else (np.ones((1, 1, 19), np.float32), None)
        assert_same(find(maps), reference.find_peaks(maps, rules))
        for scale in (1 / 100, 1 / 60):
            stored = quantize(maps, scale, 3)
            assert_same(find(stored, scale, 3), reference.find_peaks(stored, rules, scale, 3))


@pytest.mark.parametrize("upsample", [0, 4, 8])
def test_memory_grows_with_the_number_of_peaks(kernels: SimpleNamespace, upsample: int) -> None:
    rules = PeakRules(keypoints=KEYPOINTS, upsample=upsample, radius=0.0)
    maps = np.random.default_rng(9).random((24, 32, 19), np.float32)
    expected = reference.find_peaks(maps, rules)
    assert len(expected.table) > 512, "more than the memory that a finder starts with"
    assert_same(kernels.PeakFinder(rules)(maps), expected)


@pytest.mark.parametrize(
    ("maps", "scale", "zero_point", "message"),
    [
        (np.zeros((3, 3, 19), np.int8), 0.0, 0, "scale 0.0"),
        (np.zeros((3, 3, 19), np.int8), -0.1, 0, "scale -0.1"),
        (np.zeros((3, 3, 19), np.int8), np.nan, 0, "scale nan"),
        (np.zeros((3, 3, 19), np.int8), np.inf, 0, "scale inf"),
        (np.zeros((3, 3, 19), np.int8), 0.1, 128, "zero point 128"),
        (np.zeros((3, 3, 19), np.float32), 0.1, 0, "expected 0, which marks float"),
        (np.zeros((3, 3, 17), np.float32), 0.0, 0, "at least 18"),
        (np.zeros((0, 3, 19), np.float32), 0.0, 0, r"shape \(0, 3, 19\)"),
        (np.zeros((3, 19), np.float32), 0.0, 0, r"shape \(3, 19\)"),
        (np.zeros((3, 3, 19)), 0.0, 0, "maps of float64"),
        (np.zeros((3, 3, 19), ">f4"), 0.0, 0, "maps of >f4"),
        ([[[1.0]]], 0.0, 0, "maps of list"),
    ],
)
def test_refuses(kernels: SimpleNamespace, maps: Stored, scale: float, zero_point: int, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        kernels.PeakFinder(RULES[0])(maps, scale, zero_point)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"keypoints": 0}, "keypoints 0"),
        ({"peak_threshold": 0.0}, "peak_threshold 0.0"),
        ({"candidate_fraction": np.nan}, "candidate_fraction nan"),
        ({"upsample": 3}, "upsample 3"),
        ({"radius": -1.0}, "radius -1.0"),
        ({"suppression": "size"}, "suppression 'size'"),
    ],
)
def test_refuses_rules(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PeakRules(**{"keypoints": 18, **wrong})  # type: ignore[arg-type]
