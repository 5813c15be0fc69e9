"""The NumPy oracle of the top-down kernels: the definition of what they must return, bit for bit.

One person's heatmaps give one keypoint of each type: the maximum (the first one, row by row), or the expectation
of the position under a softmax sharpened by beta (Beta-Soft-Argmax, Zhang 2019, arXiv:1911.10346). Weights below
2 ** -40 of the largest count as 0, values that are not finite are ignored, and sums run column by column.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cython_ext.reference import dequantize, log2
from cython_ext.specs import Floats, PointRules, Stored, check_maps
from cython_ext.tables import LOG2_E, falling_weights


def find_points(
    maps: Stored, rules: PointRules, scale: float = 0.0, zero_point: int = 0, flipped: Stored | None = None
) -> Floats:
    """Find keypoints in heatmaps (H, W, C), as `cython_ext.topdown.PointFinder` does; (K, 3) x, y, value."""
    check_maps(maps, rules.keypoints, scale, zero_point)
    if flipped is not None:
        maps = average(dequantize(maps, scale, zero_point), dequantize(flipped, scale, zero_point), rules)
        scale = 0.0
    points = np.zeros((rules.keypoints, 3), np.float32)
    for k in range(rules.keypoints):
        real = dequantize(maps[..., k], scale, zero_point)
        finite = np.isfinite(real)
        if not finite.any():
            continue
        masked = np.where(finite, real, -np.inf)
        row, column = np.unravel_index(np.argmax(masked), masked.shape)
        if rules.beta > 0:
            points[k, :2] = _expectation(_drops(maps[..., k], real, scale), finite, rules.beta)
        elif masked[row, column] > 0:
            points[k, :2] = column, row
        at = np.rint(points[k, 1::-1]).astype(int) if rules.beta > 0 else np.array([row, column])
        value = real[tuple(at)]
        points[k, 2] = value if np.isfinite(value) else 0
        if rules.quarter_offset:
            points[k, :2] += _quarter(real, points[k])
        elif rules.parabola and points[k, 2] > 0:
            points[k, :2] += _to_vertex(real, points[k])
    return points


def average(maps: Floats, flipped: Floats, rules: PointRules) -> Floats:
    """Mean of a picture's maps and those of the mirrored picture, mirrored back; (H, W, K)."""
    back = flipped[:, ::-1][..., rules.partner_table()]
    if rules.flip_shift:
        back = np.concatenate([back[:, :1], back[:, :-1]], axis=1)
    with np.errstate(all="ignore"):
        mean: Floats = (maps[..., : rules.keypoints] + back) * np.float32(0.5)
    return mean


def suppress(
    points: Floats,
    scores: NDArray[np.float64],
    areas: NDArray[np.float64],
    sigmas: NDArray[np.float64],
    threshold: float,
) -> list[int]:
    """Return the rows that stay, surest first, as `cython_ext.topdown.suppress` does."""
    kept: list[int] = []
    for row in np.argsort(-scores, kind="stable"):
        if all(similarity(points, areas, sigmas, int(row), other) <= threshold for other in kept):
            kept.append(int(row))
    return kept


def similarity(
    points: Floats, areas: NDArray[np.float64], sigmas: NDArray[np.float64], one: int, other: int
) -> float:
    """Return the object keypoint similarity (COCO's OKS) of two people, with the mean of their areas.

    Over the keypoints that one of them has at least; one that the other lacks is not alike. 1 without any.
    """
    one_has, other_has = points[one, :, 2] > 0, points[other, :, 2] > 0
    count = np.count_nonzero(one_has | other_has)
    if count == 0:
        return 1.0
    spread = (2 * sigmas) ** 2
    area = (areas[one] + areas[other]) * 0.5 + np.spacing(1)
    apart = (points[one, :, :2] - points[other, :, :2]).astype(np.float64)
    error = (apart[:, 0] * apart[:, 0] + apart[:, 1] * apart[:, 1]) / spread / area * 0.5
    alike = falling_weights((error * LOG2_E).astype(np.float32), None)
    alike = np.where(one_has & other_has, alike, np.float32(0))
    return float(_total(alike.astype(np.float64)) / count)


def _drops(stored: Stored, real: Floats, scale: float) -> Floats:
    """Return the distance of each cell below the largest finite value."""
    if stored.dtype == np.int8:
        steps = stored.max().astype(np.float32) - stored.astype(np.float32)
        return np.asarray(steps * np.float32(scale))
    with np.errstate(all="ignore"):
        return np.asarray(np.where(np.isfinite(real), real, -np.inf).max() - real)


def _expectation(drops: Floats, finite: NDArray[np.bool_], beta: float) -> Floats:
    # transposed: the sums run column by column, as in the kernel
    weights = np.where(finite, falling_weights(drops, beta), np.float32(0)).astype(np.float64).T
    columns, rows = np.mgrid[: weights.shape[0], : weights.shape[1]]
    total = _total(weights)
    return np.array([_total(weights * columns) / total, _total(weights * rows) / total]).astype(np.float32)


def _total(values: NDArray[np.float64]) -> np.float64:
    """Sum one after the other."""
    return np.float64(np.cumsum(values)[-1])


def _quarter(real: Floats, point: Floats) -> Floats:
    """A quarter towards the higher neighbours of the nearest cell; nothing within two cells of the border's start."""
    x, y = (int(v) for v in np.floor(point[:2] + np.float32(0.5)))
    height, width = real.shape
    if not (1 < x < width - 1 and 1 < y < height - 1):
        return np.zeros(2, np.float32)
    sides = ((real[y, x - 1], real[y, x + 1]), (real[y - 1, x], real[y + 1, x]))
    return np.array(
        [0.25 * (float(after > before) - float(after < before)) for before, after in sides], np.float32
    )


def _to_vertex(real: Floats, point: Floats) -> Floats:
    """Move a point to the vertex of a parabola through the logarithms, along each axis that has two neighbours."""
    x, y = (int(v) for v in point[:2])
    shift = np.zeros(2, np.float32)
    for axis, (line, at) in enumerate(((real[y], x), (real[:, x], y))):
        if not 0 < at < len(line) - 1:
            continue
        left, right = (_fall(line[at + side], point[2]) for side in (-1, 1))
        if left + right > 0:
            shift[axis] = np.float32(0.5) * (left - right) / (left + right)
    return shift


def _fall(neighbour: np.float32, centre: np.float32) -> np.float32:
    """Return the distance of a neighbour below the centre, in powers of 2, from 0 to 4."""
    if not neighbour > centre * np.float32(1 / 16):
        return np.float32(4)
    logs = log2(np.array([centre, neighbour], np.float32))
    return max(logs[0] - logs[1], np.float32(0))
