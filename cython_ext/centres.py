"""Turn the maps of a network with centres into people: MoveNet, for one person or for many."""

from __future__ import annotations

from typing import Any

import numpy as np

from cython_ext.fused import by_type
from cython_ext.rules import Centred, CentreMaps, CentreRules, Quantized
from cython_ext.specs import NOT_BUILT, dequantization_table

try:
    import cython_ext._centres as kernels
except ImportError as err:
    raise ImportError(NOT_BUILT) from err

FIND = by_type(kernels.find)


class CentreFinder:
    """Finds people in the maps of a network with centres; keeps its memory between calls.

    Parameters
    ----------
    rules : CentreRules

    Notes
    -----
    One finder serves one thread. Every cell may be a centre, so none is lost for want of memory.
    """

    def __init__(self, rules: CentreRules) -> None:
        self.rules = rules
        self._buffers = kernels.CentreBuffers(rules)
        self._layout: tuple[object, ...] = ()

    def __call__(self, maps: CentreMaps) -> Centred:
        """Find people.

        Parameters
        ----------
        maps : CentreMaps
            All of one type, read in place.

        Returns
        -------
        Centred
            Views of memory that the next call overwrites.

        Raises
        ------
        TypeError, ValueError
            Types, shapes, scales or zero points make no sense.
        """
        parts = (maps.centre, maps.heatmaps, maps.regress, maps.offset, maps.box_scale, maps.box_offset)
        layout = tuple(None if part is None else _layout(part) for part in parts)
        if layout != self._layout:
            self._fit(maps, parts)
            self._layout = layout
        ws = self._buffers
        people = FIND[maps.centre.values.dtype](ws, *(None if p is None else p.values for p in parts))
        return Centred(
            points=ws.points_array[:people], centres=ws.centres_array[:people], boxes=ws.boxes_array[:people]
        )

    def _fit(self, maps: CentreMaps, parts: tuple[Quantized | None, ...]) -> None:
        """Prepare for maps of another size or quantization."""
        maps.check(self.rules)
        if len({part.values.dtype for part in maps.all()}) != 1:
            raise TypeError("centre, heatmaps, regress, offset, boxes: expected all float32 or all int8")
        tables = np.zeros((len(parts), 256), np.float32)
        for table, part in zip(tables, parts, strict=True):
            if part is not None and part.values.dtype == np.int8:
                table[:] = dequantization_table(part.scale, part.zero_point)
        height, width = maps.centre.values.shape[:2]
        self._buffers.fit(height, width, tables)


def _layout(part: Quantized) -> tuple[Any, ...]:
    values = part.values
    return getattr(values, "shape", None), getattr(values, "dtype", None), part.scale, part.zero_point
