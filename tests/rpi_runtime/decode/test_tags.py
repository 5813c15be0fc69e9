"""Heatmaps and tags of a frame in, poses in image pixels out."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from cython_ext import reference_tags as reference
from rpi_runtime.decode.choose import decoder_for
from rpi_runtime.decode.maps import partners
from rpi_runtime.decode.mode import Mode
from rpi_runtime.decode.tags import TagDecoder, tag_rules
from rpi_runtime.errors import CardError, InputError, UsageError
from rpi_runtime.model.card import InputSpec, ModelCard, OutputSpec, Skeleton
from rpi_runtime.model.decoders import TagSettings
from rpi_runtime.model.inference import Quantization
from rpi_runtime.poses import Pose
from rpi_runtime.preprocess.letterbox import Transform
from tests.cython_ext.openpose import quantize
from tests.rpi_runtime.decode.test_topdown import CARD as CROPS
from tests.rpi_runtime.toys import CARD as PAF_CARD

PAIRS = tuple((k, k + 1) for k in range(1, 17, 2))
TRANSFORM = Transform(scale_x=0.5, scale_y=0.52, pad_x=0, pad_y=7)


def card(width: int = 192, height: int = 128, *, tags: tuple[int, ...] = (4,)) -> ModelCard:
    """A card as EfficientHRNet's, with tags at these strides."""
    places = [("heatmaps", 4), ("heatmaps", 2), *(("tags", stride) for stride in tags)]
    outputs = tuple(OutputSpec(name=f"{r}_{s}", role=r, channels=17, stride=s) for r, s in places)  # type: ignore[arg-type]
    return ModelCard(
        name="tagged",
        input=InputSpec(width=width, height=height, pad_value=0),
        skeleton=Skeleton(keypoints=tuple(f"k{i}" for i in range(17))),
        outputs=outputs,
        decoder=TagSettings(joint_order=tuple(range(17)), flip_pairs=PAIRS),
    )


def people(count: int, seed: int = 0) -> NDArray[np.float64]:
    """Keypoints of people side by side on the network's input, (count, 17, 2)."""
    rng = np.random.default_rng(seed)
    middle = (np.arange(count) + 0.5) * 192 / count
    spread = rng.uniform(-0.42, 0.42, (count, 17, 2)) * (192 / count, 110)
    return np.stack([middle, np.full(count, 64.0)], axis=1)[:, None] + spread


def drawn(spec: ModelCard, at: NDArray[np.float64]) -> dict[str, NDArray[np.float32]]:
    """Outputs as a perfect network would give them: tags 3 apart."""
    outputs = {}
    for output in spec.outputs:
        size = spec.input.height // output.stride, spec.input.width // output.stride
        rows, columns = (np.mgrid[: size[0], : size[1]] + 0.5) * output.stride
        maps = np.zeros((*size, 17), np.float32)
        nearest = np.full((*size, 17), np.inf)
        for p, person in enumerate(at):
            square = (columns[..., None] - person[:, 0]) ** 2 + (rows[..., None] - person[:, 1]) ** 2
            if output.role == "heatmaps":
                maps = np.maximum(maps, np.exp(-square / 32)).astype(np.float32)
            else:
                maps = np.where(square < nearest, np.float32(3 * p), maps)
                nearest = np.minimum(nearest, square)
        outputs[output.name] = maps
    return outputs


def by_column(poses: tuple[Pose, ...]) -> list[Pose]:
    return sorted(poses, key=lambda pose: float(pose.keypoints[:, 0].mean()))


@pytest.mark.parametrize("mode", ["fast", "exact"])
@pytest.mark.parametrize("tags", [(4,), (4, 2)], ids=["ae1", "ae2"])
def test_keypoints_come_back_to_where_they_are_in_the_image(mode: Mode, tags: tuple[int, ...]) -> None:
    spec, at = card(tags=tags), people(3)
    poses = TagDecoder(spec, mode).decode(drawn(spec, at), TRANSFORM)
    assert len(poses) == 3
    for pose, person in zip(by_column(poses), at, strict=True):
        assert pose.found.all()
        off = pose.keypoints[:, :2] - TRANSFORM.to_image(person.astype(np.float32))
        assert np.abs(off).max() < 2.1 / 0.5  # a cell of stride 2, in pixels of the image
        assert np.abs(off).mean() < 0.6 / 0.5
        assert pose.score == pytest.approx(pose.keypoints[:, 2].mean(), abs=1e-6)


def test_fast_equals_the_oracle() -> None:
    spec, at = card(), people(4)
    outputs = drawn(spec, at)
    coarse, fine, tags = (reference.unpack(outputs[n], 17) for n in ("heatmaps_4", "heatmaps_2", "tags_4"))
    heatmaps = (reference.resize(coarse, fine.shape[1:]) + fine) * np.float32(0.5)
    expected = reference.group(heatmaps, tags[None], tag_rules(spec, "fast"))
    poses = TagDecoder(spec).decode(outputs, TRANSFORM)
    points = TRANSFORM.to_image(expected.points[..., :2] * np.float32(2))
    assert_array_equal(np.stack([p.keypoints[:, :2] for p in poses]), points)


