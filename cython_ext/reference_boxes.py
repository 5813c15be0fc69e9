"""The NumPy oracle of the kernels for boxes: the definition of what they must return, bit for bit.

An anchor-free detector gives for each cell of its maps scores of classes and four numbers of a box, and keypoints where
it is a pose network. Cells whose score passes are ranked, their boxes decoded, and of boxes that overlap the surest
stays. Arithmetic is float32 in the order written here, that of overlaps double. A score that is not finite is no
detection.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cython_ext.activations import score_table, softmax_table
from cython_ext.reference import dequantize
from cython_ext.rules import BoxLevel, BoxRules, Detections, Quantized
from cython_ext.specs import Floats
from cython_ext.tables import power2

LOG2_E = np.float32(1.4426950408889634)
LEAST_EXPONENT = np.float32(-40)
MOST_PIXELS = np.float32(1e9)
HALF = np.float32(0.5)
Cells = tuple[NDArray[np.intp], NDArray[np.intp]]  # rows and columns


def find_boxes(levels: Sequence[BoxLevel], rules: BoxRules) -> Detections:
    """Find people, as `cython_ext.boxes.BoxFinder` does."""
    for level in levels:
        level.check(rules)
    found = [_collect(level, rules) for level in levels]
    number = np.concatenate([np.full(len(f[0]), i) for i, f in enumerate(found)])
    scores, classes, rows, columns = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(-scores, kind="stable")[: rules.candidates]
    boxes = np.zeros((len(order), 4), np.float32)
    for i, level in enumerate(levels):
        mine = number[order] == i
        boxes[mine] = _boxes(level, rules, (rows[order][mine], columns[order][mine]))
    kept = _apart(boxes, classes[order], rules)
    rank = order[kept]
    points = np.zeros((len(kept), rules.keypoints, 3), np.float32)
    for i, level in enumerate(levels):
        mine = number[rank] == i
        if level.keypoints is not None:
            points[mine] = _points(level, level.keypoints, rules, (rows[rank][mine], columns[rank][mine]))
    return Detections(boxes=boxes[kept], scores=scores[rank], classes=classes[rank], points=points)


def logistic(value: Floats) -> Floats:
    """``1 / (1 + exp(-value))``; 0 for NaN."""
    with np.errstate(all="ignore"):
        size = np.abs(value)
        near = size < 87
        decay = np.where(near, power2(np.where(near, -size * LOG2_E, np.float32(0))), np.float32(0))
        up, down = np.float32(1) / (np.float32(1) + decay), decay / (np.float32(1) + decay)
    return np.asarray(np.where(value >= 0, up, down), np.float32)


def exponential(value: Floats) -> Floats:
    """e to the power of `value`, which is clipped to about -87..87; NaN stays NaN."""
    with np.errstate(all="ignore"):
        t = value * LOG2_E
    known = ~np.isnan(t)
    clipped = np.clip(np.where(known, t, np.float32(0)), np.float32(-125), np.float32(126))
    return np.asarray(np.where(known, power2(clipped), np.float32(np.nan)), np.float32)


def sureness(maps: Quantized, rules: BoxRules) -> Floats:
    """The scores that stored numbers stand for."""
    if maps.values.dtype == np.int8:
        table = score_table(maps.scale, maps.zero_point, logits=rules.logits)
        return np.asarray(table[maps.values.astype(np.intp) + 128])
    values = np.asarray(maps.values, np.float32)
    return logistic(values) if rules.logits else values


def overlaps(box: Floats, others: Floats) -> NDArray[np.float64]:
    """Intersection over union of a box with each of others, left, top, right, bottom."""
    low = np.maximum(box[:2], others[:, :2]).astype(np.float64)
    high = np.minimum(box[2:], others[:, 2:]).astype(np.float64)
    apart = (high <= low).any(axis=1)
    common = (high[:, 0] - low[:, 0]) * (high[:, 1] - low[:, 1])
    areas = [
        (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (box[None].astype(float), others.astype(float))
    ]
    with np.errstate(all="ignore"):
        return np.where(apart, 0, common / (areas[0] + areas[1] - common))


def _collect(
    level: BoxLevel, rules: BoxRules
) -> tuple[Floats, NDArray[np.int32], NDArray[np.intp], NDArray[np.intp]]:
    """Scores, classes, rows and columns of the cells that pass, row by row."""
    wanted = np.array(rules.classes)
    stored = level.scores.values[..., wanted]
    known = ~np.isnan(stored)
    best = np.where(known, stored.astype(np.float64), -np.inf).argmax(axis=2)
    # NaN loses even to minus infinity
    only = known.argmax(axis=2)
    best = np.where(np.take_along_axis(known, best[..., None], 2)[..., 0], best, only)
    score = np.take_along_axis(sureness(_replaced(level.scores, stored), rules), best[..., None], 2)[..., 0]
    if level.objectness is not None:
        with np.errstate(all="ignore"):
            score = score * sureness(level.objectness, rules)[..., 0]
    passes = known.any(axis=2) & (score > np.float32(rules.threshold)) & np.isfinite(score)
    rows, columns = np.nonzero(passes)
    return score[passes], wanted[best[passes]].astype(np.int32), rows, columns


def _replaced(maps: Quantized, values: NDArray[np.float32] | NDArray[np.int8]) -> Quantized:
    return Quantized(values=values, scale=maps.scale, zero_point=maps.zero_point)


def _boxes(level: BoxLevel, rules: BoxRules, cells: Cells) -> Floats:
    """Boxes of cells, (N, 4); not numbers where they have no area."""
    x, y = np.float32(level.unit[0]), np.float32(level.unit[1])
    at = [(c.astype(np.float32) + np.float32(rules.anchor)) * np.float32(level.step) for c in cells[::-1]]
    with np.errstate(all="ignore"):
        a, b, c, d = _sides(level.boxes, rules, cells)
        if rules.form == "exponential":
            c, d = exponential(c), exponential(d)
        a, b, c, d = a * x, b * y, c * x, d * y
        if rules.form == "distances":
            a, b, c, d = at[0] - a, at[1] - b, at[0] + c, at[1] + d
        elif rules.form != "corners":
            if rules.form == "exponential":
                a, b = a + at[0], b + at[1]
            c, d = c * HALF, d * HALF
            a, b, c, d = a - c, b - d, a + c, b + d
    boxes = np.stack([a, b, c, d], axis=1)
    good = (np.abs(boxes) < MOST_PIXELS).all(axis=1) & (a < c) & (b < d)
    return np.asarray(np.where(good[:, None], boxes, np.float32(np.nan)), np.float32)


def _sides(boxes: Quantized, rules: BoxRules, cells: Cells) -> list[Floats]:
    """The four numbers of each box; with bins the expectation under a softmax."""
    stored = boxes.values[cells]  # (N, 4 * bins)
    if rules.bins == 1:
        return list(dequantize(stored, boxes.scale, boxes.zero_point).T)
    bins = stored.reshape(-1, 4, rules.bins)
    if stored.dtype == np.int8:
        steps = bins.max(axis=2, keepdims=True).astype(np.intp) - bins
        weights = softmax_table(boxes.scale)[steps]
    else:
        weights = _shares(np.asarray(bins, np.float32))
    total = mean = np.zeros(bins.shape[:2], np.float32)
    for i in range(rules.bins):
        total = total + weights[..., i]
        mean = mean + weights[..., i] * np.float32(i)
    return list((mean / total).T)


def _shares(bins: Floats) -> Floats:
    """``exp(value - highest)``, 0 below 2 ** -40; the highest as a chain of comparisons finds it."""
    highest = bins[..., 0]
    for i in range(1, bins.shape[2]):
        highest = np.where(bins[..., i] > highest, bins[..., i], highest)
    t = (bins - highest[..., None]) * LOG2_E
    near = (t > LEAST_EXPONENT) & (t <= 0)
    weights = np.where(near, power2(np.where(near, t, np.float32(0))), np.float32(0))
    return np.asarray(np.where(np.isnan(t), t, weights), np.float32)


def _apart(boxes: Floats, classes: NDArray[np.int32], rules: BoxRules) -> list[int]:
    kept: list[int] = []
    for row in range(len(boxes)):
        if len(kept) == rules.max_people:
            break
        if np.isnan(boxes[row, 0]):
            continue
        rivals = boxes[[k for k in kept if classes[k] == classes[row]]]
        if not (overlaps(boxes[row], rivals) > rules.nms_overlap).any():
            kept.append(row)
    return kept


def _points(level: BoxLevel, keypoints: Quantized, rules: BoxRules, cells: Cells) -> Floats:
    """Keypoints of cells, (N, K, 3)."""
    numbers = 3 if rules.visible else 2
    stored = keypoints.values[cells].reshape(-1, rules.keypoints, numbers)
    real = dequantize(stored[..., :2], keypoints.scale, keypoints.zero_point)
    seen = np.ones(real.shape[:2], np.float32)
    if rules.visible:
        seen = sureness(_replaced(keypoints, stored[..., 2]), rules)
    points = np.empty((*real.shape[:2], 3), np.float32)
    with np.errstate(all="ignore"):
        for axis, cell in enumerate(cells[::-1]):
            at = (cell.astype(np.float32) + np.float32(rules.keypoint_anchor)) * np.float32(level.step)
            moved = np.float32(rules.keypoint_gain) * real[..., axis] * np.float32(level.unit[axis])
            points[..., axis] = moved + at[:, None]
    points[..., 2] = np.where(np.isfinite(seen), seen, np.float32(0))
    points[~(np.abs(points[..., :2]) < MOST_PIXELS).all(axis=2)] = 0
    return points
