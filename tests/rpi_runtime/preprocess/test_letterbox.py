"""Pictures into network inputs, and points back out of them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rpi_runtime.errors import InputError
from rpi_runtime.model.card import InputSpec
from rpi_runtime.preprocess.letterbox import Preprocessor

sides = st.integers(1, 400)
fits = st.sampled_from(["letterbox", "stretch"])


def random_picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def tensor(spec: InputSpec, dtype: type) -> np.ndarray:
    return np.zeros((1, spec.height, spec.width, 3), dtype)


@settings(max_examples=100, deadline=None)
@given(width=sides, height=sides, fit=fits, seed=st.integers(0, 2**32 - 1))
def test_points_map_there_and_back(width, height, fit, seed):
    spec = InputSpec(width=160, height=120, fit=fit)
    transform = Preprocessor(spec)(np.zeros((height, width, 3), np.uint8), tensor(spec, np.int8))
    points = np.random.default_rng(seed).random((20, 2), np.float32) * np.float32([width, height])
    inside = transform.to_network(points)
    assert (inside >= -1e-3).all() and (inside <= np.float32([160, 120]) + 1e-3).all()
    assert np.abs(transform.to_image(inside) - points).max() < 0.01


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(40, 700), height=st.integers(40, 700), fit=fits,
    at=st.tuples(st.floats(0.2, 0.8), st.floats(0.2, 0.8)), opencv=st.booleans(),
)  # fmt: skip
def test_a_blob_is_found_where_it_was_put_within_half_a_network_pixel(width, height, fit, at, opencv):
    if opencv:
        pytest.importorskip("cv2")
    spec = InputSpec(width=160, height=120, fit=fit, pad_value=0)
    where = np.float32([at[0] * width, at[1] * height])
    assume(0.15 < width / height < 6)
    radius = 3 * np.float32([max(width / 160, 1), max(height / 120, 1)])
    if fit == "letterbox":
        radius[:] = radius.max()
    y, x = np.mgrid[:height, :width].astype(np.float32) + 0.5
    blob = np.exp(-(((x - where[0]) / radius[0]) ** 2 + ((y - where[1]) / radius[1]) ** 2) / 2)
    picture = np.repeat(np.rint(255 * blob).astype(np.uint8)[..., None], 3, axis=2)
    out = tensor(spec, np.int8)
    transform = Preprocessor(spec, opencv=opencv)(picture, out)
    seen = out[0, ..., 0].astype(np.float64) + 128
    rows, columns = np.mgrid[:120, :160] + 0.5
    centre = np.float32([(seen * columns).sum(), (seen * rows).sum()]) / np.float32(seen.sum())
    assert np.abs(centre - transform.to_network(where)).max() < 0.5


@settings(max_examples=60, deadline=None)
@given(
    width=sides, height=sides, fit=fits, channels=st.sampled_from(["bgr", "rgb"]),
    seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_int8_is_the_float_input_quantized(width, height, fit, channels, seed):
    spec = InputSpec(width=96, height=64, channels=channels, fit=fit)
    picture = random_picture(width, height, seed)
    preprocess = Preprocessor(spec)
    stored, real = tensor(spec, np.int8), tensor(spec, np.float32)
    preprocess(picture, stored)
    preprocess(picture, real)
    assert np.array_equal(stored, np.rint(real * 256).astype(np.int8))


def test_mean_and_scale_are_in_the_order_of_the_channels():
    picture = np.empty((10, 20, 3), np.uint8)
    picture[:] = [10, 20, 30]  # B, G, R
    numbers = {"mean": (1.0, 2.0, 3.0), "scale": (1.0, 10.0, 100.0)}
    for channels, expected in (("bgr", [9, 180, 2700]), ("rgb", [29, 180, 700])):
        spec = InputSpec(width=20, height=10, channels=channels, **numbers)
        out = tensor(spec, np.float32)
        Preprocessor(spec)(picture, out)
        assert np.array_equal(out[0], np.broadcast_to(np.float32(expected), (10, 20, 3)))


def test_letterbox_pads_both_sides_and_clears_the_last_frame():
    spec = InputSpec(width=32, height=32, pad_value=100)
    preprocess, out = Preprocessor(spec), tensor(spec, np.int8)
    preprocess(np.full((64, 64, 3), 255, np.uint8), out)
    transform = preprocess(np.full((32, 64, 3), 200, np.uint8), out)
    assert (transform.pad_x, transform.pad_y) == (0, 8)
    assert (out[0, :8] == 100 - 128).all() and (out[0, 24:] == 100 - 128).all()
    assert (out[0, 8:24] == 200 - 128).all()


def test_stretch_fills_the_input():
    spec = InputSpec(width=32, height=32, fit="stretch", pad_value=0)
    out = tensor(spec, np.int8)
    transform = Preprocessor(spec)(np.full((10, 64, 3), 200, np.uint8), out)
    assert (out == 200 - 128).all()
    assert (transform.scale_x, transform.scale_y) == (0.5, 3.2)


def test_a_frame_of_the_network_s_size_is_passed_on_as_it_is():
    spec = InputSpec(width=40, height=24)
    buffer = random_picture(48, 24)
    frame = buffer[:, :40]
    before, out = buffer.copy(), tensor(spec, np.int8)
    Preprocessor(spec)(frame, out)
    assert np.array_equal(out[0].view(np.uint8) ^ 0x80, frame)
    assert np.array_equal(buffer, before)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_bgr_picture_is_refused(frame):
    spec = InputSpec(width=8, height=8)
    with pytest.raises(InputError, match="expected \\(H, W, 3\\) uint8"):
        Preprocessor(spec)(frame, tensor(spec, np.int8))


@pytest.mark.parametrize("out", [np.zeros((1, 8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.int8)])
def test_what_is_not_the_input_tensor_is_refused(out):
    with pytest.raises(InputError, match="input tensor"):
        Preprocessor(InputSpec(width=8, height=8))(np.zeros((4, 4, 3), np.uint8), out)


@pytest.mark.parametrize("opencv", [False, True])
@pytest.mark.parametrize("channels", ["bgr", "rgb"])
@pytest.mark.parametrize("dtype", [np.int8, np.float32])
def test_no_picture_is_allocated_once_the_size_is_known(opencv, channels, dtype):
    if opencv:
        pytest.importorskip("cv2")
    spec = InputSpec(width=456, height=256, channels=channels)  # 350 KB a picture
    preprocess, out, frame = Preprocessor(spec, opencv=opencv), tensor(spec, dtype), random_picture(1281, 719)
    preprocess(frame, out)
    tracemalloc.start()
    try:
        preprocess(frame, out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000  # NumPy's own cast buffer is 64 KB
