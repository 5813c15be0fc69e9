"""The kernels for boxes equal the oracle bit for bit, and the oracle what the papers' formulas give."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from cython_ext import reference_boxes as reference
from cython_ext.boxes import BoxFinder
from cython_ext.rules import BOX_FORMS, BoxLevel, BoxRules, Detections, Quantized
from tests.cython_ext.conftest import fuzz
from tests.cython_ext.openpose import quantize

EDGES = np.array([-1, 0, 0.3, 1, 5, np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-42, 88, -200], np.float32)
REALS = st.sampled_from(EDGES.tolist()) | st.floats(-4, 4, width=32)
INT8 = st.sampled_from([-128, 127, 0]) | st.integers(-128, 127)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[BoxRules, list[BoxLevel]]:
    """Rules and one to three levels of maps of any numbers, in any layout."""
    stored = draw(st.sampled_from([np.float32, np.int8]))
    form = draw(st.sampled_from(BOX_FORMS))
    classes = draw(st.sampled_from([(0,), (1,), (2, 0)]))
    rules = BoxRules(
        classes=classes,
        threshold=draw(st.sampled_from([0.0, 0.3, 0.9])),
        logits=draw(st.booleans()),
        form=form,
        bins=draw(st.sampled_from([1, 2, 5])) if form == "distances" else 1,
        anchor=draw(st.sampled_from([0.0, 0.5])),
        nms_overlap=draw(st.sampled_from([0.1, 0.6, 1.0])),
        candidates=draw(st.sampled_from([1, 3, 1000])),
        max_people=draw(st.sampled_from([1, 2, 100])),
        keypoints=draw(st.sampled_from([0, 2])),
        visible=draw(st.booleans()),
        keypoint_gain=draw(st.sampled_from([1.0, 2.0])),
    )
    objectness = draw(st.booleans())
    levels = []
    for _ in range(draw(st.integers(1, 3))):
        size = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
        step = draw(st.sampled_from([0.0, 8.0]))
        levels.append(
            BoxLevel(
                scores=draw(maps(stored, (*size, 3))),
                boxes=draw(maps(stored, (*size, rules.box_channels))),
                objectness=draw(maps(stored, (*size, 1))) if objectness else None,
                keypoints=draw(maps(stored, (*size, rules.keypoint_channels))) if rules.keypoints else None,
                unit=draw(st.sampled_from([(1.0, 1.0), (8.0, 8.0), (320.0, 256.0)])),
                step=step,
            )
        )
    return rules, levels


@st.composite
def maps(draw: st.DrawFn, stored: type, shape: tuple[int, int, int]) -> Quantized:
    """Numbers of one output, contiguous, with axes exchanged, or a part of a wider tensor."""
    layout = draw(st.sampled_from(["contiguous", "channels first", "part"]))
    height, width, channels = shape
    wide = {
        "contiguous": shape,
        "channels first": (channels, height, width),
        "part": (height, width, channels + 2),
    }
    values: Any = draw(arrays(stored, wide[layout], elements=REALS if stored is np.float32 else INT8))
    if layout == "channels first":
        values = values.transpose(1, 2, 0)
    elif layout == "part":
        values = values[..., 1:-1]
    if stored is np.float32:
        return Quantized(values=values)
    scale = draw(st.sampled_from([1 / 256, 0.1, 2.0, 1e-38, 1e36]))
    return Quantized(values=values, scale=scale, zero_point=draw(st.integers(-128, 127)))


def assert_same(found: Detections, expected: Detections) -> None:
    for name in ("scores", "classes", "boxes", "points"):
        assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


@fuzz
@given(scene=scenes())
def test_any_maps(kernels: SimpleNamespace, scene: tuple[BoxRules, list[BoxLevel]]) -> None:
    rules, levels = scene
    expected = reference.find_boxes(levels, rules)
    assert_same(kernels.BoxFinder(rules)(levels), expected)
    for part in (expected.boxes, expected.scores, expected.points):
        assert np.isfinite(part).all()
    assert (expected.boxes[:, 2:] > expected.boxes[:, :2]).all()


@fuzz
@given(first=scenes(), second=scenes())
def test_a_finder_forgets_the_last_picture(
    kernels: SimpleNamespace,
    first: tuple[BoxRules, list[BoxLevel]],
    second: tuple[BoxRules, list[BoxLevel]],
) -> None:
    rules, levels = first
    find = kernels.BoxFinder(rules)
    expected = reference.find_boxes(levels, rules)
    find(levels)
    assert_same(find(levels), expected)


def one_cell(**parts: Any) -> BoxLevel:
    """A level of one row of cells."""
    return BoxLevel(
        **{
            n: Quantized(values=np.array([v], np.float32))
            for n, v in parts.items()
            if n not in ("unit", "step")
        },
        **{n: v for n, v in parts.items() if n in ("unit", "step")},
    )


def test_rtmdet_as_published() -> None:
    """Points at the cells' corners, distances in pixels, no exponential (mmdet's RTMDetHead, stride times already)."""
    level = one_cell(scores=[[-9], [2]], boxes=[[0] * 4, [3, 4, 5, 6]], unit=(1, 1), step=8)
    found = BoxFinder(BoxRules(anchor=0.0))([level])
    assert_array_equal(found.boxes, [[8 - 3, 0 - 4, 8 + 5, 0 + 6]])
    assert_allclose(found.scores, 1 / (1 + np.exp(-2)), rtol=1e-6)


def test_a_distribution_is_read_as_its_expectation() -> None:
    """Distribution focal loss: probabilities over bins, in strides from the cell's middle."""
    logits = np.random.default_rng(0).normal(size=(4, 16)) * 3
    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    left, top, right, bottom = share @ np.arange(16)
    level = one_cell(scores=[[-9], [3]], boxes=[[0] * 64, logits.ravel()], unit=(16, 16), step=16)
    found = BoxFinder(BoxRules(bins=16))([level])
    expected = [(1.5 - left) * 16, (0.5 - top) * 16, (1.5 + right) * 16, (0.5 + bottom) * 16]
    assert_allclose(found.boxes[0], expected, rtol=2e-6)


