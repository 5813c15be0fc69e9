from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.train.data.augment import Augmentation, move_people, random_affine, relight, warp
from export.train.data.examples import halved
from rpi_runtime.errors import InputError

NETWORK = (160, 120)


@given(seed=st.integers(0, 1000), x=st.integers(20, 300), y=st.integers(20, 200))
def test_a_keypoint_goes_where_its_pixel_goes(seed: int, x: int, y: int) -> None:
    """Draw a dot, move picture and keypoint: the dot's middle is where the keypoint says."""
    rng = np.random.default_rng(seed)
    picture = np.full((240, 320, 3), 128, np.uint8)  # as what is round it
    picture[y - 4 : y + 5, x - 4 : x + 5] = 255
    affine = random_affine(rng, Augmentation(), (320, 240), NETWORK, None)
    person = np.zeros((1, 18, 3))
    person[0, 1] = (x, y, 2)  # the neck has no mirror image
    moved = move_people(person, affine, NETWORK)[0, 1]
    inner = (moved[:2] > 12) & (moved[:2] < np.array(NETWORK) - 13)
    if not inner.all():
        return
    bright = warp(halved(picture), affine, NETWORK)[..., 0] - 128.0
    window = bright[int(moved[1]) - 12 : int(moved[1]) + 13, int(moved[0]) - 12 : int(moved[0]) + 13]
    ys, xs = np.mgrid[int(moved[1]) - 12 : int(moved[1]) + 13, int(moved[0]) - 12 : int(moved[0]) + 13]
    assert (window * xs).sum() / window.sum() == pytest.approx(moved[0], abs=0.6)
    assert (window * ys).sum() / window.sum() == pytest.approx(moved[1], abs=0.6)


@pytest.mark.parametrize("scale", [0.5, 0.3, 0.1, 0.05])
def test_noise_too_fine_for_the_input_averages_out(scale: float) -> None:
    """A pixel of the input is the mean of those that it covers, at every size, not one picked from among them."""
    picture = np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), np.uint8)
    affine = np.array([[scale, 0, 0], [0, scale, 0]])
    small = warp(halved(picture), affine, (int(1600 * scale), int(1200 * scale)))[5:-5, 5:-5]
    assert small.mean() == pytest.approx(127.5, abs=2)
    # a mean over 1 / scale^2 pixels has scale times the deviation
    assert small.std() < 1.5 * scale * picture.std()
    if scale <= 0.1:
        once = warp(halved(picture)[:2], affine, (int(1600 * scale), int(1200 * scale)))[5:-5, 5:-5]
        assert once.std() > 1.5 * scale * picture.std()


def test_halves_follow_each_other_down_to_the_size_of_an_input() -> None:
    shapes = [p.shape[:2] for p in halved(np.zeros((601, 800, 3), np.uint8))]
    assert shapes == [(601, 800), (301, 400), (151, 200), (76, 100)]


def test_mirrored_people_swap_sides() -> None:
    person = np.zeros((1, 18, 3))
    person[0, 2], person[0, 5] = (10, 50, 2), (100, 50, 2)
    mirror = np.array([[-1.0, 0, 159], [0, 1, 0]])
    moved = move_people(person, mirror, NETWORK)
    assert moved[0, 5].tolist() == [149, 50, 2]
    assert moved[0, 2].tolist() == [59, 50, 2]


def test_keypoints_outside_are_not_labelled() -> None:
    person = np.full((1, 18, 3), 2.0)
    person[0, 0] = (-1, 5, 2)
    moved = move_people(person, np.eye(2, 3), NETWORK)
    assert moved[0, :, 2].tolist() == [0.0] + [2.0] * 17


def test_the_same_seed_gives_the_same_picture() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    one, two = (relight(np.random.default_rng(5), Augmentation(), picture) for _ in range(2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, picture)


def test_senseless_scale_is_refused() -> None:
    with pytest.raises(InputError, match="smallest <= largest"):
        Augmentation(scale=(2.0, 1.0))
