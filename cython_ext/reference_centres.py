"""The NumPy oracle of the kernels for centres: the definition of what they must return, bit for bit.

A network of the CenterNet kind (Zhou 2019, arXiv:1904.07850) gives people's centres, for each centre where its
keypoints are about, and heatmaps of all keypoints. MoveNet looks for each keypoint in the heatmap near where the centre
expects it, and adds an offset. Arithmetic is float32; a value that is not finite or not above 0 is ignored.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cython_ext.reference import dequantize
from cython_ext.rules import Centred, CentreMaps, CentreRules, Quantized
from cython_ext.specs import Floats
from cython_ext.tables import power2

LOG2_E = np.float32(1.4426950408889634)
LEAST_EXPONENT = np.float32(-120)
MOST_CELLS = np.float32(1e6)
HALF = np.float32(0.5)
Cell = tuple[int, int]  # row, column


def find_centred(maps: CentreMaps, rules: CentreRules) -> Centred:
    """Find people, as `cython_ext.centres.CentreFinder` does."""
    maps.check(rules)
    centre = _real(maps.centre)[..., 0]
    cells = _many(centre, rules) if rules.many else _one(centre, rules)
    boxes = np.array([_box(cell, maps, rules) for cell in cells], np.float32).reshape(-1, 4)
    points = [_points(cell, box, maps, rules) for cell, box in zip(cells, boxes, strict=True)]
    return Centred(
        points=np.array(points, np.float32).reshape(-1, rules.keypoints, 3),
        centres=np.array([centre[cell] for cell in cells], np.float32),
        boxes=boxes,
    )


def _real(maps: Quantized) -> Floats:
    return dequantize(maps.values, maps.scale, maps.zero_point)


def _positive(values: Floats) -> Floats:
    """Values that count; minus infinity for the others."""
    return np.where((values > 0) & np.isfinite(values), values, np.float32(-np.inf))


def _by_distance(values: Floats, y: np.float32, x: np.float32, rules: CentreRules) -> Floats:
    """Values divided by their distance from a position."""
    rows, columns = (np.arange(n, dtype=np.float32) for n in values.shape)
    with np.errstate(all="ignore"):
        down, across = (rows - y)[:, None], columns - x
        return np.asarray(values / (np.sqrt(down * down + across * across) + np.float32(rules.nearness)))


def _largest(weighted: Floats) -> Cell | None:
    """The first cell with the largest value above 0."""
    counted = np.where(weighted > 0, weighted, np.float32(-1))
    cell = np.unravel_index(counted.argmax(), counted.shape)
    return (int(cell[0]), int(cell[1])) if counted[cell] > 0 else None


def _one(centre: Floats, rules: CentreRules) -> list[Cell]:
    height, width = (np.float32(n) * HALF for n in centre.shape)
    found = _largest(_by_distance(_positive(centre), height, width, rules))
    return [] if found is None else [found]


def _many(centre: Floats, rules: CentreRules) -> list[Cell]:
    height, width = centre.shape
    padded = np.pad(np.where(np.isnan(centre), -np.inf, centre), 1, constant_values=-np.inf)
    around = np.max([padded[i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=0)
    passes = (centre > np.float32(rules.threshold)) & np.isfinite(centre) & (centre >= around)
    rows, columns = np.nonzero(passes)
    order = np.argsort(-centre[passes], kind="stable")[: rules.max_people]
    return [(int(rows[i]), int(columns[i])) for i in order]


def _box(cell: Cell, maps: CentreMaps, rules: CentreRules) -> Floats:
    """Left, top, right, bottom, inside of the map; 0 for NaN."""
    height, width = maps.centre.values.shape[:2]
    if not rules.boxed:
        return np.array([0, 0, width, height], np.float32)
    assert maps.box_offset is not None and maps.box_scale is not None
    with np.errstate(all="ignore"):
        middle = np.array(cell, np.float32) + _real(maps.box_offset)[cell]
        half = _real(maps.box_scale)[cell] * HALF
        corners = np.stack([middle - half, middle + half])[:, ::-1].reshape(-1)
    limits = np.array([width, height, width, height], np.float32)
    return np.asarray(np.where(corners > 0, np.minimum(corners, limits), np.float32(0)), np.float32)


def _points(cell: Cell, box: Floats, maps: CentreMaps, rules: CentreRules) -> Floats:
    points = np.zeros((rules.keypoints, 3), np.float32)
    heatmaps, regress, offset = _real(maps.heatmaps), _real(maps.regress), _real(maps.offset)
    for k in range(rules.keypoints):
        with np.errstate(all="ignore"):
            y, x = np.array(cell, np.float32) + regress[cell][2 * k : 2 * k + 2]
        values = _positive(heatmaps[..., k])
        if rules.many:
            down = _weights(heatmaps.shape[0], y, box[1::2], heatmaps.shape[1], rules)
            across = _weights(heatmaps.shape[1], x, box[::2], heatmaps.shape[1], rules)
            weighted = np.where(values > 0, values, np.float32(0)) * (down[:, None] * across)
        else:
            weighted = _by_distance(values, y, x, rules)
        found = _largest(weighted)
        if found is None:
            continue
        with np.errstate(all="ignore"):
            place = np.array(found, np.float32) + offset[found][2 * k : 2 * k + 2]
        if (np.abs(place) < MOST_CELLS).all():
            points[k] = *place[::-1], weighted[found] if rules.many else values[found]
    return points


def _weights(size: int, at: np.float32, limits: Floats, width: int, rules: CentreRules) -> Floats:
    """A Gaussian's values at 0, 1, 2...; 0 outside of the limits."""
    rate = -LOG2_E / (np.float32(rules.nearness) * np.float32(width))
    positions: NDArray[np.float32] = np.arange(size, dtype=np.float32)
    with np.errstate(all="ignore"):
        t = (positions - at) * (positions - at) * rate
    near = (t > LEAST_EXPONENT) & (t <= 0) & (positions >= limits[0]) & (positions <= limits[1])
    weight = np.where(near, power2(np.where(near, t, np.float32(0))), np.float32(0))
    return np.asarray(np.minimum(weight, np.float32(1)), np.float32)
