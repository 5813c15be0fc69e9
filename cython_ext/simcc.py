"""Find keypoints from two one-dimensional distributions each (SimCC)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cython_ext.activations import softmax_table
from cython_ext.fused import by_type
from cython_ext.rules import Quantized, SimccRules
from cython_ext.specs import NOT_BUILT, dequantization_table

try:
    import cython_ext._simcc as kernels
except ImportError as err:
    raise ImportError(NOT_BUILT) from err

FIND = by_type(kernels.find)


class SimccFinder:
    """Finds the one keypoint of each type in its two distributions; keeps its memory between calls.

    Parameters
    ----------
    rules : SimccRules

    Notes
    -----
    One finder serves one thread.
    """

    def __init__(self, rules: SimccRules) -> None:
        self.rules = rules
        self._buffers = kernels.SimccBuffers(rules)
        self._layout: tuple[object, ...] = ()
        self._reals = self._weights = np.zeros((2, 256), np.float32)

    def __call__(self, across: Quantized, down: Quantized) -> NDArray[np.float32]:
        """Find keypoints.

        Parameters
        ----------
        across, down : Quantized, (K, bins)
            Along x and along y; both float32 or both int8, read in place.

        Returns
        -------
        ndarray, shape (K, 3), float32
            Bin along x, bin along y, value; 0 where a distribution holds no finite number. A view of memory that the
            next call overwrites.

        Raises
        ------
        TypeError, ValueError
            Types, shapes, scales or zero points make no sense.
        """
        layout = tuple(
            (getattr(a.values, "shape", None), getattr(a.values, "dtype", None), a.scale, a.zero_point)
            for a in (across, down)
        )
        if layout != self._layout:
            self._fit(across, down)
            self._layout = layout
        FIND[across.values.dtype](self._buffers, across.values, down.values, self._reals, self._weights)
        points: NDArray[np.float32] = self._buffers.points_array
        return points

    def _fit(self, across: Quantized, down: Quantized) -> None:
        """Prepare for distributions of another size or quantization."""
        check_axes(across, down, self.rules)
        if across.values.dtype == np.int8:
            axes = (across, down)
            self._reals = np.stack([dequantization_table(a.scale, a.zero_point) for a in axes])
            self._weights = np.stack([softmax_table(a.scale) for a in axes])


def check_axes(across: Quantized, down: Quantized, rules: SimccRules) -> None:
    """Refuse distributions that do not fit the rules or each other; `TypeError` or `ValueError`."""
    across.check("distributions along x", (rules.keypoints, -1))
    down.check("distributions along y", (rules.keypoints, -1))
    if across.values.dtype != down.values.dtype:
        raise TypeError("distributions along x and y: expected both float32 or both int8")
