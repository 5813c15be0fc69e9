"""A crop's maps and the card in, a person in image pixels out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from rpi_runtime.decode.crops import select_people
from rpi_runtime.decode.maps import partners
from rpi_runtime.decode.topdown import TopdownDecoder
from rpi_runtime.errors import CardError, InputError, UsageError
from rpi_runtime.model.card import InputSpec, ModelCard, OutputSpec, Skeleton
from rpi_runtime.model.decoders import TopdownSettings
from rpi_runtime.model.inference import Quantization
from rpi_runtime.poses import Pose
from rpi_runtime.preprocess.letterbox import Transform
from tests.cython_ext.openpose import quantize
from tests.cython_ext.test_topdown import SIGMAS
from tests.rpi_runtime.toys import CARD as PAF_CARD

PAIRS = tuple((k, k + 1) for k in range(1, 17, 2))
CARD = ModelCard(
    name="crops",
    input=InputSpec(width=192, height=256, fit="crop", pad_value=0),
    skeleton=Skeleton(keypoints=tuple(f"k{i}" for i in range(17)), sigmas=tuple(SIGMAS.tolist())),
    outputs=(OutputSpec(name="heatmaps", role="heatmaps", channels=17, stride=4),),
    decoder=TopdownSettings(flip_pairs=PAIRS),
)
HALF = Transform(scale_x=0.5, scale_y=0.5, pad_x=-40.25, pad_y=10.0)


def drawn(points: NDArray[np.float64], transform: Transform, height: float = 0.9) -> NDArray[np.float32]:
    """Maps as a perfect network would give them for keypoints (17, 2) of the image."""
    cells = (transform.to_network(points.astype(np.float32)) - 0.5) / 4
    rows, columns = np.mgrid[:64, :48]
    square = (columns[..., None] - cells[:, 0]) ** 2 + (rows[..., None] - cells[:, 1]) ** 2
    return (height * np.exp(-square / 8)).astype(np.float32)


def people(seed: int = 0) -> NDArray[np.float64]:
    """Keypoints of the image that lie on the crop, some cells from its border."""
    on_crop = np.random.default_rng(seed).uniform((12, 12), (180, 244), (17, 2))
    return HALF.to_image(on_crop.astype(np.float32)).astype(np.float64)


@pytest.mark.parametrize("beta", [None, 20.0])
def test_keypoints_come_back_to_where_they_are_in_the_image(beta: float | None) -> None:
    spec = dataclasses.replace(CARD.decoder, beta=beta, quarter_offset=beta is None)  # type: ignore[arg-type]
    points = people()
    pose = TopdownDecoder(CARD, settings=spec).decode(drawn(points, HALF), HALF, box_score=0.5)
    cell = 4 / 0.5  # pixels of the image
    assert np.abs(pose.keypoints[:, :2] - points).max() < (0.51 if beta is None else 0.1) * cell
    assert pose.score == pytest.approx(0.5 * pose.keypoints[:, 2].mean())
    assert pose.found.all()


def test_equals_the_original_on_every_case(shared: Path) -> None:
    soft = dataclasses.replace(CARD.decoder, beta=160.0)  # type: ignore[arg-type]
    for path in sorted((shared / "fixtures" / "topdown_decode").glob("case*.npz")):
        case = np.load(path)
        width, height = 4 * case["heatmaps"].shape[3], 4 * case["heatmaps"].shape[2]
        card = dataclasses.replace(CARD, input=dataclasses.replace(CARD.input, width=width, height=height))
        for name, spec in (("quarter", CARD.decoder), ("softargmax160_quarter", soft)):
            decode = TopdownDecoder(card, "exact", settings=spec)  # type: ignore[arg-type]
            for i, matrix in enumerate(case["affine_image_to_input"]):
                # pixel indices become continuous: the centre of pixel 0 is at 0.5
                scale, shift = matrix[0, 0], matrix[:, 2] + 0.5 - 0.5 * matrix[0, 0]
                transform = Transform(scale_x=scale, scale_y=scale, pad_x=shift[0], pad_y=shift[1])
                pose = decode.decode(np.ascontiguousarray(case["heatmaps"][i].transpose(1, 2, 0)), transform)
                expected = case[f"preds_{name}"][i][pose.found] + 0.5
                assert_allclose(pose.keypoints[pose.found, :2], expected, atol=2e-3)


def test_keypoints_below_the_threshold_are_not_found_but_by_the_papers() -> None:
    maps = drawn(people(), HALF)
    maps[..., 3] *= 0.1
    maps[..., 4] = -1
    fast = TopdownDecoder(CARD).decode(maps, HALF)
    exact = TopdownDecoder(CARD, "exact").decode(maps, HALF)
    assert np.flatnonzero(~fast.found).tolist() == [3, 4]
    assert np.flatnonzero(~exact.found).tolist() == [4]
    assert fast.score == exact.score
    assert_array_equal(fast.keypoints[3], 0)
    nothing = TopdownDecoder(CARD).decode(np.zeros_like(maps), HALF)
    assert nothing.score == 0 and not nothing.found.any()


def test_int8_maps_give_nearly_the_same() -> None:
    maps = drawn(people(), HALF)
    quantization = Quantization(scale=1 / 250, zero_point=-120)
    decode = TopdownDecoder(CARD)
    real = decode.decode(maps, HALF).keypoints
    stored = decode.decode(quantize(maps, 1 / 250, -120)[None], HALF, quantization).keypoints
    assert np.abs(real - stored)[:, :2].max() <= 4 / 0.5  # a tie may move by a cell
    assert np.abs(real - stored)[:, 2].max() < 1 / 200


def test_a_mirrored_crop_is_averaged_in() -> None:
    points = people()
    maps = drawn(points, HALF)
    mirrored = np.empty_like(maps)
    mirrored[:, 1:] = maps[:, :0:-1]  # one column to the left when mirrored back
    mirrored[:, 0] = 0
    mirrored = mirrored[..., partners(PAIRS, 17)]
    decode = TopdownDecoder(CARD)
    alone = decode.decode(maps, HALF).keypoints
    assert_array_equal(decode.decode(maps, HALF, flipped=mirrored).keypoints, alone)
    half = decode.decode(maps, HALF, flipped=np.zeros_like(maps)).keypoints
    assert_allclose(half[:, 2], alone[:, 2] / 2)


def test_of_two_people_who_are_the_same_the_surer_one_stays() -> None:
    maps = drawn(people(), HALF)
    decode = TopdownDecoder(CARD)
    poses = [decode.decode(maps, HALF, box_score=s) for s in (0.3, 0.8)]
    poses.append(decode.decode(drawn(people(1), HALF), HALF, box_score=0.5))
    assert select_people(CARD, poses, [HALF] * 3) == (1, 2)
    assert select_people(CARD, [], []) == ()
    bare = dataclasses.replace(CARD, skeleton=dataclasses.replace(CARD.skeleton, sigmas=()))
    assert select_people(bare, poses, [HALF] * 3) == (1, 2, 0)


def test_refusals() -> None:
    with pytest.raises(CardError, match="its decoder is 'paf', expected 'topdown'"):
        TopdownDecoder(PAF_CARD)
    with pytest.raises(UsageError, match="decoder mode 'slow'"):
        TopdownDecoder(CARD, "slow")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="cannot decode: maps of shape"):
        TopdownDecoder(CARD).decode(np.zeros((4, 4), np.float32), HALF)
    with pytest.raises(InputError, match="cannot decode: scale 0"):
        TopdownDecoder(CARD).decode(np.zeros((4, 4, 17), np.int8), HALF)


def test_pose_owns_its_keypoints() -> None:
    decode = TopdownDecoder(CARD)
    first: Pose = decode.decode(drawn(people(), HALF), HALF)
    kept = first.keypoints.copy()
    decode.decode(drawn(people(1), HALF), HALF)
    assert_array_equal(first.keypoints, kept)


@pytest.mark.parametrize("mode", ["fast", "exact"])
def test_maps_that_are_not_numbers_give_finite_poses(mode):
    rng = np.random.default_rng(5)
    for _ in range(200):
        maps = rng.uniform(-1, 1, (64, 48, 17)).astype(np.float32)
        holes = rng.random(maps.shape) < rng.choice([0.001, 0.1, 1.0])
        maps[holes] = rng.choice(np.float32([np.nan, np.inf, -np.inf, 3e38]), int(holes.sum()))
        pose = TopdownDecoder(CARD, mode).decode(maps, HALF)
        assert np.isfinite(pose.keypoints).all()
        assert np.isfinite(pose.score)
