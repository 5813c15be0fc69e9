"""Drawn heatmaps and tags of people, for the kernels that group by tags."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def crowd(
    people: int, seed: int, components: int = 1, size: tuple[int, int] = (32, 48)
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Maps of people somewhere, a fifth of their keypoints missing, tags 2 apart but for noise; and where they are."""
    rng = np.random.default_rng(seed)
    at = rng.uniform(1, (size[1] - 1, size[0] - 1), (people, 17, 2))
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    heatmaps = rng.normal(0, 0.01, (17, *size))
    tags = rng.normal(0, 3, (components, 17, *size))
    for p, person in enumerate(at):
        for k, (x, y) in enumerate(person):
            square = (columns - x) ** 2 + (rows - y) ** 2
            heatmaps[k] = np.maximum(heatmaps[k], (rng.random() > 0.2) * np.exp(-square / 4))
            tags[:, k][:, square < 6] = 2 * p + rng.normal(0, 0.2, (components, 1))
    return heatmaps.astype(np.float32), tags.astype(np.float32), at
