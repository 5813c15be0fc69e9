"""Find the keypoints of one person in heatmaps, by maximum or Beta-Soft-Argmax; drop duplicate people."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cython_ext.fused import by_type
from cython_ext.specs import NOT_BUILT, PointRules, Stored, check_maps, dequantization_table
from cython_ext.tables import weight_table

try:
    import cython_ext._topdown as kernels
except ImportError as err:
    raise ImportError(NOT_BUILT) from err

FIND, AVERAGE = by_type(kernels.find), by_type(kernels.average)


class PointFinder:
    """Finds the one keypoint of each type in the heatmaps of one person; keeps its memory between calls.

    Parameters
    ----------
    rules : PointRules

    Notes
    -----
    In the steady state a call allocates nothing but small Python objects; one finder serves one thread.
    """

    def __init__(self, rules: PointRules) -> None:
        self.rules = rules
        self._buffers = kernels.PointBuffers(rules)
        self._layout: tuple[object, ...] = ()

    def __call__(
        self, maps: Stored, scale: float = 0.0, zero_point: int = 0, flipped: Stored | None = None
    ) -> NDArray[np.float32]:
        """Find keypoints.

        Parameters
        ----------
        maps : ndarray, shape (H, W, C), float32 or int8
            C-contiguous maps are read in place, others are copied first.
        scale, zero_point : float, int
            Quantization of int8 maps: ``real = (stored - zero_point) * scale``. Scale 0 marks float maps.
        flipped : ndarray, shape (H, W, C), of the same type, optional
            The network's maps for the mirrored picture, as they came out: the mean of both is searched.

        Returns
        -------
        ndarray, shape (K, 3), float32
            x, y (indices) and value; (0, 0) with the largest value where no value is above 0 and the maximum is
            sought. A view of memory that the next call overwrites.

        Raises
        ------
        TypeError, ValueError
            Type, shape, scale or zero point make no sense.
        """
        layout = (maps.shape, maps.dtype, scale, zero_point) if isinstance(maps, np.ndarray) else ()
        if layout != self._layout or not layout:
            self._fit(maps, scale, zero_point)
            self._layout = layout
        buffers, rows, channels = self._buffers, _rows(maps), maps.shape[2]
        if flipped is not None:
            if flipped.shape != maps.shape or flipped.dtype != maps.dtype:
                raise ValueError(
                    f"flipped maps of shape {flipped.shape}: expected {maps.shape}, {maps.dtype}"
                )
            AVERAGE[maps.dtype](buffers, rows, _rows(flipped), channels)
            rows, channels = buffers.average_array, self.rules.keypoints
        FIND[rows.dtype](buffers, rows, channels)
        points: NDArray[np.float32] = buffers.points_array
        return points

    def _fit(self, maps: Stored, scale: float, zero_point: int) -> None:
        """Prepare for maps of another size or quantization."""
        check_maps(maps, self.rules.keypoints, scale, zero_point)
        tables: tuple[NDArray[np.float32] | None, ...] = (None, None)
        if maps.dtype == np.int8:
            tables = dequantization_table(scale, zero_point), weight_table(scale, self.rules.beta)
        height, width, channels = maps.shape
        self._buffers.fit(height, width, channels, *tables)


def suppress(
    points: NDArray[np.float32],
    scores: NDArray[np.float64],
    areas: NDArray[np.float64],
    sigmas: NDArray[np.float64],
    threshold: float,
) -> NDArray[np.int32]:
    """Return the people who stay after the less sure one of each two similar people is dropped.

    Parameters
    ----------
    points : ndarray, shape (P, K, 3), float32
        x, y and value; a keypoint whose value is not above 0 is missing. Keypoints missing in both are ignored; a
        keypoint missing in one counts as dissimilar.
    scores, areas : ndarray, shape (P,), float64
        Sureness, and size in square pixels.
    sigmas : ndarray, shape (K,), float64
        COCO's fall-off of each keypoint.
    threshold : float
        Two people with a larger object keypoint similarity (OKS) count as one.

    Returns
    -------
    ndarray, shape (kept,), int32
        Rows, surest first; ties keep their order.
    """
    if len(scores) != len(points) or len(areas) != len(points) or points.shape[1:] != (*sigmas.shape, 3):
        raise ValueError(
            f"{points.shape} points, {len(scores)} scores, {len(areas)} areas, {len(sigmas)} sigmas: expected "
            "one score and area a person, one sigma a keypoint"
        )
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable").astype(np.int32)
    kept = np.empty(len(points), np.int32)
    spreads = (2 * np.asarray(sigmas, np.float64)) ** 2
    sizes = np.ascontiguousarray(areas, np.float64)
    count = kernels.suppress(np.ascontiguousarray(points, np.float32), sizes, spreads, order, threshold, kept)
    return kept[:count]


def _rows(maps: Stored) -> Stored:
    compact = maps if maps.flags.c_contiguous else maps.copy()
    return compact.reshape(maps.shape[0], -1)
