"""Where outputs lie in tensors: maps, parts of maps, rows; and what cards of detectors and crops refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from rpi_runtime.errors import CardError
from rpi_runtime.model.card import InputSpec, ModelCard, OutputSpec, Skeleton
from rpi_runtime.model.decoders import (
    BoxPoseSettings,
    BoxSettings,
    CentreSettings,
    SimccSettings,
    TopdownSettings,
)
from rpi_runtime.model.outputs import output_view, tensor_shape

INPUT = InputSpec(width=64, height=32)
TWO = Skeleton(keypoints=("left", "right"))


def card(*outputs: OutputSpec, **changes: Any) -> ModelCard:
    given = {"name": "toy", "input": INPUT, "outputs": outputs, "decoder": BoxSettings()} | changes
    return ModelCard(**given)


def detector(**part: Any) -> ModelCard:
    """Scores and boxes of one stride as parts of one tensor."""
    return card(
        OutputSpec(name="p", role="scores", channels=1, stride=8, **part),
        OutputSpec(name="p", role="boxes", channels=4, stride=8, first=1, **part),
    )


@pytest.mark.parametrize(
    ("axes", "shape"),
    [("hwc", (1, 4, 8, 5)), ("chw", (1, 5, 4, 8)), ("rows", (1, 40, 5)), ("columns", (1, 5, 40))],
)
def test_parts_of_a_tensor_in_every_layout(axes: str, shape: tuple[int, ...]) -> None:
    rows = {"rows": 40, "first_row": 8} if axes in ("rows", "columns") else {}
    model = detector(axes=axes, **rows)
    boxes = model.output("boxes")
    assert tensor_shape(model, boxes) == shape
    tensor = np.arange(np.prod(shape)).reshape(shape)
    view = output_view(boxes, INPUT, tensor)
    assert view.shape == (1, 4, 8, 4)
    assert np.shares_memory(view, tensor)
    where: Any = {
        "hwc": (2, 3),
        "chw": (slice(None), 2, 3),
        "rows": 8 + 2 * 8 + 3,
        "columns": (slice(None), 27),
    }[axes]
    assert_array_equal(view[0, 2, 3], tensor[0][where][1:])


def test_rows_that_are_no_map_are_one_row_of_cells() -> None:
    outputs = (
        OutputSpec(name="out", role="boxes", channels=4, axes="columns", rows=21),
        OutputSpec(name="out", role="scores", channels=1, axes="columns", rows=21, first=4),
        OutputSpec(name="out", role="keypoints", channels=6, axes="columns", rows=21, first=5),
    )
    model = card(*outputs, decoder=BoxPoseSettings(), skeleton=TWO)
    assert tensor_shape(model, outputs[0]) == (1, 11, 21)
    assert output_view(outputs[2], INPUT, np.zeros((1, 11, 21))).shape == (1, 1, 21, 6)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"channels": 0}, "channels and stride"),
        ({"first": -1}, "first 0 to 4096"),
        ({"rows": 3}, "axes 'hwc' with rows 3"),
        ({"axes": "rows"}, "axes 'rows' with rows 0"),
        ({"axes": "rows", "rows": 3, "first_row": 3}, "first_row 3"),
    ],
)
def test_outputs_that_make_no_sense_are_refused(outputs: dict[str, Any], message: str) -> None:
    with pytest.raises(CardError, match=message):
        OutputSpec(**({"name": "p", "role": "boxes", "channels": 4, "stride": 8} | outputs))


def test_parts_that_disagree_about_their_tensor_are_refused() -> None:
    scores = OutputSpec(name="p", role="scores", channels=1, stride=8)
    boxes = OutputSpec(name="p", role="boxes", channels=4, stride=8, axes="chw")
    with pytest.raises(CardError, match="the same axes"):
        tensor_shape(card(scores, boxes), boxes)
    with pytest.raises(CardError, match="4x8 cells from row 0, but 31 rows"):
        model = detector(axes="rows", rows=31)
        tensor_shape(model, model.output("boxes"))


SCORES = OutputSpec(name="s", role="scores", channels=1, stride=8)
BOXES = OutputSpec(name="b", role="boxes", channels=4, stride=8)
POINTS = OutputSpec(name="k", role="keypoints", channels=6, stride=8)
MAPS = tuple(
    OutputSpec(name=role, role=role, channels=channels, stride=4)  # type: ignore[arg-type]
    for role, channels in (("centre", 1), ("heatmaps", 2), ("regress", 4), ("offset", 4))
)
CROP = replace(INPUT, fit="crop")
AXES = tuple(
    OutputSpec(name=role, role=role, channels=128, axes="rows", rows=2)  # type: ignore[arg-type]
    for role in ("simcc_x", "simcc_y")
)


def test_cards_of_every_kind() -> None:
    assert not card(SCORES, BOXES).sees_crops
    card(SCORES, BOXES, POINTS, decoder=BoxPoseSettings(), skeleton=TWO)
    card(*MAPS, decoder=CentreSettings(), skeleton=TWO)
    assert card(*MAPS, decoder=CentreSettings(), skeleton=TWO, input=CROP).sees_crops
    assert card(*AXES, decoder=SimccSettings(), skeleton=TWO, input=CROP).sees_crops
    heatmaps = OutputSpec(name="h", role="heatmaps", channels=2, stride=4)
    settings = TopdownSettings(parabola=True, quarter_offset=False, cell_origin=2.0)
    again = ModelCard.from_mapping(
        {
            "name": "toy",
            "input": {"width": 64, "height": 32, "fit": "crop"},
            "skeleton": {"keypoints": ["left", "right"]},
            "outputs": [{"name": "h", "role": "heatmaps", "channels": 2, "stride": 4}],
            "decoder": {"kind": "topdown", "parabola": True, "quarter_offset": False, "cell_origin": 2},
        }
    )
    assert again == card(heatmaps, decoder=settings, skeleton=TWO, input=CROP)


@pytest.mark.parametrize(
    ("outputs", "changes", "message"),
    [
        ((BOXES,), {}, "role 'scores', got none"),
        ((SCORES, BOXES, POINTS), {}, "role 'keypoints'"),
        ((SCORES, BOXES), {"skeleton": TWO}, "none for a detector"),
        ((SCORES, BOXES), {"decoder": BoxPoseSettings(), "skeleton": TWO}, "role 'keypoints', got none"),
        ((SCORES, BOXES, POINTS), {"decoder": BoxPoseSettings()}, "keypoints: expected|0 keypoints"),
        ((SCORES, replace(BOXES, channels=8)), {}, "8 channels of boxes: expected 4"),
        ((SCORES, BOXES), {"decoder": BoxSettings(bins=16)}, "expected 64, for boxes of 16 bins"),
        ((SCORES, BOXES), {"decoder": BoxSettings(classes=(1,))}, "1 channels of scores"),
        ((SCORES, replace(BOXES, stride=16)), {}, "the same strides"),
        ((SCORES, BOXES), {"input": CROP}, "input fit 'crop': expected 'letterbox' or 'stretch'"),
        (MAPS[1:], {"decoder": CentreSettings(), "skeleton": TWO}, "role 'centre', got 0"),
        (AXES, {"decoder": SimccSettings(), "skeleton": TWO}, "expected 'crop'"),
        (AXES[:1], {"decoder": SimccSettings(), "skeleton": TWO, "input": CROP}, "role 'simcc_y', got 0"),
    ],
)
def test_cards_that_do_not_fit_together_are_refused(
    outputs: tuple[OutputSpec, ...], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(CardError, match=message):
        card(*outputs, **changes)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        (BoxSettings, {"threshold": 1.0}),
        (BoxSettings, {"classes": ()}),
        (BoxSettings, {"bins": 65}),
        (BoxSettings, {"form": "corners", "bins": 2}),
        (BoxSettings, {"nms_overlap": 0.0}),
        (BoxSettings, {"candidates": 0}),
        (BoxSettings, {"max_people": 5000}),
        (BoxPoseSettings, {"keypoint_gain": float("inf")}),
        (CentreSettings, {"nearness": 0.0}),
        (CentreSettings, {"box_padding": 9.0}),
        (SimccSettings, {"split": 0.0}),
        (SimccSettings, {"area_below": 2.0}),
        (TopdownSettings, {"parabola": True}),
        (TopdownSettings, {"cell_origin": float("nan")}),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(CardError, match=list(wrong)[-1]):
        settings(**wrong)