def test_yolox_as_published() -> None:
    """Objectness times class; middle = (cell + offset) * stride, size = exp * stride (Ge 2021, arXiv:2107.08430)."""
    level = one_cell(
        scores=[[0], [1]], objectness=[[-9], [2]], boxes=[[0] * 4, [0.25, 0.5, 1, 2]], unit=(8, 8), step=8
    )
    rules = BoxRules(form="exponential", anchor=0.0, threshold=0.1)
    found = BoxFinder(rules)([level])
    middle, half = np.array([1.25 * 8, 0.5 * 8]), np.exp([1, 2]) * 4
    assert_allclose(found.boxes[0], [*(middle - half), *(middle + half)], rtol=2e-6)
    assert_allclose(found.scores, 1 / (1 + np.exp(-1)) / (1 + np.exp(-2)), rtol=2e-6)


def test_keypoints_of_yolo_pose() -> None:
    """v8 and 11: ``(2 * value + cell) * stride``; 26: ``(value + cell + 0.5) * stride``."""
    values = [[0] * 6, [0.5, 1, 3, -1, 2, -3]]
    for gain, anchor in ((2.0, 0.0), (1.0, 0.5)):
        level = one_cell(scores=[[-9], [3]], boxes=[[0] * 4, [1] * 4], keypoints=values, unit=(8, 8), step=8)
        rules = BoxRules(keypoints=2, keypoint_gain=gain, keypoint_anchor=anchor)
        (points,) = BoxFinder(rules)([level]).points
        expected = [[(gain * x + 1 + anchor) * 8, (gain * y + anchor) * 8] for x, y in ((0.5, 1), (-1, 2))]
        assert_allclose(points[:, :2], expected)
        assert_allclose(points[:, 2], [1 / (1 + np.exp(-3)), 1 / (1 + np.exp(3))], rtol=1e-6)


