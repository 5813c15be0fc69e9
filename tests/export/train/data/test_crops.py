from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from export.train.data.augment import Augmentation, square_affine
from export.train.data.crops import Crops, crop_affine, random_crop
from rpi_runtime.errors import InputError
from rpi_runtime.model.card import InputSpec
from rpi_runtime.preprocess.crop import crop_transform

NETWORK = (192, 256)
BOX = (40.0, 30.0, 50.0, 120.0)
STILL = Crops(scale=0.0, rotated=0.0, flip=0.0)
PERSON = np.column_stack((np.linspace(50, 80, 17), np.linspace(40, 140, 17), np.full(17, 2.0)))


def corners(affine: np.ndarray) -> np.ndarray:
    """Where the crop's corners lie in the picture."""
    ends = np.array([[0.0, 0], [192, 0], [0, 256], [192, 256]])
    return np.linalg.solve(affine[:, :2], (ends - affine[:, 2]).T).T


def test_a_still_crop_is_the_runtimes() -> None:
    affine = random_crop(np.random.default_rng(0), STILL, BOX, PERSON, NETWORK)
    transform = crop_transform(BOX, InputSpec(width=192, height=256, fit="crop"))
    points = np.array([[3.0, 4.0], [77.0, 120.0]])
    moved = points @ affine[:, :2].T + affine[:, 2]
    # the runtime's positions are half a pixel beyond indices
    wanted = transform.to_network((points + 0.5).astype(np.float32)) - 0.5
    assert moved == pytest.approx(wanted, abs=1e-3)


def test_a_mirrored_crop_turns_about_its_middle() -> None:
    plain = crop_affine(np.array([65.0, 90.0]), 100.0, NETWORK, angle=20.0)
    mirrored = crop_affine(np.array([65.0, 90.0]), 100.0, NETWORK, angle=20.0, mirror=True)
    point = np.array([50.0, 60.0, 1.0])
    (x, y), (other_x, other_y) = plain @ point, mirrored @ point
    assert (other_x, other_y) == pytest.approx((192 - x, y))


def test_half_a_body_fills_the_crop() -> None:
    whole = random_crop(np.random.default_rng(0), STILL, BOX, PERSON, NETWORK)
    heights = set()
    for seed in range(20):
        affine = random_crop(np.random.default_rng(seed), replace(STILL, half_body=1.0), BOX, PERSON, NETWORK)
        assert np.linalg.det(affine[:, :2]) > 1.5 * np.linalg.det(whole[:, :2])
        heights.add(round(float(corners(affine)[:, 1].mean()), 1))
    upper, lower = PERSON[:11, 1].mean(), PERSON[11:, 1].mean()
    assert heights == {round(float(upper), 1), round(float(lower), 1)}


def test_half_a_body_needs_more_than_a_few_keypoints() -> None:
    person = PERSON.copy()
    person[:9, 2] = 0
    spec = replace(STILL, half_body=1.0)
    one, two = (random_crop(np.random.default_rng(0), s, BOX, person, NETWORK) for s in (spec, STILL))
    assert np.array_equal(one, two)


def test_jitter_moves_the_box_by_parts_of_its_sides() -> None:
    middles = []
    for seed in range(200):
        affine = random_crop(np.random.default_rng(seed), replace(STILL, jitter=1.0), BOX, PERSON, NETWORK)
        middles.append(corners(affine).mean(axis=0))
    reach = np.abs(np.array(middles) - [65, 90]).max(axis=0)
    assert reach == pytest.approx([10, 24], rel=0.05)
    assert (reach <= [10 + 1e-6, 24 + 1e-6]).all()


def test_sizes_and_turns_end_where_they_should() -> None:
    spec = Crops(scale=0.3, rotation=40.0, rotated=1.0, flip=0.0)
    sizes, turns = [], []
    for seed in range(300):
        affine = random_crop(np.random.default_rng(seed), spec, BOX, PERSON, NETWORK)
        sizes.append(192 / np.sqrt(np.linalg.det(affine[:, :2])) / (1.25 * 120 * 192 / 256))
        turns.append(np.degrees(np.arctan2(affine[1, 0], affine[0, 0])))
    assert (min(sizes), max(sizes)) == pytest.approx((0.7, 1.3))
    assert max(np.abs(turns)) == pytest.approx(80)


def test_squares_are_parts_of_the_short_side() -> None:
    spec = Augmentation(scale=(1 / 1.5, 1 / 0.75), rotation=30.0, shift=0.2)
    sides = []
    for seed in range(300):
        affine = square_affine(np.random.default_rng(seed), spec, (640, 480), (384, 384))
        side = 384 / np.sqrt(abs(np.linalg.det(affine[:, :2])))
        middle = np.linalg.solve(affine[:, :2], np.array([192, 192]) - affine[:, 2])
        assert (np.abs(middle - [320, 240]) <= 0.2 * side + 1e-6).all()
        sides.append(side / 480)
    assert (min(sides), max(sides)) == pytest.approx((0.75, 1.5), rel=0.02)


def test_senseless_crops_are_refused() -> None:
    with pytest.raises(InputError, match="expected 0 to 1"):
        Crops(scale=1.0)
