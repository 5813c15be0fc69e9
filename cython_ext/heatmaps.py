"""Find keypoints in heatmaps: sub-pixel maxima, or the peaks of upsampled maps without upsampling them."""

from __future__ import annotations

import numpy as np

from cython_ext.fused import by_type
from cython_ext.specs import (
    EXACT_RADIUS,
    NOT_BUILT,
    PeakRules,
    Peaks,
    Stored,
    check_maps,
    dequantization_table,
)
from cython_ext.tables import cubic_weights

try:
    import cython_ext._heatmaps as kernels
    import cython_ext._upsampled as exact_kernels
except ImportError as err:
    raise ImportError(NOT_BUILT) from err

FAST, EXACT = by_type(kernels.fast), by_type(exact_kernels.exact)


class PeakFinder:
    """Finds keypoints in the heatmaps of one network; keeps its memory between calls.

    Parameters
    ----------
    rules : PeakRules

    Notes
    -----
    In the steady state a call allocates nothing but the small Python objects that it returns. One finder
    serves one thread; the kernels hold no lock of the interpreter.

    Exact peaks need no upsampled map. Bicubic interpolation is local and overshoots little, so that a pixel
    can only reach the threshold beside a cell that is large enough: those few patches are interpolated, each
    with a ring of one pixel to compare with. ``_upsampled.pyx`` derives the bound.
    """

    def __init__(self, rules: PeakRules) -> None:
        self.rules = rules
        self._buffers = kernels.PeakBuffers(rules.keypoints)
        self._layout: tuple[object, ...] = ()
        self._copy: Stored | None = None

    def __call__(self, maps: Stored, scale: float = 0.0, zero_point: int = 0) -> Peaks:
        """Find keypoints.

        Parameters
        ----------
        maps : ndarray, shape (H, W, C), float32 or int8
            C at least ``rules.keypoints``. C-contiguous maps, as interpreters give them, are read in place;
            any other layout is copied first, unconverted, into memory that is kept.
        scale, zero_point : float, int
            Quantization of int8 maps: ``real = (stored - zero_point) * scale``. Scale 0 marks float maps.

        Returns
        -------
        Peaks
            Views of memory that the next call overwrites.

        Raises
        ------
        TypeError, ValueError
            Type, shape, scale or zero point make no sense.
        """
        if not isinstance(maps, np.ndarray):
            check_maps(maps, self.rules.keypoints, scale, zero_point)
        layout = (maps.shape, maps.strides, maps.dtype, scale, zero_point)
        if layout != self._layout:
            self._fit(maps, scale, zero_point)
            self._layout = layout
        height, width, channels = maps.shape
        if self._copy is not None:
            np.copyto(self._copy, maps)
            maps = self._copy
        count = self._find(maps.reshape(height, width * channels), channels)
        buffers = self._buffers
        return Peaks(table=buffers.table_array[:count], starts=buffers.starts_array)

    def _find(self, rows: Stored, channels: int) -> int:
        rules, buffers = self.rules, self._buffers
        by_score = rules.suppression == "score"
        while True:
            if rules.upsample:
                count = EXACT[rows.dtype](buffers, rows, channels, rules.peak_threshold, EXACT_RADIUS)
            else:
                count = FAST[rows.dtype](
                    buffers, rows, channels, rules.peak_threshold, rules.radius, by_score
                )
            if count != kernels.OVERFLOW:
                return count
            buffers.reserve(2 * buffers.capacity)

    def _fit(self, maps: Stored, scale: float, zero_point: int) -> None:
        """Prepare for maps of another size, layout or quantization."""
        check_maps(maps, self.rules.keypoints, scale, zero_point)
        height, width, channels = maps.shape
        weights = cubic_weights(self.rules.upsample) if self.rules.upsample else None
        self._buffers.fit(height, width, channels, weights)
        if maps.dtype == np.int8:
            self._buffers.dequantize(dequantization_table(scale, zero_point))
        self._buffers.limit(channels, self.rules.candidate)
        self._copy = None if maps.flags.c_contiguous else maps.copy()
