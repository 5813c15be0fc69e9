"""The kernels for centres equal the oracle bit for bit, and the oracle MoveNet's rule as it is written down."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from cython_ext import reference_centres as reference
from cython_ext.centres import CentreFinder
from cython_ext.rules import Centred, CentreMaps, CentreRules, Quantized
from tests.cython_ext.conftest import fuzz
from tests.cython_ext.openpose import quantize

EDGES = np.array([-1, 0, 0.3, 1, 5, np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-42], np.float32)
REALS = st.sampled_from(EDGES.tolist()) | st.floats(-2, 2, width=32)
INT8 = st.sampled_from([-128, 127, 0]) | st.integers(-128, 127)
CHANNELS = {"centre": 1, "heatmaps": 2, "regress": 4, "offset": 4, "box_scale": 2, "box_offset": 2}


@st.composite
def scenes(draw: st.DrawFn) -> tuple[CentreRules, CentreMaps]:
    """Rules and maps of any numbers, contiguous or with axes exchanged."""
    stored = draw(st.sampled_from([np.float32, np.int8]))
    many = draw(st.booleans())
    rules = CentreRules(
        keypoints=2,
        many=many,
        threshold=draw(st.sampled_from([0.0, 0.3])),
        max_people=draw(st.sampled_from([1, 3, 30])),
        nearness=draw(st.sampled_from([0.3, 1.8])),
        boxed=many and draw(st.booleans()),
    )
    size = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    boxed = rules.boxed or draw(st.booleans())
    parts = {}
    for name, channels in CHANNELS.items():
        if boxed or not name.startswith("box"):
            parts[name] = draw(maps(stored, (*size, channels)))
    return rules, CentreMaps(**parts)


@st.composite
def maps(draw: st.DrawFn, stored: type, shape: tuple[int, int, int]) -> Quantized:
    first = draw(st.booleans())
    wide = (shape[2], *shape[:2]) if first else shape
    values: Any = draw(arrays(stored, wide, elements=REALS if stored is np.float32 else INT8))
    values = values.transpose(1, 2, 0) if first else values
    if stored is np.float32:
        return Quantized(values=values)
    scale = draw(st.sampled_from([1 / 256, 0.1, 1e-38, 1e36]))
    return Quantized(values=values, scale=scale, zero_point=draw(st.integers(-128, 127)))


def assert_same(found: Centred, expected: Centred) -> None:
    for name in ("centres", "boxes", "points"):
        assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


@fuzz
@given(scene=scenes())
def test_any_maps(kernels: SimpleNamespace, scene: tuple[CentreRules, CentreMaps]) -> None:
    rules, centre_maps = scene
    expected = reference.find_centred(centre_maps, rules)
    find = kernels.CentreFinder(rules)
    assert_same(find(centre_maps), expected)
    assert_same(find(centre_maps), expected)
    assert np.isfinite(expected.points).all() and np.isfinite(expected.boxes).all()


def random_maps(size: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    spread = {
        "centre": 1.0,
        "heatmaps": 1.0,
        "regress": 6.0,
        "offset": 1.0,
        "box_scale": 20.0,
        "box_offset": 1.0,
    }
    return {
        n: (
            rng.random((size, size, 34 if c == 4 else 17 if c == 2 and n == "heatmaps" else c)) * spread[n]
        ).astype(np.float32)
        for n, c in CHANNELS.items()
    }


def stored_maps(maps: dict[str, np.ndarray]) -> CentreMaps:
    return CentreMaps(**{n: Quantized(values=v) for n, v in maps.items()})


def test_one_person_as_written_down(kernels: SimpleNamespace) -> None:
    """MoveNet Lightning: divide by distance plus 1.8, twice, in double precision and without shortcuts."""
    maps = random_maps(48)
    found = kernels.CentreFinder(CentreRules(keypoints=17))(stored_maps(maps))
    rows, columns = np.mgrid[:48, :48]
    centre = maps["centre"][..., 0] / (np.hypot(rows - 24, columns - 24) + 1.8)
    cy, cx = np.unravel_index(centre.argmax(), centre.shape)
    assert_allclose(found.centres, maps["centre"][cy, cx])
    for k in range(17):
        py, px = cy + maps["regress"][cy, cx, 2 * k], cx + maps["regress"][cy, cx, 2 * k + 1]
        heat = maps["heatmaps"][..., k] / (np.hypot(rows - py, columns - px) + 1.8)
        y, x = np.unravel_index(heat.argmax(), heat.shape)
        expected = [x + maps["offset"][y, x, 2 * k + 1], y + maps["offset"][y, x, 2 * k]]
        assert_allclose(found.points[0, k, :2], expected, rtol=1e-6)
        assert_allclose(found.points[0, k, 2], maps["heatmaps"][y, x, k])


def test_many_people_as_written_down(kernels: SimpleNamespace) -> None:
    """MoveNet MultiPose: Gaussian weights inside of the person's box, in double precision."""
    maps = random_maps(32, seed=1)
    nearness = 0.30004883
    rules = CentreRules(keypoints=17, many=True, nearness=nearness, boxed=True, threshold=0.5)
    found = kernels.CentreFinder(rules)(stored_maps(maps))
    assert len(found.centres) == 30
    rows, columns = np.mgrid[:32, :32]
    centre = maps["centre"][..., 0]
    for person in range(30):
        cy, cx = map(int, np.argwhere(centre == found.centres[person])[0])
        assert centre[max(cy - 1, 0) : cy + 2, max(cx - 1, 0) : cx + 2].max() == centre[cy, cx]
        middle = np.array([cy, cx]) + maps["box_offset"][cy, cx]
        top, left = np.clip(middle - maps["box_scale"][cy, cx] / 2, 0, 32)
        bottom, right = np.clip(middle + maps["box_scale"][cy, cx] / 2, 0, 32)
        assert_allclose(found.boxes[person], [left, top, right, bottom], rtol=1e-5)
        inside = (rows >= top) & (rows <= bottom) & (columns >= left) & (columns <= right)
        for k in range(17):
            py, px = cy + maps["regress"][cy, cx, 2 * k], cx + maps["regress"][cy, cx, 2 * k + 1]
            near = np.exp(-((rows - py) ** 2 + (columns - px) ** 2) / (nearness * 32)) * inside
            heat = maps["heatmaps"][..., k] * near
            if not heat.max() > 1e-30:  # no cell in the box, or all too far away
                assert not found.points[person, k].any()
                continue
            y, x = np.unravel_index(heat.argmax(), heat.shape)
            expected = [x + maps["offset"][y, x, 2 * k + 1], y + maps["offset"][y, x, 2 * k]]
            assert_allclose(found.points[person, k, :2], expected, rtol=1e-5)
            assert_allclose(found.points[person, k, 2], heat[y, x], rtol=1e-5)


