"""The NumPy resizer against OpenCV, and both against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpi_runtime.preprocess.resize import Resizer, resize_into, stages

sides = st.integers(1, 97)
PICTURE_SIZES = [(480, 640), (481, 641), (479, 639), (432, 768), (1, 1), (1, 640), (333, 2), (37, 53)]
TARGET_SIZES = [(120, 160), (240, 320), (256, 456), (90, 160), (1, 1), (7, 3)]


def random_picture(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def difference(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b).max())


@settings(max_examples=300, deadline=None)
@given(source=st.tuples(sides, sides), target=st.tuples(sides, sides), seed=st.integers(0, 2**32 - 1))
def test_numpy_agrees_with_opencv_within_1(source, target, seed):
    pytest.importorskip("cv2", reason="compares with OpenCV")
    picture = random_picture(source, seed)
    by_opencv, by_numpy = np.zeros((2, *target, 3), np.uint8)
    resize_into(picture, by_opencv, opencv=True)
    resize_into(picture, by_numpy, opencv=False)
    assert difference(by_opencv, by_numpy) <= 1


@pytest.mark.parametrize("source", PICTURE_SIZES)
@pytest.mark.parametrize("target", TARGET_SIZES)
def test_numpy_agrees_with_opencv_at_camera_sizes(source, target):
    pytest.importorskip("cv2", reason="compares with OpenCV")
    picture = random_picture(source)
    by_opencv, by_numpy = np.zeros((2, *target, 3), np.uint8)
    resize_into(picture, by_opencv, opencv=True)
    resize_into(picture, by_numpy, opencv=False)
    assert difference(by_opencv, by_numpy) <= 1


@pytest.mark.parametrize("opencv", [False, True])
def test_two_halvings_are_area_averaging_within_1(opencv):
    if opencv:
        pytest.importorskip("cv2")
    picture = random_picture((480, 640))
    small = np.zeros((120, 160, 3), np.uint8)
    resize_into(picture, small, opencv=opencv)
    area = picture.reshape(120, 4, 160, 4, 3).mean(axis=(1, 3))
    assert np.abs(small - area).max() <= 1


@pytest.mark.parametrize("opencv", [False, True])
@pytest.mark.parametrize("source", [(64, 48), (63, 49), (20, 31), (128, 192)])
def test_writes_in_place_into_a_view_and_nowhere_else(source, opencv):
    if opencv:
        pytest.importorskip("cv2")
    canvas = np.full((40, 60, 3), 7, np.uint8)
    view = canvas[4:36, 6:54]
    expected = np.zeros(view.shape, np.uint8)
    picture = random_picture(source)
    resize_into(picture, expected, opencv=opencv)
    resize_into(picture, view, opencv=opencv)
    assert np.array_equal(canvas[4:36, 6:54], expected)
    canvas[4:36, 6:54] = 7
    assert (canvas == 7).all()


@pytest.mark.parametrize("opencv", [False, True])
def test_reads_padded_rows(opencv):
    if opencv:
        pytest.importorskip("cv2")
    buffer = random_picture((50, 80))
    padded = buffer[:, :70]
    a, b = np.zeros((2, 21, 33, 3), np.uint8)
    resize_into(padded, a, opencv=opencv)
    resize_into(padded.copy(), b, opencv=opencv)
    assert np.array_equal(a, b)


@pytest.mark.parametrize("opencv", [False, True])
def test_a_resizer_keeps_nothing_of_the_last_picture(opencv):
    if opencv:
        pytest.importorskip("cv2")
    resize = Resizer((45, 61), (17, 12), opencv=opencv)
    first, second, again = np.zeros((3, 17, 12, 3), np.uint8)
    resize(random_picture((45, 61), 1), first)
    resize(random_picture((45, 61), 2), second)
    resize(random_picture((45, 61), 1), again)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)


@given(source=st.tuples(sides, sides), target=st.tuples(sides, sides))
def test_stages_end_at_the_target_and_shrink_by_less_than_two_at_last(source, target):
    sizes = stages(source, target)
    assert sizes[0] == source and sizes[-1] == target
    if len(sizes) > 1:
        for old, new in zip(sizes[-2], sizes[-1], strict=True):
            assert old < 4 or old < 2 * new or new * 2 == old or old // 2 == new


@given(size=st.tuples(sides, sides), target=st.tuples(sides, sides), value=st.integers(0, 255))
def test_a_flat_picture_stays_flat(size, target, value):
    out = np.zeros((*target, 3), np.uint8)
    resize_into(np.full((*size, 3), value, np.uint8), out, opencv=False)
    assert (out == value).all()
