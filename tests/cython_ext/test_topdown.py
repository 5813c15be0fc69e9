"""The top-down kernels equal the oracle bit for bit, and the oracle what the original code computed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from cython_ext import reference_topdown as reference
from cython_ext.specs import PointRules, Stored
from tests.cython_ext.conftest import fuzz
from tests.cython_ext.golden.read import crop_maps
from tests.cython_ext.openpose import quantize

KEYPOINTS = 17
PARTNERS = (0, *(k + 1 if k % 2 else k - 1 for k in range(1, KEYPOINTS)))
SIGMAS = np.array(
    [
        0.026,
        0.025,
        0.025,
        0.035,
        0.035,
        *2 * (0.079,),
        *2 * (0.072,),
        *2 * (0.062,),
        *2 * (0.107,),
        *2 * (0.087,),
        *2 * (0.089,),
    ]
)
RULES = {
    "argmax": PointRules(keypoints=KEYPOINTS, quarter_offset=False),
    "quarter": PointRules(keypoints=KEYPOINTS),
    "softargmax160": PointRules(keypoints=KEYPOINTS, beta=160, quarter_offset=False),
    "softargmax160_quarter": PointRules(keypoints=KEYPOINTS, beta=160),
}
EDGES = np.array([-1, 0, 0.25, 0.3, 1, np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-42], np.float32).tolist()
REALS = st.sampled_from(EDGES) | st.floats(-1, 1, width=32)
SHAPES = array_shapes(min_dims=3, max_dims=3, max_side=7)


def cases(shared: Path) -> list[dict[str, NDArray[np.float32]]]:
    found = sorted((shared / "fixtures" / "topdown_decode").glob("case*.npz"))
    assert found
    return [dict(np.load(path)) for path in found]


def people(case: dict[str, NDArray[np.float32]], name: str = "heatmaps") -> list[NDArray[np.float32]]:
    return [np.ascontiguousarray(h.transpose(1, 2, 0)) for h in case[name]]  # (K, H, W) -> (H, W, K)


@pytest.mark.parametrize("name", RULES)
def test_equals_the_original_on_every_case(shared: Path, name: str) -> None:
    for case in cases(shared):
        for person, maps in enumerate(people(case)):
            points = reference.find_points(maps, RULES[name])
            back = case["affine_heatmap_to_image"][person]
            image = points[:, :2] @ back[:, :2].T + back[:, 2]
            assert_allclose(image, case[f"preds_{name}"][person], atol=2e-3)  # pixels of the image
            values = "softargmax_maxvals" if "soft" in name else "maxvals"
            assert_array_equal(points[:, 2], case[values][person, :, 0].astype(np.float32))


@pytest.mark.parametrize("name", RULES)
def test_equals_the_oracle_on_whole_maps(kernels: SimpleNamespace, name: str) -> None:
    find = kernels.PointFinder(RULES[name])
    for maps in crop_maps():
        assert_array_equal(find(maps), reference.find_points(maps, RULES[name]))


def test_positions_on_the_map_equal_the_originals(shared: Path) -> None:
    for case in cases(shared):
        for person, maps in enumerate(people(case)):
            exact = reference.find_points(maps, RULES["argmax"])[:, :2]
            assert_array_equal(exact, case["argmax_xy"][person])
            soft = reference.find_points(maps, RULES["softargmax160"])[:, :2]
            assert_allclose(soft, case["softargmax160_xy"][person], atol=1e-4)


def test_mean_with_the_mirrored_picture_equals_the_originals(shared: Path) -> None:
    rules = PointRules(keypoints=KEYPOINTS, partners=PARTNERS)
    seen = 0
    for case in cases(shared):
        if "flipped_heatmaps" not in case:
            continue
        sets = (people(case), people(case, "flipped_heatmaps"), people(case, "flip_average_shifted"))
        for maps, flipped, mean in zip(*sets, strict=True):
            seen += 1
            assert_array_equal(reference.average(maps, flipped, rules), mean)
    assert seen == 4


def test_the_mean_with_the_mirrored_picture_is_what_is_read(kernels: SimpleNamespace) -> None:
    rules = PointRules(keypoints=KEYPOINTS, partners=PARTNERS)
    first, second, *_ = crop_maps()
    found = kernels.PointFinder(rules)(first, flipped=second).copy()
    assert_array_equal(found, kernels.PointFinder(rules)(reference.average(first, second, rules)))


@fuzz
@given(
    maps=arrays(np.float32, SHAPES, elements=REALS),
    beta=st.sampled_from([0.0, 1.0, 160.0, 1e4]),
    shift=st.sampled_from(["", "quarter", "parabola"]),
)
def test_any_float_map(kernels: SimpleNamespace, maps: NDArray[np.float32], beta: float, shift: str) -> None:
    parabola = shift == "parabola" and beta == 0
    rules = PointRules(
        keypoints=maps.shape[2], beta=beta, quarter_offset=shift == "quarter", parabola=parabola
    )
    expected = reference.find_points(maps, rules)
    assert_array_equal(kernels.PointFinder(rules)(maps), expected)
    assert np.isfinite(expected).all()


@fuzz
@given(
    maps=arrays(np.int8, SHAPES, elements=st.sampled_from([-128, 127, 0]) | st.integers(-128, 127)),
    beta=st.sampled_from([0.0, 1.0, 160.0]),
    scale=st.sampled_from([1 / 256, 0.01, 1e-38, 1.0, 1e36]),
    zero_point=st.integers(-128, 127),
    parabola=st.booleans(),
)
def test_any_int8_map(
    kernels: SimpleNamespace,
    maps: NDArray[np.int8],
    beta: float,
    scale: float,
    zero_point: int,
    parabola: bool,
) -> None:
    parabola = parabola and beta == 0
    rules = PointRules(keypoints=maps.shape[2], beta=beta, quarter_offset=not parabola, parabola=parabola)
    expected = reference.find_points(maps, rules, scale, zero_point)
    assert_array_equal(kernels.PointFinder(rules)(maps, scale, zero_point), expected)


@fuzz
@given(
    data=st.data(),
    stored=st.sampled_from([np.float32, np.int8]),
    beta=st.sampled_from([0.0, 160.0]),
    shift=st.booleans(),
)
def test_any_two_mirrored_maps(
    kernels: SimpleNamespace, data: st.DataObject, stored: type, beta: float, shift: bool
) -> None:
    elements = REALS if stored is np.float32 else st.integers(-128, 127)
    maps, flipped = (data.draw(arrays(stored, (5, 4, 4), elements=elements)) for _ in range(2))
    rules = PointRules(keypoints=3, beta=beta, partners=(0, 2, 1), flip_shift=shift)
    scale = 0.0 if stored is np.float32 else 0.01
    find = kernels.PointFinder(rules)
    with np.errstate(all="ignore"):
        expected = reference.find_points(maps, rules, scale, 0, flipped)
    assert_array_equal(find(maps, scale, 0, flipped), expected)
    assert_array_equal(find(maps, scale, 0), reference.find_points(maps, rules, scale, 0))


def test_a_parabola_finds_a_gaussian_between_cells(kernels: SimpleNamespace) -> None:
    rows, columns = np.mgrid[:64, :48]
    gaussian = np.exp(-((columns - 20.3) ** 2 + (rows - 31.8) ** 2) / (2 * 2.0**2)).astype(np.float32)
    rules = PointRules(keypoints=1, quarter_offset=False, parabola=True)
    ((x, y, _),) = kernels.PointFinder(rules)(gaussian[..., None])
    assert_allclose([x, y], [20.3, 31.8], atol=1e-4)
    with pytest.raises(ValueError, match="parabola"):
        PointRules(keypoints=1, parabola=True)


def test_beta_draws_the_expectation_to_the_maximum(kernels: SimpleNamespace) -> None:
    rows, columns = np.mgrid[:64, :48]
    gaussian = np.exp(-((columns - 20.3) ** 2 + (rows - 31.8) ** 2) / (2 * 2.0**2)).astype(np.float32)
    found = {}
    for beta in (0.0, 1.0, 20.0, 1e4):
        rules = PointRules(keypoints=1, beta=beta, quarter_offset=False)
        found[beta] = kernels.PointFinder(rules)(gaussian[..., None])[0, :2]
    # the middle of the map: nearly all of it weighs the same
    assert_allclose(found[1.0], (23.5, 31.5), atol=0.1)
    assert_allclose(found[20.0], (20.3, 31.8), atol=0.06)  # between the cells
    assert_array_equal(found[1e4], found[0.0])
    assert_array_equal(found[0.0], (20, 32))


def test_int8_is_within_a_step_of_float(kernels: SimpleNamespace) -> None:
    find = kernels.PointFinder(RULES["softargmax160"])
    off = []
    for maps in crop_maps():
        stored = find(quantize(maps, 1 / 240, -120), 1 / 240, -120)[:, :2].copy()
        off.append(np.linalg.norm(stored - find(maps)[:, :2], axis=1))
    assert np.median(np.concatenate(off)) < 0.1  # cells


@pytest.mark.parametrize("threshold", [0.5, 0.9, 1.0])
def test_suppression_equals_the_oracle(kernels: SimpleNamespace, threshold: float) -> None:
    rng = np.random.default_rng(4)
    base = rng.uniform(0, 200, (4, KEYPOINTS, 3))
    points = np.repeat(base, 5, axis=0) + rng.normal(0, 1, (20, KEYPOINTS, 3))
    points[..., 2] = rng.random((20, KEYPOINTS)) - 0.01  # some are missing
    points = points.astype(np.float32)
    scores, areas = rng.integers(0, 6, 20) / 6.0, rng.uniform(1e3, 3e4, 20)
    kept = kernels.suppress(points, scores, areas, SIGMAS, threshold)
    assert kept.tolist() == reference.suppress(points, scores, areas, SIGMAS, threshold)
    assert (len(kept) == 20) == (threshold == 1.0)


def test_similarity_is_cocos(kernels: SimpleNamespace) -> None:
    rng = np.random.default_rng(6)
    points = np.ones((2, KEYPOINTS, 3), np.float32)
    points[0, :, :2] = rng.uniform(0, 100, (KEYPOINTS, 2))
    points[1, :, :2] = points[0, :, :2] + rng.normal(0, 4, (KEYPOINTS, 2))
    areas = np.array([4000.0, 6000.0])
    square = ((points[0].astype(float) - points[1]) ** 2).sum(axis=1)
    expected = np.exp(-square / (2 * SIGMAS) ** 2 / 5000 / 2).mean()
    found = reference.similarity(points, areas, SIGMAS, 0, 1)
    assert found == pytest.approx(expected, abs=2e-6)
    scores = np.array([0.2, 0.9])
    assert kernels.suppress(points, scores, areas, SIGMAS, expected + 1e-4).tolist() == [1, 0]
    assert kernels.suppress(points, scores, areas, SIGMAS, expected - 1e-4).tolist() == [1]


def test_what_both_lack_does_not_make_them_alike(kernels: SimpleNamespace) -> None:
    points = np.zeros((2, KEYPOINTS, 3), np.float32)
    points[:, 0] = (5, 5, 1), (90, 90, 1)
    areas, scores = np.full(2, 1000.0), np.array([0.5, 0.4])
    assert kernels.suppress(points, scores, areas, SIGMAS, 0.9).tolist() == [0, 1]
    points[1, 0, 2] = 0
    assert kernels.suppress(points, scores, areas, SIGMAS, 0.9).tolist() == [0, 1]
    points[0, 0, 2] = 0
    assert kernels.suppress(points, scores, areas, SIGMAS, 0.9).tolist() == [0]


def test_nobody_is_nobody(kernels: SimpleNamespace) -> None:
    nobody = np.zeros((0, KEYPOINTS, 3), np.float32)
    assert len(kernels.suppress(nobody, np.zeros(0), np.zeros(0), SIGMAS, 0.9)) == 0


@pytest.mark.parametrize(
    ("maps", "scale", "message"),
    [
        (np.zeros((3, 3, 16), np.float32), 0.0, "at least 17"),
        (np.zeros((3, 3, 17)), 0.0, "maps of float64"),
        (np.zeros((3, 3, 17), np.int8), 0.0, "scale 0.0"),
        (None, 0.0, "maps of NoneType"),
    ],
)
def test_refuses(kernels: SimpleNamespace, maps: Stored, scale: float, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        kernels.PointFinder(RULES["quarter"])(maps, scale)


def test_refuses_what_does_not_belong_together(kernels: SimpleNamespace) -> None:
    maps = np.zeros((4, 3, 17), np.float32)
    with pytest.raises(ValueError, match="flipped maps of shape"):
        kernels.PointFinder(RULES["quarter"])(maps, flipped=maps[:3])
    with pytest.raises(ValueError, match="one score and area a person"):
        kernels.suppress(np.zeros((2, 17, 3), np.float32), np.zeros(1), np.zeros(2), SIGMAS, 0.9)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"keypoints": 0}, "keypoints 0"),
        ({"beta": -1.0}, "beta -1.0"),
        ({"beta": np.nan}, "beta nan"),
        ({"partners": (0, 1, 1)}, "each once"),
    ],
)
def test_refuses_rules(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PointRules(**{"keypoints": 3, **wrong})  # type: ignore[arg-type]