def test_int8_finds_the_same_cells(kernels: SimpleNamespace) -> None:
    maps = random_maps(24, seed=2)
    small = CentreMaps(
        **{
            n: Quantized(values=quantize(v, v.max() / 255, -128), scale=float(v.max() / 255), zero_point=-128)
            for n, v in maps.items()
        }
    )
    find = kernels.CentreFinder(CentreRules(keypoints=17))
    real = find(stored_maps(maps)).points.copy()
    near = np.abs(find(small).points - real)[..., :2].max(axis=(0, 2)) < 0.1
    assert near.sum() >= 14  # a random map has near ties


def test_an_empty_map_has_nobody(kernels: SimpleNamespace) -> None:
    maps = {n: np.zeros_like(v) for n, v in random_maps(8).items()}
    for many in (False, True):
        found = kernels.CentreFinder(CentreRules(keypoints=17, many=many))(stored_maps(maps))
        assert len(found.points) == len(found.centres) == len(found.boxes) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"regress": np.zeros((8, 8, 3), np.float32)}, "regress of shape"),
        ({"heatmaps": np.zeros((8, 9, 17), np.float32)}, "heatmaps of shape"),
        ({"centre": np.zeros((8, 8, 1))}, "centre of float64"),
        ({"box_scale": np.zeros((8, 8, 1), np.float32)}, "box_scale of shape"),
    ],
)
def test_maps_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        CentreFinder(CentreRules(keypoints=17))(stored_maps(random_maps(8) | change))


@pytest.mark.parametrize(
    "wrong", [{"keypoints": 0}, {"nearness": 0.0}, {"max_people": 0}, {"boxed": True}, {"threshold": -1.0}]
)
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CentreRules(**({"keypoints": 17} | wrong))
