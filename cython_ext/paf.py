"""Join keypoints into people along part affinity fields (PAFs): limb scores and assembly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cython_ext.fused import by_type
from cython_ext.specs import NOT_BUILT, LimbRules, Peaks, People, Stored, check_maps, dequantization_table
from cython_ext.tables import cubic_weights

try:
    import cython_ext._paf as kernels
    from cython_ext._heatmaps import OVERFLOW
except ImportError as err:
    raise ImportError(NOT_BUILT) from err

GROUP = by_type(kernels.group)


class Grouper:
    """Joins the peaks of one network into people; keeps its memory between calls.

    Parameters
    ----------
    keypoints : int
        Types of keypoints.
    rules : LimbRules
    upsample : {0, 4, 8}
        The value of the `PeakRules` that found the peaks: 0 samples limbs bilinearly at 10 points between cells,
        4 and 8 at the nearest pixels of the upsampled field.
    """

    def __init__(self, keypoints: int, rules: LimbRules, upsample: int = 0) -> None:
        limbs = rules.table()
        self._keypoints = keypoints
        if limbs[:, :2].max() >= keypoints:
            raise ValueError(f"limbs name keypoint {limbs[:, :2].max()}: expected 0 to {keypoints - 1}")
        self.rules = rules
        self._channels = int(limbs[:, 2:4].max()) + 1
        weights = cubic_weights(upsample) if upsample else None
        self._buffers = kernels.GroupBuffers(keypoints, limbs, weights, rules)
        self._layout: tuple[object, ...] = ()

    def __call__(self, peaks: Peaks, pafs: Stored, scale: float = 0.0, zero_point: int = 0) -> People:
        """Group peaks.

        Parameters
        ----------
        peaks : Peaks
        pafs : ndarray, shape (H, W, C), float32 or int8
            Any strides; read in place.
        scale, zero_point : float, int
            Quantization of int8 fields: ``real = (stored - zero_point) * scale``. Scale 0 marks float fields.

        Returns
        -------
        People
            Views of memory that the next call overwrites.

        Raises
        ------
        TypeError, ValueError
            Type, shape, scale or zero point make no sense.
        """
        if peaks.starts.shape[0] != self._keypoints + 1 or peaks.starts[-1] != peaks.table.shape[0]:
            raise ValueError(
                f"{len(peaks.table)} peaks with starts {peaks.starts}: expected {self._keypoints} types"
            )
        if not isinstance(pafs, np.ndarray):
            check_maps(pafs, self._channels, scale, zero_point)
        layout = (pafs.shape, pafs.dtype, scale, zero_point)
        if layout != self._layout:
            check_maps(pafs, self._channels, scale, zero_point)
            if pafs.dtype == np.int8:
                self._buffers.dequantize(dequantization_table(scale, zero_point))
            self._layout = layout
        group = GROUP[pafs.dtype]
        buffers = self._buffers
        count = group(buffers, peaks.table, peaks.starts, pafs)
        while count == OVERFLOW:
            people, pairs = buffers.capacity
            buffers.reserve(2 * people, 2 * pairs)
            count = group(buffers, peaks.table, peaks.starts, pafs)
        return People(
            peaks=buffers.entries_array[:count],
            score=buffers.scores_array[:count],
            count=buffers.counts_array[:count],
        )

    def place(
        self,
        peaks: Peaks,
        cell: float,
        to_image: NDArray[np.float32],
        out: NDArray[np.float32],
    ) -> None:
        """Write the keypoints of the people grouped last in pixels of the image.

        Parameters
        ----------
        peaks : Peaks
            The peaks that were grouped.
        cell : float
            Pixels of the network's input per pixel of the peaks' map.
        to_image : ndarray, shape (4,), float32
            Shift of x and y, scale of x and y: ``x_image = ((x + 0.5) * cell - shift) / scale``.
        out : ndarray, shape (P, K, 3), float32
            Receives x, y, score; (0, 0, 0) where a keypoint was not found.
        """
        if out.shape[1:] != (self._keypoints, 3) or len(out) > len(self._buffers.scores_array):
            raise ValueError(f"out of shape {out.shape}: expected (people, {self._keypoints}, 3)")
        kernels.place(self._buffers, peaks.table, cell, to_image, out)
