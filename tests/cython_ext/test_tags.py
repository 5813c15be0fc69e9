"""The associative-embedding kernels equal the oracle bit for bit, and the oracle what the original code computed."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from cython_ext import reference_tags as reference
from cython_ext.specs import Groups, TagRules
from tests.cython_ext.conftest import fuzz
from tests.cython_ext.golden.read import tag_maps
from tests.cython_ext.openpose import quantize
from tests.cython_ext.tagged import crowd
from tests.cython_ext.test_topdown import PARTNERS

RULES = TagRules(keypoints=17, joint_order=(0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16))
STAGES = {
    "matched": replace(RULES, adjust=False, refine=False),
    "adjusted": replace(RULES, refine=False),
    "final": RULES,
}
EDGES = np.array([-1, 0, 0.1, 0.5, 1, 1.5, np.nan, np.inf, -np.inf, 3e38, -3e38], np.float32).tolist()
REALS = st.sampled_from(EDGES) | st.floats(-2, 2, width=32)
COSTS = st.sampled_from([0.0, 100.0, 200.0, -0.5, 99.5, 1e10]) | st.integers(-3, 3).map(float)


def assert_same(found: Groups, expected: Groups) -> None:
    assert_array_equal(found.points, expected.points)
    assert_array_equal(found.score, expected.score)
    assert_array_equal(found.count, expected.count)


def cases(shared: Path) -> list[Any]:
    paths = sorted((shared / "fixtures" / "ae_decode").glob("case*.npz"))
    assert paths
    return [np.load(path) for path in paths]


def planes(case: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Heatmaps (K, H, W) and tags (T, K, H, W)."""
    return case["heatmaps"][0], np.ascontiguousarray(case["tags"][0].transpose(3, 0, 1, 2))


@pytest.mark.parametrize("stage", STAGES)
def test_equals_the_original_on_every_case(shared: Path, stage: str) -> None:
    for case in cases(shared):
        people = reference.group(*planes(case), STAGES[stage])
        expected = np.where(case[stage][..., 2:3] > 0, case[stage][..., :3], 0)
        if stage == "matched":  # the original gives indices there
            expected[..., :2] += np.where(expected[..., 2:] > 0, 0.5, 0)
        assert_array_equal(people.points, expected)
        assert_allclose(people.score, case["scores"], rtol=1e-6)


@pytest.mark.parametrize("stage", STAGES)
def test_equals_the_oracle_on_whole_maps(kernels: SimpleNamespace, stage: str) -> None:
    group = kernels.TagGrouper(STAGES[stage])
    for heatmaps, tags in tag_maps():
        assert_same(group(heatmaps, tags), reference.group(heatmaps, tags, STAGES[stage]))


def test_the_rules_are_those_of_the_cases(shared: Path) -> None:
    given = json.loads((shared / "fixtures" / "ae_decode" / "index.json").read_text())["params"]
    assert tuple(given["joint_order"]) == RULES.joint_order
    assert (given["max_num_people"], given["nms_kernel"]) == (RULES.max_people, RULES.nms_size)
    assert (given["detection_threshold"], given["tag_threshold"]) == (
        RULES.peak_threshold,
        RULES.tag_threshold,
    )


def test_candidates_are_the_originals(shared: Path) -> None:
    for case in cases(shared):
        heatmaps, tags = planes(case)
        for k in range(17):
            cells, values, vectors = reference.candidates(heatmaps[k], tags[:, k].transpose(1, 2, 0), RULES)
            above = case["topk_val"][0, k] > 0.1
            assert_array_equal(values, case["topk_val"][0, k][above])
            x, y = case["topk_loc_xy"][0, k][above].T
            assert_array_equal(cells, y * heatmaps.shape[2] + x)
            assert_array_equal(vectors, case["topk_tag"][0, k][above])


@pytest.mark.parametrize("mirrored", [False, True])
def test_maps_of_two_strides_are_enlarged_as_by_the_oracle(kernels: SimpleNamespace, mirrored: bool) -> None:
    rng = np.random.default_rng(5)
    fine, size, partners = (24, 40), (45, 79), np.array(PARTNERS, np.int32) if mirrored else None
    unpack, project = kernels.Unpacker(17, PARTNERS), kernels.PlaneResizer(fine, size)
    for rows, columns in ((12, 20), fine):
        maps = rng.normal(0, 0.3, (rows, columns, 34)).astype(np.float32)
        for first in (0, 17):
            plane, whole = np.empty((17, rows, columns), np.float32), np.empty((17, *size), np.float32)
            unpack(maps[..., first : first + 17], plane, mirrored=mirrored)
            assert_array_equal(plane, reference.unpack(maps[..., first:], 17, partners=partners))
            if (rows, columns) != fine:
                large = np.empty((17, *fine), np.float32)
                kernels.PlaneResizer((rows, columns), fine)(plane, large)
                assert_array_equal(large, reference.resize(plane, fine))
                plane = large
            project(plane, whole)
            assert_array_equal(whole, reference.resize(plane, size))


