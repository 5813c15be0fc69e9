"""What a card may say: decoders by their kind, outputs by role and stride, and what does not fit together."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from rpi_runtime.errors import CardError
from rpi_runtime.model.card import InputSpec, ModelCard, OutputSpec, Skeleton
from rpi_runtime.model.decoders import BoxPoseSettings, BoxSettings, PafSettings, TagSettings, TopdownSettings
from tests.rpi_runtime.toys import CARD

SKELETON = Skeleton(keypoints=tuple(f"k{i}" for i in range(17)))
PAIRS = tuple((i, i + 1) for i in range(1, 17, 2))
TAGS = ModelCard(
    name="tags",
    input=InputSpec(width=64, height=32, pad_value=0),
    skeleton=SKELETON,
    outputs=tuple(
        OutputSpec(name=f"{role}_{stride}", role=role, channels=17, stride=stride)
        for role, stride in (("heatmaps", 4), ("tags", 4), ("heatmaps", 2))
    ),
    decoder=TagSettings(joint_order=tuple(range(17)), flip_pairs=PAIRS),
)
TOPDOWN = ModelCard(
    name="topdown",
    input=InputSpec(width=48, height=64, fit="crop", pad_value=0),
    skeleton=SKELETON,
    outputs=(OutputSpec(name="heatmaps", role="heatmaps", channels=17, stride=4),),
    decoder=TopdownSettings(beta=160.0, flip_pairs=PAIRS),
)


@pytest.mark.parametrize("card", [CARD, TAGS, TOPDOWN], ids=["paf", "tags", "topdown"])
def test_cards_round_trip_through_json(card):
    assert ModelCard.from_mapping(json.loads(card.to_json())) == card


def test_a_decoder_without_kind_is_that_of_paf():
    data = json.loads(CARD.to_json())
    del data["decoder"]["kind"]
    assert isinstance(ModelCard.from_mapping(data).decoder, PafSettings)


def test_a_topdown_decoder_may_leave_beta_out():
    data = json.loads(TOPDOWN.to_json())
    del data["decoder"]["beta"]
    decoder = ModelCard.from_mapping(data).decoder
    assert decoder == replace(TOPDOWN.decoder, beta=None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "pif"}, "decoder.kind: got 'pif', expected one of 'paf', 'tags', 'topdown'"),
        ({"kind": ["paf"]}, "decoder.kind: got ['paf'], expected one of 'paf', 'tags', 'topdown'"),
        ({"kind": {}}, "decoder.kind: got {}"),
        ({"kind": "tags"}, "decoder.area_below: unknown key"),
        ({"beta": "sharp"}, "decoder.beta: expected float, got 'sharp'"),
        ({"beta": 10**400}, "decoder.beta: expected float, got an integer beyond its range"),
        ({"beta": 0}, "decoder beta 0"),
        ({"oks_nms": 0}, "decoder oks_nms 0"),
        ({"box_padding": 0.1}, "decoder box_padding 0.1"),
        ({"flip_pairs": [[1, 2], [2, 3]]}, "each once at most"),
        ({"flip_pairs": [[1, 17]]}, "expected keypoints 0 to 16"),
    ],
)
def test_decoders_that_make_no_sense(changes, message):
    data = json.loads(TOPDOWN.to_json())
    data["decoder"] |= changes
    with pytest.raises(CardError) as caught:
        ModelCard.from_mapping(data)
    assert message in str(caught.value)


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": (INF, INF, INF)}, "input mean (inf, inf, inf): expected three finite numbers"),
        ({"mean": (0.0, NAN, 0.0)}, "input mean (0.0, nan, 0.0)"),
        ({"scale": (1.0, INF, 1.0)}, "input scale (1.0, inf, 1.0): expected three finite positive numbers"),
        ({"scale": (NAN, 1.0, 1.0)}, "input scale (nan, 1.0, 1.0)"),
        ({"scale": (0.0, 1.0, 1.0)}, "input scale (0.0, 1.0, 1.0)"),
    ],
)
def test_normalisations_that_make_no_sense(changes, message):
    with pytest.raises(CardError) as caught:
        InputSpec(width=8, height=8, **changes)
    assert message in str(caught.value)


def test_outputs_are_found_by_role_and_stride():
    assert [o.stride for o in TAGS.outputs_of("heatmaps")] == [4, 2]
    assert TAGS.output("heatmaps", 2).name == "heatmaps_2"
    assert TAGS.output("tags").name == "tags_4"
    with pytest.raises(CardError, match="expected one output with role 'heatmaps', got 2"):
        TAGS.output("heatmaps")
    with pytest.raises(CardError, match="role 'tags' and stride 2, got 0"):
        TAGS.output("tags", 2)


HEATMAPS, PLAIN_TAGS, FINE = TAGS.outputs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outputs": (HEATMAPS, FINE)}, "expected an output with role 'tags', got none"),
        ({"outputs": (HEATMAPS, HEATMAPS, PLAIN_TAGS)}, "expected different strides where a role repeats"),
        ({"outputs": (HEATMAPS, replace(PLAIN_TAGS, channels=16))}, "16 channels of tags for 17 keypoints"),
        ({"input": replace(TAGS.input, fit="crop")}, "decoder 'tags' with input fit 'crop'"),
        ({"decoder": TopdownSettings()}, "expected one output with role 'heatmaps', got 2"),
        ({"decoder": TagSettings(joint_order=(0, 1))}, "joint_order (0, 1): expected 0 to 16, each once"),
    ],
)
def test_cards_that_do_not_fit_together(changes, message):
    with pytest.raises(CardError) as caught:
        replace(TAGS, **changes)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peak_threshold": 0.0}, "thresholds 0.0, 1.0"),
        ({"max_people": 0}, "max_people 0"),
        ({"nms_size": 4}, "nms_size 4"),
    ],
)
def test_tag_decoders_that_make_no_sense(changes, message):
    with pytest.raises(CardError, match=message):
        TagSettings(**changes)


def test_keys_of_detectors_keep_their_order() -> None:
    """A card's bytes follow the order of the fields, which a common base must not change."""
    keys = [
        "kind", "classes", "threshold", "logits", "form", "unit", "bins", "anchor", "nms_overlap", "candidates",
        "max_people",
    ]  # fmt: skip
    assert [*asdict(BoxSettings())] == keys
    assert [*asdict(BoxPoseSettings())] == [*keys, "keypoint_gain", "keypoint_anchor", "peak_threshold"]
    assert (BoxSettings().nms_overlap, BoxPoseSettings().nms_overlap) == (0.6, 0.7)