@pytest.mark.parametrize("name", ["ae1_noflip", "ae1_flip", "ae2_noflip", "ae2_flip"])
def test_exact_aggregates_as_the_original(shared: Path, name: str) -> None:
    case = np.load(shared / "fixtures" / "ae_aggregate" / f"{name}.npz")
    width, height = (int(n) for n in case["size_wh"])
    height2, width2 = case["out1"].shape[2:]
    # the cases project to a size that is no multiple of the maps': a card whose input has that size
    spec = card(2 * width2, 2 * height2, tags=(4, 2) if "ae2" in name else (4,))
    sets = []
    for prefix in ("", "flip_")[: 1 + ("_flip" in name)]:
        coarse, fine = (case[prefix + o][0].transpose(1, 2, 0) for o in ("out0", "out1"))
        maps = {"heatmaps_4": coarse[..., :17], "tags_4": coarse[..., 17:], "heatmaps_2": fine[..., :17]}
        sets.append(maps | ({"tags_2": fine[..., 17:]} if "ae2" in name else {}))
    decode = TagDecoder(spec, "exact")
    heatmaps, tags = decode._merge(sets[0], {}, sets[1] if len(sets) > 1 else None)
    assert_allclose(reference.resize(heatmaps, (height, width)), case["heatmaps"][0], atol=2e-5)
    projected = reference.resize(tags, (height, width)).transpose(1, 2, 3, 0)
    assert projected.shape == case["tags"][0].shape
    # with both strides the original gives out0, out1, then those of the mirrored picture
    assert_allclose(projected, case["tags"][0], atol=2e-5)


def test_mirrored_outputs_are_averaged_in() -> None:
    spec, at = card(), people(2)
    outputs = drawn(spec, at)
    mirrored = {n: np.ascontiguousarray(m[:, ::-1][..., partners(PAIRS, 17)]) for n, m in outputs.items()}
    decode = TagDecoder(spec)
    alone = decode.decode(outputs, TRANSFORM)
    both = decode.decode(outputs, TRANSFORM, flipped=mirrored)
    assert len(both) == len(alone) == 2
    for one, other in zip(alone, both, strict=True):
        assert_allclose(one.keypoints, other.keypoints, atol=1e-5)
    assert len(decode.decode(outputs, TRANSFORM)) == 2


def test_int8_maps_give_nearly_the_same() -> None:
    spec, at = card(), people(3)
    outputs = drawn(spec, at)
    scales = {n: Quantization(scale=1 / 250 if "heat" in n else 0.05, zero_point=-128) for n in outputs}
    stored = {n: quantize(m, scales[n].scale, -128)[None] for n, m in outputs.items()}
    decode = TagDecoder(spec)
    real, quantized = (
        by_column(decode.decode(*a)) for a in ((outputs, TRANSFORM), (stored, TRANSFORM, scales))
    )
    for one, other in zip(real, quantized, strict=True):
        assert np.abs(one.keypoints - other.keypoints)[:, :2].max() < 2.1 / 0.5
        assert np.abs(one.keypoints - other.keypoints)[:, 2].max() < 0.01


def test_the_runtime_leaves_out_whom_the_card_calls_nobody() -> None:
    spec, at = card(), people(2)
    outputs = drawn(spec, at[:1])
    outputs["heatmaps_2"][:, 150:] = outputs["heatmaps_4"][:, 75:] = 0
    for name, cell in (("heatmaps_4", (20, 40)), ("heatmaps_2", (40, 80))):
        outputs[name][cell[0], cell[1], 5] = 0.9  # a keypoint alone
    outputs["tags_4"][20, 40, 5] = 50
    assert len(TagDecoder(spec).decode(outputs, TRANSFORM)) == 1
    assert len(TagDecoder(spec, "exact").decode(outputs, TRANSFORM)) == 2
    strict = dataclasses.replace(spec.decoder, min_keypoints=18)  # type: ignore[arg-type]
    assert TagDecoder(spec, settings=strict).decode(outputs, TRANSFORM) == ()  # type: ignore[arg-type]


def test_a_missing_keypoint_is_looked_up() -> None:
    spec, at = card(), people(1)
    outputs = drawn(spec, at)
    for name, tags in (("heatmaps_4", outputs["tags_4"]), ("heatmaps_2", outputs["tags_4"])):
        outputs[name][..., 3] *= 0.08 if name == "heatmaps_2" else 0.09
        assert not tags.any()
    fast, exact = (TagDecoder(spec, o).decode(outputs, TRANSFORM)[0] for o in get_args(Mode))
    assert not fast.found[3]  # below the threshold
    assert exact.found[3]
    assert np.linalg.norm(exact.keypoints[3, :2] - TRANSFORM.to_image(at[0, 3].astype(np.float32))) < 4


def test_refusals() -> None:
    with pytest.raises(CardError, match="its decoder is 'paf', expected 'tags'"):
        TagDecoder(PAF_CARD)
    with pytest.raises(UsageError, match="decoder mode 'slow'"):
        TagDecoder(card(), "slow")  # type: ignore[arg-type]
    spec = card()
    outputs = drawn(spec, people(1))
    with pytest.raises(InputError, match="cannot decode: planes of shape"):
        TagDecoder(spec).decode(outputs | {"tags_4": outputs["heatmaps_2"]}, TRANSFORM)
    with pytest.raises(InputError, match="cannot decode: 'tags_4'"):
        TagDecoder(spec).decode({n: m for n, m in outputs.items() if n != "tags_4"}, TRANSFORM)
    with pytest.raises(InputError, match="cannot decode: scale 0"):
        TagDecoder(spec).decode({n: m.astype(np.int8) for n, m in outputs.items()}, TRANSFORM)


def test_the_card_says_which_decoder() -> None:
    assert isinstance(decoder_for(card()), TagDecoder)
    assert type(decoder_for(PAF_CARD)).__name__ == "PafDecoder"
    with pytest.raises(CardError, match="sees the crop of one person"):
        decoder_for(CROPS)