@fuzz
@given(data=st.data(), columns=st.integers(1, 5), rows=st.integers(1, 5))
def test_any_assignment(kernels: SimpleNamespace, data: st.DataObject, columns: int, rows: int) -> None:
    cost = data.draw(arrays(np.float64, (min(rows, columns), columns), elements=COSTS))
    chosen = kernels.assign(cost)
    assert chosen == reference.assign(cost)
    assert len(set(chosen)) == len(cost)
    every = itertools.permutations(range(columns), len(cost))
    least = min(cost[np.arange(len(cost)), list(columns)].sum() for columns in every)
    assert cost[np.arange(len(cost)), chosen].sum() == pytest.approx(least, rel=1e-9, abs=1e-3)


@fuzz
@given(seed=st.integers(0, 1 << 30))
def test_assignments_with_many_ties(kernels: SimpleNamespace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    columns = int(rng.integers(1, 31))
    rows = int(rng.integers(1, columns + 1))
    cost = rng.integers(0, 4, (rows, columns)) * 100.0 - rng.random((rows, 1))
    assert kernels.assign(cost) == reference.assign(cost)


def test_assignments_equal_the_package_s(kernels: SimpleNamespace) -> None:
    munkres = pytest.importorskip("munkres", reason="the package whose ties are meant is not installed")
    if munkres.__version__ != "1.1.4":
        pytest.skip(f"munkres {munkres.__version__} breaks ties in another way than 1.1.4")
    rng = np.random.default_rng(9)
    for _ in range(2000):
        rows, columns = sorted(rng.integers(1, 9, 2))
        cost = rng.integers(0, 3, (rows, columns)) * 100.0 - rng.random((rows, 1))
        assert kernels.assign(cost) == [c for _, c in munkres.Munkres().compute(cost.tolist())]


@fuzz
@given(
    data=st.data(),
    components=st.integers(1, 4),
    most=st.integers(1, 6),
    nms=st.sampled_from([1, 3, 5]),
    adjust=st.booleans(),
    least=st.sampled_from([-np.inf, 0.1]),
)
def test_any_planes(
    kernels: SimpleNamespace,
    data: st.DataObject,
    components: int,
    most: int,
    nms: int,
    adjust: bool,
    least: float,
) -> None:
    rules = TagRules(
        keypoints=3, joint_order=(1, 0, 2), max_people=most, nms_size=nms, adjust=adjust, refine_least=least
    )
    heatmaps = data.draw(arrays(np.float32, (3, 5, 6), elements=REALS))
    small = data.draw(st.sampled_from([(5, 6), (3, 3)]))
    tags = data.draw(arrays(np.float32, (components, 3, *small), elements=REALS))
    assert_same(kernels.TagGrouper(rules)(heatmaps, tags), reference.group(heatmaps, tags, rules))


@fuzz
@given(seed=st.integers(0, 1 << 30), people=st.integers(1, 9), components=st.integers(1, 4))
def test_drawn_people_are_the_oracles(
    kernels: SimpleNamespace, seed: int, people: int, components: int
) -> None:
    heatmaps, tags, _ = crowd(people, seed, components)
    assert_same(kernels.TagGrouper(RULES)(heatmaps, tags), reference.group(heatmaps, tags, RULES))


def test_people_apart_are_told_apart(kernels: SimpleNamespace) -> None:
    heatmaps, tags, at = crowd(3, 1, size=(64, 96))
    found = kernels.TagGrouper(replace(RULES, refine_least=0.1))(heatmaps, tags)
    assert len(found.points) == 3
    order = np.argsort([np.median(_tag_of(tags, p)) for p in found.points])
    near = np.linalg.norm(found.points[order, :, :2] - at, axis=2)[found.points[order, :, 2] > 0.3]
    assert len(near) > 30 and np.median(near) < 0.5


def _tag_of(tags: NDArray[np.float32], points: NDArray[np.float32]) -> list[float]:
    return [tags[0, k, int(y), int(x)] for k, (x, y, v) in enumerate(points) if v > 0]


def test_an_equal_first_component_begins_anew(kernels: SimpleNamespace) -> None:
    heatmaps, tags = np.zeros((2, 3, 9), np.float32), np.zeros((2, 2, 3, 9), np.float32)
    heatmaps[0, 1, 1], heatmaps[1, 1, 7] = 0.9, 0.8
    tags[1, 1, 1, 7] = 5  # far away, though the first component is the same
    rules = TagRules(keypoints=2, refine=False)
    people = kernels.TagGrouper(rules)(heatmaps, tags)
    assert_same(people, reference.group(heatmaps, tags, rules))
    assert people.count.tolist() == [2]


def test_a_mean_tag_that_overflows_ends(kernels: SimpleNamespace) -> None:
    """Costs that are no numbers would be searched for a zero for ever."""
    heatmaps = np.full((3, 1, 2), 0.5, np.float32)
    tags = np.array([3e38, 3e38, 3e38, 1, 3e38, 2], np.float32).reshape(1, 3, 1, 2)
    rules = TagRules(keypoints=3, nms_size=1)
    people = kernels.TagGrouper(rules)(heatmaps, tags)
    assert_same(people, reference.group(heatmaps, tags, rules))
    assert np.isfinite(people.points).all()


def test_more_peaks_than_places_keep_the_highest(kernels: SimpleNamespace) -> None:
    rng = np.random.default_rng(3)
    heatmaps, tags = np.zeros((1, 40, 40), np.float32), np.zeros((1, 1, 40, 40), np.float32)
    heatmaps[0, ::4, ::4] = rng.permutation(100).reshape(10, 10) / 200 + 0.2
    tags[0, 0] = np.arange(1600).reshape(40, 40) * 10
    people = kernels.TagGrouper(TagRules(keypoints=1, max_people=7))(heatmaps, tags)
    assert_allclose(people.points[:, 0, 2], np.arange(99, 92, -1) / 200 + 0.2, rtol=1e-6)


def test_int8_maps_unpack_to_what_they_mean(kernels: SimpleNamespace) -> None:
    maps = np.random.default_rng(0).normal(0, 0.3, (6, 5, 20)).astype(np.float32)
    stored = quantize(maps, 1 / 100, 3)
    out = np.empty((17, 6, 5), np.float32)
    for mirrored in (False, True):
        kernels.Unpacker(17, PARTNERS)(stored, out, 1 / 100, 3, mirrored=mirrored)
        partners = np.array(PARTNERS, np.int32) if mirrored else None
        assert_array_equal(out, reference.unpack(stored, 17, 1 / 100, 3, partners))


@pytest.mark.parametrize(
    ("heatmaps", "tags", "message"),
    [
        (np.zeros((16, 4, 4), np.float32), np.zeros((1, 17, 4, 4), np.float32), "heatmaps of shape"),
        (np.zeros((17, 4, 4), np.float32), np.zeros((9, 17, 4, 4), np.float32), "tags of shape"),
        (np.zeros((17, 4, 4), np.float32), np.zeros((17, 4, 4), np.float32), "tags of shape"),
        (np.zeros((17, 4, 4)), np.zeros((1, 17, 4, 4), np.float32), "planes of float64"),
    ],
)
def test_refuses(kernels: SimpleNamespace, heatmaps: Any, tags: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        kernels.TagGrouper(RULES)(heatmaps, tags)


def test_refuses_maps_and_planes_of_other_sizes(kernels: SimpleNamespace) -> None:
    out = np.empty((17, 4, 4), np.float32)
    with pytest.raises(ValueError, match="at least 17"):
        kernels.Unpacker(17)(np.zeros((4, 4, 16), np.float32), out)
    with pytest.raises(ValueError, match="planes of shape"):
        kernels.Unpacker(17)(np.zeros((4, 5, 17), np.float32), out)
    with pytest.raises(TypeError, match="maps of NoneType"):
        kernels.Unpacker(17)(None, out)
    with pytest.raises(ValueError, match="expected"):
        kernels.PlaneResizer((4, 4), (8, 8))(out, out)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"keypoints": 0}, "keypoints 0"),
        ({"max_people": 0}, "max_people 0"),
        ({"peak_threshold": 0.0}, "thresholds 0.0"),
        ({"joint_order": (0, 0)}, "each once"),
        ({"nms_size": 2}, "nms_size 2"),
    ],
)
def test_refuses_rules(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TagRules(**{"keypoints": 2, **wrong})  # type: ignore[arg-type]
