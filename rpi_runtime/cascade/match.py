"""Who is who between two sets of people, by object keypoint similarity (OKS, cocodataset.org/#keypoints-eval)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.model.card import Skeleton
from rpi_runtime.poses import Pose
from rpi_runtime.track.places import place_sigmas, places_of
from rpi_runtime.track.tracker import FEWEST_SHARED, person_scales

TOLERANCE = 2.0  # on COCO's sigmas, as in tracking
SAME = 0.9  # two people more alike than this are one, found twice


class Likeness:
    """How alike people are, from 0 to 1: OKS over the keypoints, and points of the box, that both have.

    Parameters
    ----------
    skeleton : Skeleton
    """

    def __init__(self, skeleton: Skeleton) -> None:
        self._count = len(skeleton.keypoints)
        self._variance = 2 * (2 * place_sigmas(skeleton) * TOLERANCE) ** 2  # see rpi_runtime.track.tracker

    def __call__(self, ours: Sequence[Pose], theirs: Sequence[Pose]) -> NDArray[np.float64]:
        """Compare each of `ours` with each of `theirs`: (N, M)."""
        if not (len(ours) and len(theirs)):
            return np.zeros((len(ours), len(theirs)))
        a, b = places_of(ours, self._count), places_of(theirs, self._count)
        scale = np.maximum(person_scales(a)[:, None], person_scales(b))  # (N, M)
        both = (a[:, None, :, 2] > 0) & (b[None, :, :, 2] > 0)  # (N, M, K + 3)
        apart = a[:, None, :, :2].astype(np.float64) - b[None, :, :, :2]
        distance2 = (apart**2).sum(axis=3)
        near = np.exp(-distance2 / (self._variance * scale[..., None] ** 2)) * both
        alike: NDArray[np.float64] = near.sum(axis=2) / np.maximum(both.sum(axis=2), FEWEST_SHARED)
        return alike


def pair(alike: NDArray[np.float64], least: float) -> list[int]:
    """Return for each column of (N, M) the row that belongs to it, -1 for none; best pair first, no row twice."""
    rows = [-1] * alike.shape[1]
    taken: set[int] = set()
    for flat in np.argsort(-alike, axis=None, kind="stable").tolist():
        row, column = divmod(flat, alike.shape[1])
        if alike[row, column] < least:
            break
        if rows[column] < 0 and row not in taken:
            rows[column] = row
            taken.add(row)
    return rows


def doubles(alike: NDArray[np.float64], scores: Sequence[float]) -> list[int]:
    """Return who is somebody else again, of (N, N): of two the surer one stays, of equals the earlier one."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    kept: list[int] = []
    gone: list[int] = []
    for i in order:
        (gone if any(alike[i, j] > SAME for j in kept) else kept).append(i)
    return gone
