"""Maps and card in, poses in image pixels out: coordinates, options, refusals."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from cython_ext import reference
from rpi_runtime.decode.paf import PafDecoder, PafOptions, limb_rules, peak_rules
from rpi_runtime.errors import CardError, InputError, UsageError
from rpi_runtime.model.card import InputSpec, ModelCard, OutputSpec, Skeleton
from rpi_runtime.model.decoders import Limb, PafSettings
from rpi_runtime.model.inference import Quantization
from rpi_runtime.poses import Pose
from rpi_runtime.preprocess.letterbox import Preprocessor, Transform
from tests.cython_ext.openpose import FIGURE, KEYPOINTS, LIMBS, crowd, draw_people, quantize

STRIDE = 8
IDENTITY = Transform(scale_x=1.0, scale_y=1.0, pad_x=0, pad_y=0)
CARD = ModelCard(
    name="drawn",
    input=InputSpec(width=456, height=256),
    skeleton=Skeleton(keypoints=tuple(f"k{i}" for i in range(KEYPOINTS))),
    outputs=(
        OutputSpec(name="h", role="heatmaps", channels=19, stride=STRIDE),
        OutputSpec(name="p", role="pafs", channels=38, stride=STRIDE),
    ),
    decoder=PafSettings(
        limbs=tuple(Limb(a=a, b=b, paf_x=x, paf_y=y, fill_only=f) for a, b, x, y, f in LIMBS)
    ),
)
MODES = [PafOptions(), PafOptions(mode="exact"), PafOptions(mode="exact", upsample=8)]
EVERY_MODE = pytest.mark.parametrize("options", MODES, ids=["fast", "x4", "x8"])


def figures_in_image(frame: tuple[int, int], count: int) -> NDArray[np.float64]:
    """Keypoints of `count` people beside each other in an image of (W, H), in its pixels; (count, 18, 2)."""
    width, height = frame
    torso = 0.241 * height
    # Off the middle: the reference sees no peak where two pixels have the very same value.
    centres = (np.arange(count) + 0.493) / count * width
    return FIGURE * torso + np.stack([centres, np.full(count, 0.2537 * height)], axis=1)[:, None]


def rendered(frame: tuple[int, int], people: NDArray[np.float64]) -> tuple[NDArray, NDArray, Transform]:  # type: ignore[type-arg]
    """Maps as a perfect network would give them for people in an image, and the image's transform."""
    spec = CARD.input
    canvas = np.empty((1, spec.height, spec.width, 3), np.float32)
    transform = Preprocessor(spec)(np.zeros((frame[1], frame[0], 3), np.uint8), canvas)
    network = transform.to_network(people.astype(np.float32))
    cells = network / STRIDE - 0.5  # the centre of the first cell is (0, 0)
    return *draw_people(cells.astype(float), (spec.height // STRIDE, spec.width // STRIDE)), transform


def by_column(poses: tuple[Pose, ...]) -> list[Pose]:
    return sorted(poses, key=lambda pose: float(pose.keypoints[1, 0]))


@EVERY_MODE
@pytest.mark.parametrize("frame", [(640, 480), (481, 1001), (1920, 1080), (100, 57)], ids=str)
def test_keypoints_come_back_to_where_they_are_in_the_image(
    options: PafOptions, frame: tuple[int, int]
) -> None:
    people = figures_in_image(frame, 1 if frame[1] > frame[0] else 2)
    heatmaps, pafs, transform = rendered(frame, people)
    poses = by_column(PafDecoder(CARD, options).decode(heatmaps, pafs, transform))
    assert len(poses) == len(people)
    # A whole pixel of the upsampled map, in pixels of the image; the fast mode is closer than that.
    pixel = (
        STRIDE
        / (options.upsample if options.mode == "exact" else 8)
        / min(transform.scale_x, transform.scale_y)
    )
    for pose, person in zip(poses, people, strict=True):
        assert pose.found.all()
        assert pose.keypoints.dtype == np.float32
        error = pose.keypoints[:, :2] - person
        assert np.abs(error).max() < 1.5 * pixel
        # No systematic shift: half a pixel somewhere would show here.
        assert np.abs(error.mean(axis=0)).max() < 0.35 * pixel


@EVERY_MODE
def test_coordinates_are_those_of_the_transform(options: PafOptions) -> None:
    heatmaps, pafs = crowd(5, (32, 57))
    transform = Transform(scale_x=0.53, scale_y=0.55, pad_x=7, pad_y=13)
    poses = PafDecoder(CARD, options).decode(heatmaps, pafs, transform)
    peaks = reference.find_peaks(heatmaps, peak_rules(CARD, options))
    upsample = options.upsample if options.mode == "exact" else 0
    people = reference.group(peaks, pafs, limb_rules(CARD, options), upsample_by=upsample)
    assert len(poses) == len(people.score) > 2
    cell = np.float32(STRIDE / (upsample or 1))
    for pose, rows, score in zip(poses, people.peaks, people.score, strict=True):
        assert pose.score == score
        found = rows >= 0
        expected = transform.to_image((peaks.table[rows[found], :2] + np.float32(0.5)) * cell)
        np.testing.assert_allclose(pose.keypoints[found, :2], expected, rtol=1e-6)
        np.testing.assert_array_equal(pose.keypoints[found, 2], peaks.table[rows[found], 2])
        np.testing.assert_array_equal(pose.keypoints[~found], 0)


@EVERY_MODE
def test_int8_maps_give_what_their_real_values_give(options: PafOptions) -> None:
    heatmaps, pafs = crowd(8, (32, 57))
    h, p = Quantization(scale=1 / 200, zero_point=-100), Quantization(scale=1 / 120, zero_point=3)
    stored = quantize(heatmaps, h.scale, h.zero_point), quantize(pafs, p.scale, p.zero_point)
    real, fields = (
        reference.dequantize(m, q.scale, q.zero_point) for m, q in zip(stored, (h, p), strict=True)
    )
    decoder = PafDecoder(CARD, options)
    expected = PafDecoder(CARD, options).decode(real, fields, IDENTITY)
    poses = decoder.decode(stored[0][None], stored[1][None], IDENTITY, h, p)
    assert len(poses) == len(expected) > 4
    for pose, other in zip(poses, expected, strict=True):
        np.testing.assert_array_equal(pose.keypoints, other.keypoints)
        assert pose.score == other.score


def test_poses_outlive_the_next_call() -> None:
    decoder = PafDecoder(CARD)
    (first,) = decoder.decode(*crowd(1, (32, 57)), IDENTITY)
    copy = first.keypoints.copy()
    decoder.decode(*crowd(9, (32, 57)), IDENTITY)
    np.testing.assert_array_equal(first.keypoints, copy)


def test_nobody_is_an_empty_tuple() -> None:
    maps = np.zeros((32, 57, 19), np.float32), np.zeros((32, 57, 38), np.float32)
    assert PafDecoder(CARD).decode(*maps, IDENTITY) == ()


@EVERY_MODE
def test_maps_that_are_not_finite_do_no_harm(options: PafOptions) -> None:
    heatmaps, pafs = crowd(3, (32, 57))
    decoder = PafDecoder(CARD, options)
    for value in (np.nan, np.inf, -np.inf):
        assert decoder.decode(np.full_like(heatmaps, value), np.full_like(pafs, value), IDENTITY) == ()
        broken = heatmaps.copy()
        broken[::5, ::7] = value
        broken_pafs = pafs.copy()
        broken_pafs[::3, ::4] = value
        for pose in decoder.decode(broken, broken_pafs, IDENTITY):
            assert np.isfinite(pose.keypoints).all()
            assert np.isfinite(pose.score)


@EVERY_MODE
def test_saturated_int8_maps_do_no_harm(options: PafOptions) -> None:
    q = Quantization(scale=1 / 128, zero_point=0)
    for value in (-128, 127):
        maps = np.full((32, 57, 19), value, np.int8), np.full((32, 57, 38), value, np.int8)
        poses = PafDecoder(CARD, options).decode(*maps, IDENTITY, q, q)
        assert len(poses) == 0


def test_fifty_people() -> None:
    poses = PafDecoder(CARD).decode(*crowd(50, (80, 140)), IDENTITY)
    assert 35 <= len(poses) <= 65


def test_thresholds_come_from_the_card_and_can_be_overridden() -> None:
    heatmaps, pafs = crowd(3, (32, 57))
    assert len(PafDecoder(CARD).decode(heatmaps, pafs, IDENTITY)) == 3
    for change in (
        {"peak_threshold": 2.0},
        {"limb_threshold": 2.0},
        {"min_keypoints": 19},
        {"min_score": 9.0},
    ):
        stricter = dataclasses.replace(CARD.decoder, **change)  # type: ignore[arg-type]
        assert PafDecoder(CARD, settings=stricter).decode(heatmaps, pafs, IDENTITY) == ()
        card = dataclasses.replace(CARD, decoder=stricter)
        assert PafDecoder(card).decode(heatmaps, pafs, IDENTITY) == ()


@pytest.mark.parametrize(
    ("fraction", "points"), [(0.9, 9), (0.7, 7), (0.3, 3), (0.85, 9), (1.0, 10), (0.01, 1)]
)
def test_limb_fraction_is_a_number_of_points(fraction: float, points: int) -> None:
    spec = dataclasses.replace(CARD.decoder, limb_fraction=fraction)
    assert limb_rules(CARD, PafOptions(), spec).limb_points == points


def test_read_takes_maps_and_quantization_from_a_model() -> None:
    heatmaps, pafs = crowd(3, (32, 57))
    q = {
        "heatmaps": Quantization(scale=0.005, zero_point=-90),
        "pafs": Quantization(scale=0.01, zero_point=0),
    }
    real = {"heatmaps": heatmaps, "pafs": pafs}
    stored = {role: quantize(real[role], q[role].scale, q[role].zero_point)[None] for role in q}
    model = SimpleNamespace(output=stored.__getitem__, quantization=q.__getitem__)
    poses = PafDecoder(CARD).read(model, IDENTITY)  # type: ignore[arg-type]
    expected = PafDecoder(CARD).decode(stored["heatmaps"], stored["pafs"], IDENTITY, *q.values())
    assert len(poses) == len(expected) == 3
    for pose, other in zip(poses, expected, strict=True):
        np.testing.assert_array_equal(pose.keypoints, other.keypoints)


@pytest.mark.parametrize(
    ("heatmaps", "pafs", "scale", "message"),
    [
        (np.zeros((4, 4, 19), np.int8), np.zeros((4, 4, 38), np.int8), 0.0, "scale 0.0"),
        (np.zeros((4, 4, 19), np.int8), np.zeros((4, 4, 38), np.int8), -0.5, "scale -0.5"),
        (np.zeros((4, 4, 19), np.float32), np.zeros((4, 5, 38), np.float32), 0.0, "same height and width"),
        (np.zeros((4, 4, 17), np.float32), np.zeros((4, 4, 38), np.float32), 0.0, "C at least 18"),
        (np.zeros((4, 4, 19), np.float32), np.zeros((4, 4, 20), np.float32), 0.0, "C at least 38"),
        (
            np.zeros((2, 4, 4, 19), np.float32),
            np.zeros((2, 4, 4, 38), np.float32),
            0.0,
            r"shape \(2, 4, 4, 19\)",
        ),
        (np.zeros((4, 4, 19)), np.zeros((4, 4, 38)), 0.0, "maps of float64"),
    ],
)
def test_refuses_maps(heatmaps: NDArray, pafs: NDArray, scale: float, message: str) -> None:  # type: ignore[type-arg]
    q = Quantization(scale=scale, zero_point=0)
    with pytest.raises(InputError, match=message):
        PafDecoder(CARD).decode(heatmaps, pafs, IDENTITY, q, q)


@pytest.mark.parametrize("wrong", [{"mode": "slow"}, {"upsample": 2}, {"suppression": "size"}])
def test_refuses_options(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=str(next(iter(wrong.values())))):
        PafOptions(**wrong)  # type: ignore[arg-type]


def test_refuses_cards() -> None:
    strides = tuple(dataclasses.replace(o, stride=4) if o.role == "pafs" else o for o in CARD.outputs)
    with pytest.raises(CardError, match="strides"):
        PafDecoder(dataclasses.replace(CARD, outputs=strides))
    with pytest.raises(CardError, match=r"peak_threshold -0\.1"):
        PafDecoder(CARD, settings=dataclasses.replace(CARD.decoder, peak_threshold=-0.1))
    ring = dataclasses.replace(CARD.decoder, limbs=(Limb(a=1, b=1, paf_x=0, paf_y=1),))
    with pytest.raises(CardError, match="two ends"):
        PafDecoder(CARD, settings=ring)


def test_missing_kernels_are_an_error_that_says_how_to_build_them() -> None:
    code = "import sys; sys.modules['cython_ext._paf'] = None\nimport rpi_runtime.decode.paf"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("rpi_runtime.errors.DependencyError: the compiled kernels")
    assert "-m pip install" in run.stderr