def test_of_overlapping_boxes_the_surest_stays_by_class() -> None:
    boxes = [[0, 0, 10, 10], [1, 0, 11, 10], [30, 0, 40, 10], [0, 0, 10, 10]]
    scores = [[0.7, 0], [0.9, 0], [0.5, 0], [0, 0.8]]
    level = one_cell(scores=scores, boxes=boxes)
    rules = BoxRules(form="corners", logits=False, classes=(0, 1), threshold=0.1)
    found = BoxFinder(rules)([level])
    assert_allclose(found.scores, [0.9, 0.8, 0.5])
    assert found.classes.tolist() == [0, 1, 0]
    everyone = BoxFinder(BoxRules(form="corners", logits=False, nms_overlap=1.0))([level])
    assert len(everyone.scores) == 3


def test_equal_scores_keep_the_order_of_cells() -> None:
    boxes = [[20 * i, 0, 20 * i + 10, 10] for i in range(5)]
    level = one_cell(scores=[[0.5]] * 5, boxes=boxes)
    found = BoxFinder(BoxRules(form="corners", logits=False, max_people=3))([level])
    assert_array_equal(found.boxes, boxes[:3])


def test_int8_comes_within_a_step_of_float(kernels: SimpleNamespace) -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(-3, 2, (20, 20, 1)).astype(np.float32)
    boxes = rng.uniform(0.5, 4, (20, 20, 4)).astype(np.float32)
    rules = BoxRules(nms_overlap=1.0, max_people=400)
    real = kernels.BoxFinder(rules)([level_of(scores, boxes)])
    small = BoxLevel(
        scores=Quantized(values=quantize(scores, 0.08, 30), scale=0.08, zero_point=30),
        boxes=Quantized(values=quantize(boxes, 1 / 60, -128), scale=1 / 60, zero_point=-128),
        unit=(8.0, 8.0),
        step=8.0,
    )
    coarse = kernels.BoxFinder(rules)([small])
    assert 20 < len(real.scores) == pytest.approx(len(coarse.scores), abs=3)
    for box in coarse.boxes[:20]:
        assert np.abs(real.boxes - box).max(axis=1).min() < 8 / 60


def level_of(scores: Any, boxes: Any) -> BoxLevel:
    return BoxLevel(scores=Quantized(values=scores), boxes=Quantized(values=boxes), unit=(8.0, 8.0), step=8.0)


@pytest.mark.parametrize(
    ("scores", "boxes", "message"),
    [
        (np.zeros((2, 2, 1)), np.zeros((2, 2, 4), np.float32), "scores of float64"),
        (np.zeros((2, 2), np.float32), np.zeros((2, 2, 4), np.float32), r"scores of shape \(2, 2\)"),
        (np.zeros((2, 2, 1), np.float32), np.zeros((2, 3, 4), np.float32), r"boxes of shape .* \(2, 2, 4\)"),
        (np.zeros((2, 2, 1), np.int8), np.zeros((2, 2, 4), np.float32), "scores: scale 0.0 of int8"),
        ([[1]], np.zeros((2, 2, 4), np.float32), "scores of list"),
    ],
)
def test_maps_that_do_not_fit_are_refused(scores: Any, boxes: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        BoxFinder(BoxRules())([level_of(scores, boxes)])


@pytest.mark.parametrize(
    "wrong",
    [
        {"classes": ()},
        {"classes": (1, 1)},
        {"threshold": 1.0},
        {"form": "corner"},
        {"bins": 4, "form": "corners"},
        {"bins": 65},
        {"nms_overlap": 0.0},
        {"max_people": 0},
        {"candidates": 1 << 20},
        {"keypoint_gain": float("nan")},
    ],
)
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BoxRules(**wrong)
