"""Crops of single people: where they lie, and what is in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from rpi_runtime.errors import InputError
from rpi_runtime.model.card import InputSpec
from rpi_runtime.model.crop_settings import CropSettings
from rpi_runtime.preprocess.crop import CropWriter, Cutter, crop_transform
from rpi_runtime.preprocess.letterbox import Preprocessor, Transform

SPEC = InputSpec(width=192, height=256, fit="crop", pad_value=0)


def test_crops_lie_where_the_originals_lie(shared: Path):
    for path in sorted((shared / "fixtures" / "topdown_decode").glob("case*.npz")):
        case = np.load(path)
        height, width = (4 * n for n in case["heatmaps"].shape[2:])
        spec = replace(SPEC, width=width, height=height)
        for box, matrix in zip(case["boxes_xywh"], case["affine_image_to_input"], strict=True):
            found = crop_transform(tuple(box), spec)
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
    transform = crop_transform(box, SPEC)
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
    assert (cut(frame, crop_transform((500, 500, 50, 60), SPEC)) == 7).all()
    assert (cut(frame, crop_transform((-500, 20, 50, 60), SPEC)) == 7).all()
    half = cut(frame, crop_transform((60, 0, 80, 100), SPEC, CropSettings(box_padding=1.0)))
    assert (half[20:-20, :90] == 200).all() and (half[:, -90:] == 7).all()


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (0, 0, 5, -1), (0, 0, float("nan"), 5)])
def test_boxes_without_an_area_are_refused(box):
    with pytest.raises(InputError, match="with an area"):
        crop_transform(box, SPEC)


def edges(transform: Transform, spec: InputSpec = SPEC) -> list[float]:
    """Left, top, right, bottom of what the input shows, in pixels of the picture."""
    return transform.to_image(np.array([[0, 0], [spec.width, spec.height]], np.float32)).ravel().tolist()


def test_edge_to_edge_the_box_lies_in_the_middle():
    settings = CropSettings(box_middle="edge", box_padding=1.25)
    assert_allclose(
        edges(crop_transform((100, 50, 30, 80), SPEC, settings)), [77.5, 40 - 0, 152.5, 140], atol=1e-3
    )
    index = crop_transform((100, 50, 30, 80), SPEC)
    scale = 192 / 75
    assert_allclose(
        index.pad_x - crop_transform((100, 50, 30, 80), SPEC, settings).pad_x, 0.5 - scale / 2, atol=1e-6
    )


def test_a_stretched_box_fills_the_input():
    settings = CropSettings(box_middle="edge", box_extend="stretch", box_padding=1.0)
    assert_allclose(edges(crop_transform((100, 50, 30, 90), SPEC, settings)), [100, 50, 130, 140], atol=1e-3)


def test_a_rounded_box_has_whole_pixels():
    settings = CropSettings(box_middle="edge", box_round=True, box_padding=1.1)
    found = edges(crop_transform((100.3, 50.2, 30.4, 90.7), SPEC, settings))
    assert_allclose(found, np.round(found), atol=1e-3)
    assert_allclose(
        found,
        edges(crop_transform((100.3, 50.2, 30.4, 90.7), SPEC, replace(settings, box_round=False))),
        atol=0.51,
    )


@pytest.mark.parametrize("channels", ["bgr", "rgb"])
@pytest.mark.parametrize("dtype", [np.int8, np.float32])
def test_a_crop_goes_into_the_input_as_a_picture_of_it_would(channels, dtype):
    spec = replace(SPEC, channels=channels, mean=(10.0, 20.0, 30.0), scale=(0.5, 0.25, 0.125), pad_value=114)
    frame = np.random.default_rng(4).integers(0, 256, (200, 160, 3), np.uint8)
    for settings in (CropSettings(), CropSettings(area_below=1.0)):
        transform = crop_transform((100, 90, 90, 170), spec, settings)
        direct, by_way = (np.empty((1, 256, 192, 3), dtype) for _ in range(2))
        CropWriter(spec, settings)(frame, transform, direct)
        Preprocessor(spec)(Cutter(spec, settings)(frame, transform), by_way)
        assert_array_equal(direct, by_way)


def test_other_inputs_are_refused():
    frame, whole = np.zeros((4, 4, 3), np.uint8), Transform(scale_x=1, scale_y=1, pad_x=0, pad_y=0)
    for out in (np.zeros((2, 256, 192, 3), np.int8), np.zeros((1, 256, 192, 3), np.uint8)):
        with pytest.raises(InputError, match="input tensor"):
            CropWriter(SPEC)(frame, whole, out)
    with pytest.raises(InputError, match="cannot crop"):
        CropWriter(SPEC)(frame[..., :2], whole, np.zeros((1, 256, 192, 3), np.int8))
