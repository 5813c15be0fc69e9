"""Map keypoints from the skeleton of one network to that of another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.errors import CardError
from rpi_runtime.model.card import Skeleton

FEWEST_COMMON = 3
SHOULDERS = ("left_shoulder", "right_shoulder")


class Merger:
    """Maps keypoints from the skeleton of the refining network to that of the run.

    Keypoints are matched by name, and without a common name by their place among COCO's keypoints, where both cards
    give one. The neck is the middle of the shoulders where the refining network has no neck, as in the training of
    Lightweight OpenPose (arXiv:1811.12004 follows arXiv:1611.08050 here).

    Parameters
    ----------
    base : Skeleton
        Skeleton of the run.
    other : Skeleton
        Skeleton of the refining network.

    Attributes
    ----------
    known : ndarray, shape (K,), bool
        Keypoints of `base` that the refining network can find.

    Raises
    ------
    CardError
        They have fewer than three keypoints in common.
    """

    def __init__(self, base: Skeleton, other: Skeleton) -> None:
        self._from = np.array([_source(i, base, other) for i in range(len(base.keypoints))])
        common = int((self._from >= 0).sum())
        if common < FEWEST_COMMON:
            raise CardError(
                f"the two networks have {common} keypoints in common ({', '.join(base.keypoints[:4])}... and "
                f"{', '.join(other.keypoints[:4])}...); expected {FEWEST_COMMON} or more: use networks of the same body"
            )
        self._neck = base.keypoints.index("neck") if "neck" in base.keypoints else -1
        shoulders = [other.keypoints.index(s) if s in other.keypoints else -1 for s in SHOULDERS]
        if self._neck >= 0 and (self._from[self._neck] >= 0 or min(shoulders) < 0):
            self._neck = -1
        self._shoulders = shoulders
        self.known = self._from >= 0
        if self._neck >= 0:
            self.known[self._neck] = True

    def carry_over(self, keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return keypoints (J, 3) of the refining network as (K, 3) of the run's; keypoints without a source are 0."""
        carried = np.where(self._from[:, None] >= 0, keypoints[self._from], np.float32(0))
        if self._neck >= 0:
            left, right = keypoints[self._shoulders]
            if min(left[2], right[2]) > 0:
                carried[self._neck, :2] = (left[:2] + right[:2]) / 2
                carried[self._neck, 2] = min(left[2], right[2])
        return np.asarray(carried, np.float32)

    def merge(
        self, coarse: NDArray[np.float32], carried: NDArray[np.float32], *, fresh: bool
    ) -> NDArray[np.float32]:
        """Return refined keypoints, and the coarse ones where a refined one is missing.

        Parameters
        ----------
        coarse, carried : ndarray, shape (K, 3)
        fresh : bool
            `coarse` was found on this very picture. Otherwise it is where a keypoint was on an earlier picture, and a
            keypoint that the refining network looked for and did not find is dropped.
        """
        coarse = coarse if fresh else np.where(self.known[:, None], np.float32(0), coarse)
        return np.asarray(np.where(carried[:, 2:] > 0, carried, coarse), np.float32)


def _source(index: int, base: Skeleton, other: Skeleton) -> int:
    """Return which keypoint of `other` is keypoint `index` of `base`; -1 when no keypoint is."""
    name = base.keypoints[index]
    if name in other.keypoints:
        return other.keypoints.index(name)
    if base.coco and other.coco and index in base.coco:
        return other.coco[base.coco.index(index)]
    return -1
