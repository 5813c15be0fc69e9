"""The crop kernel equals the oracle bit for bit, and the oracle what OpenCV makes of the same crop."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from cython_ext import reference_crops as reference
from cython_ext.crops import Cropper, Placement
from tests.cython_ext.conftest import fuzz

INT8 = np.tile((np.arange(256) - 128).astype(np.int8), (3, 1))
FLOAT = ((np.arange(256) - np.array([[10], [20], [30]])) / np.array([[3], [4], [5]])).astype(np.float32)
PLAIN = np.tile(np.arange(256, dtype=np.float32), (3, 1))
SCALES = st.sampled_from([0.05, 0.5, 1.0, 3.0, 100.0, 1e-6]) | st.floats(0.02, 5)
PADS = st.sampled_from([0.0, 0.5, -3.0, 1e9, -1e9]) | st.floats(-30, 30)


@fuzz
@given(
    frame=arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))),
    scales=st.tuples(SCALES, SCALES),
    pads=st.tuples(PADS, PADS),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    area=st.booleans(),
    int8=st.booleans(),
    strided=st.booleans(),
)
def test_any_crop(
    kernels: SimpleNamespace,
    frame: np.ndarray,
    scales: tuple[float, float],
    pads: tuple[float, float],
    size: tuple[int, int],
    area: bool,
    int8: bool,
    strided: bool,
) -> None:
    if strided:
        frame = np.concatenate([frame, frame], axis=1)[:, : frame.shape[1]]
    placement = Placement(scale_x=scales[0], scale_y=scales[1], pad_x=pads[0], pad_y=pads[1], area=area)
    table, order = (INT8, (0, 1, 2)) if int8 else (FLOAT, (2, 1, 0))
    out = np.empty((*size, 3), table.dtype)
    crop = kernels.Cropper(size, table, order=order, pad_value=114)
    for _ in range(2):
        crop(frame, placement, out)
        assert_array_equal(out, reference.cut(frame, placement, size, 114, table, order))


def real_crop(
    frame: np.ndarray, placement: Placement, size: tuple[int, int], pad_value: int = 0
) -> np.ndarray:
    out = np.empty((*size, 3), np.float32)
    Cropper(size, PLAIN, pad_value=pad_value)(frame, placement, out)
    return out


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8 + 2, width // 8 + 2, 3))
    return np.kron(coarse, np.ones((8, 8, 1)))[:height, :width].astype(np.uint8)


def test_bilinear_as_opencv() -> None:
    """Its affine warp rounds positions to 1/32 of a pixel; a pixel's index is its middle there."""
    cv2 = pytest.importorskip("cv2", reason="compares with OpenCV: pip install opencv-python-headless")
    frame, scale, pad = cv2.blur(picture(97, 130), (9, 9)), 1.7, (-20.25, 11.5)
    placement = Placement(scale_x=scale, scale_y=scale, pad_x=pad[0], pad_y=pad[1])
    index = [[scale, 0, pad[0] + scale / 2 - 0.5], [0, scale, pad[1] + scale / 2 - 0.5]]
    warped = cv2.warpAffine(frame, np.array(index), (96, 128), flags=cv2.INTER_LINEAR, borderValue=(7, 7, 7))
    apart = np.abs(real_crop(frame, placement, (128, 96), 7) - warped)
    assert np.percentile(apart, 99) <= 2
    assert apart.mean() < 0.5


def test_area_as_opencv() -> None:
    cv2 = pytest.importorskip("cv2", reason="compares with OpenCV: pip install opencv-python-headless")
    frame = picture(90, 120)
    placement = Placement(scale_x=0.25, scale_y=0.3, pad_x=0, pad_y=0, area=True)
    assert_allclose(
        real_crop(frame, placement, (27, 30)),
        cv2.resize(frame, (30, 27), interpolation=cv2.INTER_AREA),
        atol=1,
    )


def test_a_plain_crop_is_the_picture_itself() -> None:
    frame = picture(20, 30)
    for area in (False, True):
        placement = Placement(scale_x=1, scale_y=1, pad_x=-4, pad_y=-3, area=area)
        assert_array_equal(real_crop(frame, placement, (10, 12)), frame[3:13, 4:16])


def test_outside_lies_the_padding() -> None:
    frame = picture(20, 30)
    for area in (False, True):
        placement = Placement(scale_x=0.5, scale_y=0.5, pad_x=20, pad_y=2, area=area)
        crop = real_crop(frame, placement, (16, 36), 33)
        assert_array_equal(crop[:, :19], np.full((16, 19, 3), 33))
        assert_array_equal(crop[:1], np.full((1, 36, 3), 33))
        far = Placement(scale_x=0.5, scale_y=0.5, pad_x=1e7, pad_y=2, area=area)
        assert_array_equal(real_crop(frame, far, (16, 36), 33), np.full((16, 36, 3), 33))


@pytest.mark.parametrize(
    "wrong", [{"scale_x": 0.0}, {"scale_y": np.nan}, {"pad_x": np.inf}, {"scale_x": 1e-9}, {"scale_x": -1.0}]
)
def test_placements_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Placement(**({"scale_x": 1.0, "scale_y": 1.0, "pad_x": 0.0, "pad_y": 0.0} | wrong))


def test_other_pictures_and_inputs_are_refused() -> None:
    crop, placement = Cropper((4, 4), INT8), Placement(scale_x=1, scale_y=1, pad_x=0, pad_y=0)
    with pytest.raises(ValueError, match="frame of shape"):
        crop(np.zeros((4, 4), np.uint8), placement, np.zeros((4, 4, 3), np.int8))
    with pytest.raises(ValueError, match="input"):
        crop(np.zeros((4, 4, 3), np.uint8), placement, np.zeros((4, 4, 3), np.float32))
    with pytest.raises(ValueError, match="table"):
        Cropper((4, 4), INT8[:2])
