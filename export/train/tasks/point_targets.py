"""Draw training targets of networks with COCO's 17 keypoints: networks with tags and top-down networks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cython_ext.specs import Floats
from export.zoo.skeletons import COCO_17_FLIP_PAIRS
from rpi_runtime.decode.maps import partners

KEYPOINTS = 17
MIRRORED = partners(COCO_17_FLIP_PAIRS, KEYPOINTS)
MOST_PEOPLE = 30  # largest number of people whose tags are trained in one picture


def tag_heatmaps(people: NDArray[np.float64], size: tuple[int, int], sigma: float) -> Floats:
    """Draw the heatmaps of networks with tags, as HigherHRNet's and EfficientHRNet's training does.

    Parameters
    ----------
    people : ndarray, shape (P, K, 3)
        x, y in cells, and a flag; 0 is not drawn. A keypoint belongs to the cell of its integer part.
    size : (int, int)
        Height and width of the maps.
    sigma : float
        Standard deviation in cells. A Gaussian ends ``3 sigma + 1`` cells from its middle.

    Returns
    -------
    ndarray, shape (K, height, width), float32
        The largest of the people's Gaussians.
    """
    maps = np.zeros((people.shape[1], *size), np.float32)
    for person in people:
        for kind in np.flatnonzero(person[:, 2] > 0):
            x, y = (int(v) for v in person[kind, :2])
            if 0 <= x < size[1] and 0 <= y < size[0]:
                _draw(maps[kind], x, y, sigma, int(3 * sigma + 1))
    return maps


def tag_joints(people: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.int32]:
    """Return the places of each person's tags.

    Returns
    -------
    ndarray, shape (30, K, 2), int32
        Index into the flattened maps (K, height, width) and 1; 0 and 0 for a keypoint that is absent or outside.
        People without any keypoint inside are left out.
    """
    height, width = size
    joints = np.zeros((MOST_PEOPLE, people.shape[1], 2), np.int32)
    row = 0
    for person in people:
        cells = person[:, :2].astype(np.int64)
        seen = (person[:, 2] > 0) & (cells >= 0).all(axis=1) & (cells < (width, height)).all(axis=1)
        if row < MOST_PEOPLE and seen.any():
            kinds = np.flatnonzero(seen)
            joints[row, kinds, 0] = (kinds * height + cells[kinds, 1]) * width + cells[kinds, 0]
            joints[row, kinds, 1] = 1
            row += 1
    return joints


def exact_heatmaps(
    person: NDArray[np.float64], size: tuple[int, int], stride: int, sigma: float, origin: float
) -> tuple[Floats, Floats]:
    """Draw Gaussians around the keypoints themselves instead of their cells (Zhang et al. 2020, arXiv:1910.06278).

    Parameters
    ----------
    person : ndarray, shape (K, 3)
        x, y as indices of the crop's pixels, and a flag; 0 is not drawn.
    size, stride, sigma
        As in `crop_heatmaps`.
    origin : float
        Position of the first cell in pixels, continuous: cell i stands for index ``stride * i + origin - 0.5``.

    Returns
    -------
    maps, weight
        As in `crop_heatmaps`. A keypoint counts if its nearest cell is on the map.
    """
    cells = (person[:, :2] + 0.5 - origin) / stride
    columns, rows = np.arange(size[1]), np.arange(size[0])
    across = np.exp(-((columns - cells[:, :1]) ** 2) / (2 * sigma**2))
    down = np.exp(-((rows - cells[:, 1:]) ** 2) / (2 * sigma**2))
    nearest = np.rint(cells)
    inside = ((nearest >= 0) & (nearest < (size[1], size[0]))).all(axis=1) & (person[:, 2] > 0)
    maps = down[:, :, None] * across[:, None, :] * inside[:, None, None]
    return maps.astype(np.float32), inside.astype(np.float32)


def crop_heatmaps(
    person: NDArray[np.float64], size: tuple[int, int], stride: int, sigma: float
) -> tuple[Floats, Floats]:
    """Draw the heatmaps of one person's crop, as HRNet's training does.

    Parameters
    ----------
    person : ndarray, shape (K, 3)
        x, y in pixels of the crop, and a flag; 0 is not drawn.
    size : (int, int)
        Height and width of the maps.
    stride : int
    sigma : float
        Standard deviation in cells. A Gaussian ends ``3 sigma`` cells from its middle, which is the cell
        ``int(x / stride + 0.5)``.

    Returns
    -------
    maps : ndarray, shape (K, height, width), float32
    weight : ndarray, shape (K,), float32
        0 for a keypoint that is absent or so far outside that no cell is drawn, else 1.
    """
    maps = np.zeros((len(person), *size), np.float32)
    weight = np.zeros(len(person), np.float32)
    reach = int(3 * sigma)
    for kind in np.flatnonzero(person[:, 2] > 0):
        x, y = (int(v / stride + 0.5) for v in person[kind, :2])
        if -reach <= x + 1 and x - reach < size[1] and -reach <= y + 1 and y - reach < size[0]:
            weight[kind] = 1
            _draw(maps[kind], x, y, sigma, reach)
    return maps, weight


def _draw(grid: Floats, x: int, y: int, sigma: float, reach: int) -> None:
    """Draw a Gaussian of height 1 at a cell, where it is larger than the map."""
    x0, x1 = max(x - reach, 0), min(x + reach + 1, grid.shape[1])
    y0, y1 = max(y - reach, 0), min(y + reach + 1, grid.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    dx, dy = np.arange(x0, x1) - x, np.arange(y0, y1) - y
    bell = np.exp(-(dx[None, :] ** 2 + dy[:, None] ** 2) / (2 * sigma**2)).astype(np.float32)
    np.maximum(grid[y0:y1, x0:x1], bell, out=grid[y0:y1, x0:x1])
