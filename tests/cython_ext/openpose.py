"""The limbs of Lightweight OpenPose, and maps to try decoders on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cython_ext.specs import LimbRules

KEYPOINTS = 18
ENDS = [
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11),
    (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17), (2, 16), (5, 17),
]  # fmt: skip
FIRST_CHANNEL = [12, 20, 14, 16, 22, 24, 0, 2, 4, 6, 8, 10, 28, 30, 34, 32, 36, 18, 26]
LIMBS = tuple(
    (a, b, x, x + 1, i >= 17) for i, ((a, b), x) in enumerate(zip(ENDS, FIRST_CHANNEL, strict=True))
)
RULES = LimbRules(limbs=LIMBS)

# A standing figure: keypoint positions in units of the torso's length, neck at the origin.
FIGURE = np.array(
    [[0, -0.3], [0, 0], [-0.3, 0], [-0.4, 0.45], [-0.4, 0.85], [0.3, 0], [0.4, 0.45], [0.4, 0.85],
     [-0.2, 1.0], [-0.22, 1.7], [-0.22, 2.4],
     [0.2, 1.0], [0.22, 1.7], [0.22, 2.4], [-0.08, -0.4], [0.08, -0.4],
     [-0.18, -0.36], [0.18, -0.36]]
)  # fmt: skip


def draw_people(
    people: NDArray[np.float64], size: tuple[int, int], noise: float = 0.0, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return heatmaps (H, W, 19) and PAFs (H, W, 38) of figures (P, 18, 2) given in cells; NaN is absent."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), axis=-1)  # (H, W, 2)
    heatmaps = np.zeros((*size, KEYPOINTS + 1))
    pafs = np.zeros((*size, 38))
    for person in people:
        for k in np.flatnonzero(~np.isnan(person[:, 0])):
            heatmaps[..., k] += np.exp(-((grid - person[k]) ** 2).sum(axis=-1) / (2 * 0.875**2))
        for a, b, x, y, _ in LIMBS:
            vector = person[b] - person[a]
            length = np.hypot(*vector)
            if not length > 0:
                continue
            along = (grid - person[a]) @ vector / length
            across = np.abs((grid - person[a]) @ [-vector[1], vector[0]]) / length
            near = (along > -1) & (along < length + 1) & (across < 1)
            pafs[near, x], pafs[near, y] = vector / length
    heatmaps = np.minimum(heatmaps, 1)
    heatmaps[..., KEYPOINTS] = 1 - heatmaps[..., :KEYPOINTS].max(axis=-1)
    heatmaps += noise * rng.standard_normal(heatmaps.shape)
    pafs += noise * rng.standard_normal(pafs.shape)
    return heatmaps.astype(np.float32), pafs.astype(np.float32)


def quantize(maps: NDArray[np.float32], scale: float, zero_point: int) -> NDArray[np.int8]:
    """Store real maps as int8."""
    return np.clip(np.round(maps / scale) + zero_point, -128, 127).astype(np.int8)


def crowd(
    count: int, size: tuple[int, int] = (48, 80), noise: float = 0.02
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return maps of `count` small people at random places."""
    rng = np.random.default_rng(count)
    corners = rng.uniform((2, 3), (size[1] - 3, size[0] - 14), (count, 1, 2))
    return draw_people(FIGURE * rng.uniform(3, 5, (count, 1, 1)) + corners, size, noise, seed=count)
