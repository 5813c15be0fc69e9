"""Draw training maps: heatmaps and part affinity fields of OpenPose-style networks.

Cao et al. 2017 (arXiv:1611.08050), sections 2.2 and 2.3, as Lightweight OpenPose's training draws them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cython_ext.specs import Floats
from export.zoo.skeletons import OPENPOSE_18_PAF
from rpi_runtime.errors import InputError

# COCO's keypoint for each of the 18. The neck, 1, is the middle of the shoulders.
COCO_OF = (0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
NECK, RIGHT_SHOULDER, LEFT_SHOULDER = 1, 2, 5
MIRRORED = (0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16)
LIMBS = tuple((limb.a, limb.b, limb.paf_x, limb.paf_y) for limb in OPENPOSE_18_PAF.limbs)
PAF_CHANNELS = 2 * len(LIMBS)
FAR = 4.6052  # a Gaussian ends below 0.01; the original rounds log(100) like this


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSpec:
    """How maps are drawn.

    Attributes
    ----------
    stride : int
        Network pixels per cell.
    sigma : float
        Standard deviation of the Gaussians, in network pixels.
    limb_width : float
        Half the width of a limb's field, in cells.
    """

    stride: int = 8
    sigma: float = 7.0
    limb_width: float = 1.0

    def __post_init__(self) -> None:
        if self.stride < 1 or self.sigma <= 0 or self.limb_width <= 0:
            raise InputError("targets: stride, sigma and limb_width must be above 0")


def to_openpose(coco: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map COCO keypoints (P, 17, 3) to the 18 of OpenPose (P, 18, 3), with a neck between two labelled shoulders.

    Flags stay COCO's (0 absent, 1 occluded, 2 visible); the neck takes the lesser of the shoulders'.
    """
    people = np.zeros((len(coco), 18, 3))
    for target, source in enumerate(COCO_OF):
        if source >= 0:
            people[:, target] = coco[:, source]
    right, left = people[:, RIGHT_SHOULDER], people[:, LEFT_SHOULDER]
    both = (right[:, 2] > 0) & (left[:, 2] > 0)
    people[both, NECK] = np.minimum(right, left)[both]
    people[both, NECK, :2] = (right[both, :2] + left[both, :2]) / 2
    return people


def heatmaps(people: NDArray[np.float64], size: tuple[int, int], spec: TargetSpec) -> Floats:
    """Draw one map per keypoint type, and the background.

    Parameters
    ----------
    people : ndarray, shape (P, K, 3)
        x, y in network pixels, by pixel index (the first pixel's centre is 0), and a flag; 0 is not drawn.
    size : (int, int)
        Height and width of the maps.
    spec : TargetSpec

    Returns
    -------
    ndarray, shape (K + 1, height, width), float32
        People are added and capped at 1; the last map is 1 - the largest of the others.
    """
    height, width = size
    kinds = people.shape[1]
    maps = np.zeros((kinds + 1, height, width), np.float32)
    centre = spec.stride / 2 - 0.5
    for person in people:
        for kind in np.flatnonzero(person[:, 2] > 0):
            _add_gaussian(maps[kind], person[kind, :2], centre, spec)
    np.minimum(maps[:kinds], 1.0, out=maps[:kinds])
    maps[kinds] = 1.0 - maps[:kinds].max(axis=0)
    return maps


def _add_gaussian(grid: Floats, point: NDArray[np.float64], centre: float, spec: TargetSpec) -> None:
    height, width = grid.shape
    reach = 4 * spec.sigma
    x0, x1 = _span(point[0], reach, spec.stride, width)
    y0, y1 = _span(point[1], reach, spec.stride, height)
    if x0 >= x1 or y0 >= y1:
        return
    dx = np.arange(x0, x1) * spec.stride + centre - point[0]
    dy = np.arange(y0, y1) * spec.stride + centre - point[1]
    exponent = (dx[None, :] ** 2 + dy[:, None] ** 2) / (2 * spec.sigma**2)
    grid[y0:y1, x0:x1] += np.where(exponent <= FAR, np.exp(-exponent), 0.0).astype(np.float32)


def _span(at: float, reach: float, stride: int, cells: int) -> tuple[int, int]:
    return max(int((at - reach) // stride), 0), min(int((at + reach) // stride) + 1, cells)


def pafs(people: NDArray[np.float64], size: tuple[int, int], spec: TargetSpec) -> Floats:
    """Draw the part affinity fields.

    Returns
    -------
    ndarray, shape (38, height, width), float32
        Unit vectors from keypoint a to b of each limb, within `limb_width` cells of the line through both and
        one cell around their box; 0 elsewhere. Later people overwrite earlier ones.
    """
    maps = np.zeros((PAF_CHANNELS, *size), np.float32)
    for person in people:
        for a, b, channel_x, channel_y in LIMBS:
            if person[a, 2] > 0 and person[b, 2] > 0:
                ends = person[[a, b], :2] / spec.stride
                _draw_limb(maps[channel_x], maps[channel_y], ends, spec.limb_width)
    return maps


def _draw_limb(map_x: Floats, map_y: Floats, ends: NDArray[np.float64], half: float) -> None:
    (ax, ay), (bx, by) = ends
    length = float(np.hypot(bx - ax, by - ay))
    if length == 0:
        return
    ux, uy = (bx - ax) / length, (by - ay) / length
    height, width = map_x.shape
    x0, x1 = max(int(min(ax, bx) - half), 0), min(int(max(ax, bx) + half), width)
    y0, y1 = max(int(min(ay, by) - half), 0), min(int(max(ay, by) + half), height)
    if x0 >= x1 or y0 >= y1:
        return
    dx, dy = np.arange(x0, x1) - ax, np.arange(y0, y1) - ay
    near = np.abs(dx[None, :] * uy - dy[:, None] * ux) <= half
    map_x[y0:y1, x0:x1][near] = ux
    map_y[y0:y1, x0:x1][near] = uy
