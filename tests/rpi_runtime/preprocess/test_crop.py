"""Crops of single people: where they lie, and what is in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from rpi_runtime.errors import InputError
from rpi_runtime.model.card import InputSpec
from rpi_runtime.preprocess.crop import Cutter, crop_transform
from rpi_runtime.preprocess.letterbox import Transform

SPEC = InputSpec(width=192, height=256, fit="crop", pad_value=0)


def test_crops_lie_where_the_originals_lie(shared: Path):
    for path in sorted((shared / "fixtures" / "topdown_decode").glob("case*.npz")):
        case = np.load(path)
        height, width = (4 * n for n in case["heatmaps"].shape[2:])
        spec = replace(SPEC, width=width, height=height)
        for box, matrix in zip(case["boxes_xywh"], case["affine_image_to_input"], strict=True):
            found = crop_transform(tuple(box), spec, 1.25)
            indices = np.array([[0, 0], [100, 50], [300, 400]], np.float32)
            expected = indices @ matrix[:, :2].T + matrix[:, 2]
            assert_allclose(found.to_network(indices + 0.5) - 0.5, expected, atol=2e-3)


@pytest.mark.parametrize(
    "box", [(50, 40, 60, 90), (-30, -20, 100, 60), (150, 90, 200, 300), (3, 2, 9, 120)], ids=str
)
def test_pixels_are_those_of_an_affine_warp(box):
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(1)
    frame = cv2.GaussianBlur(rng.integers(0, 256, (160, 240, 3), np.uint8), (0, 0), 2)
    transform = crop_transform(box, SPEC, 1.25)
    shift = transform.to_network(np.full(2, 0.5, np.float32)) - 0.5
    matrix = np.array([[transform.scale_x, 0, shift[0]], [0, transform.scale_y, shift[1]]])
    expected = cv2.warpAffine(frame, matrix, (192, 256), flags=cv2.INTER_LINEAR)
    found = Cutter(SPEC)(frame, transform)
    assert np.abs(found.astype(int) - expected).mean() < 0.5
    assert np.abs(found.astype(int) - expected).max() <= 12  # the warp rounds positions to 1/32 of a pixel


def test_a_crop_that_is_the_picture_is_the_picture():
    frame = np.random.default_rng(2).integers(0, 256, (256, 192, 3), np.uint8)
    whole = Transform(scale_x=1.0, scale_y=1.0, pad_x=0.0, pad_y=0.0)
    assert_array_equal(Cutter(SPEC)(frame, whole), frame)


def test_outside_the_picture_lies_the_padding():
    frame = np.full((100, 100, 3), 200, np.uint8)
    cut = Cutter(replace(SPEC, pad_value=7))
    assert (cut(frame, crop_transform((500, 500, 50, 60), SPEC, 1.25)) == 7).all()
    assert (cut(frame, crop_transform((-500, 20, 50, 60), SPEC, 1.25)) == 7).all()
    half = cut(frame, crop_transform((60, 0, 80, 100), SPEC, 1.0))
    assert (half[20:-20, :90] == 200).all() and (half[:, -90:] == 7).all()


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (0, 0, 5, -1), (0, 0, float("nan"), 5)])
def test_boxes_without_an_area_are_refused(box):
    with pytest.raises(InputError, match="with an area"):
        crop_transform(box, SPEC, 1.25)
