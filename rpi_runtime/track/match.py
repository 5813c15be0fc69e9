"""Match two sets of people by object keypoint similarity (OKS, cocodataset.org/#keypoints-eval).

The tracker matches tracks with poses, the cascade people on crops with people on the whole picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.model.card import Skeleton
from rpi_runtime.poses import Pose
from rpi_runtime.track.places import person_scales, place_sigmas, places_of

TOLERANCE = (
    2.0  # factor on COCO's sigmas, which describe the spread of annotators, not the movement of people
)
FEWEST_SHARED = 3  # with fewer common keypoints, the missing ones count as dissimilar


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Places:
    """Where the points of N people are, in pixels.

    Attributes
    ----------
    points : ndarray, shape (N, K, 2)
    known : ndarray, shape (N, K), bool
    scales : ndarray, shape (N,)
        Sizes of the people: square roots of OKS's area.
    """

    points: NDArray[np.floating]
    known: NDArray[np.bool_]
    scales: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """Each of N people beside each of M.

    Attributes
    ----------
    scale : ndarray, shape (N, M)
        The larger size of the two, in pixels.
    both : ndarray, shape (N, M, K), bool
        Which points both have.
    distance2 : ndarray, shape (N, M, K)
        Squared distances in pixels; meaningless where a point is missing.
    alike : ndarray, shape (N, M)
        Sum of the similarities of the points that both have.
    """

    scale: NDArray[np.float64]
    both: NDArray[np.bool_]
    distance2: NDArray[np.float64]
    alike: NDArray[np.float64]

    @property
    def oks(self) -> NDArray[np.float64]:
        """Mean similarity of the common points, from 0 to 1, (N, M)."""
        mean: NDArray[np.float64] = self.alike / np.maximum(self.both.sum(axis=2), FEWEST_SHARED)
        return mean


class Matcher:
    """Compares people of one skeleton over their keypoints, and the points of their boxes.

    Parameters
    ----------
    skeleton : Skeleton
    tolerance : float
        Factor on COCO's sigmas.
    """

    def __init__(self, skeleton: Skeleton, tolerance: float = TOLERANCE) -> None:
        self._count = len(skeleton.keypoints)
        # OKS is exp(-d^2 / (2 s^2 k^2)) with k = 2 sigma
        self._variance = 2 * (2 * place_sigmas(skeleton) * tolerance) ** 2  # (K + 3,)

    def places(self, poses: Sequence[Pose]) -> Places:
        """Return where people are."""
        points = places_of(poses, self._count)  # (N, K + 3, 3)
        return Places(points=points[..., :2], known=points[..., 2] > 0, scales=person_scales(points))

    def compare(self, ours: Places, theirs: Places) -> Comparison:
        """Compare each of `ours` (N) with each of `theirs` (M)."""
        scale = np.maximum(ours.scales[:, None], theirs.scales)
        both = ours.known[:, None] & theirs.known[None]
        apart = ours.points[:, None].astype(np.float64) - theirs.points[None]  # (N, M, K, 2)
        distance2 = np.einsum("nmkc,nmkc->nmk", apart, apart)
        near = np.exp(-distance2 / (self._variance * scale[..., None] ** 2)) * both
        return Comparison(scale=scale, both=both, distance2=distance2, alike=near.sum(axis=2))

    def oks(self, ours: Sequence[Pose], theirs: Sequence[Pose]) -> NDArray[np.float64]:
        """Return how alike each of `ours` is to each of `theirs`, from 0 to 1, (N, M)."""
        return self.compare(self.places(ours), self.places(theirs)).oks


def pair(merit: NDArray[np.float64], rows: NDArray[np.intp] | None = None) -> NDArray[np.intp]:
    """Give each column of `merit` at most one row, and each row at most one column; the best pair comes first.

    Ties go to the lower row, then to the lower column. The result differs from the optimal assignment only where two
    people nearly coincide, and there the better pair is the better evidence.

    Parameters
    ----------
    merit : ndarray, shape (N, M)
        Only pairs with a positive merit are made.
    rows : ndarray, shape (M,), optional
        Rows that columns have already, -1 for none; these stay.

    Returns
    -------
    ndarray, shape (M,)
        The row of each column, -1 for none.
    """
    rows = np.full(merit.shape[1], -1, np.intp) if rows is None else rows.copy()
    taken = set(rows[rows >= 0].tolist())
    for flat in np.argsort(-merit, axis=None, kind="stable").tolist():
        row, column = divmod(flat, len(rows))
        if merit[row, column] <= 0:
            break
        if rows[column] < 0 and row not in taken:
            rows[column] = row
            taken.add(row)
    return rows
