"""Turn the maps of an anchor-free detector into boxes, and into keypoints where it gives them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cython_ext.activations import score_table, softmax_table
from cython_ext.fused import by_type
from cython_ext.rules import BoxLevel, BoxRules, Detections, Quantized
from cython_ext.specs import NOT_BUILT, Floats, dequantization_table

try:
    import cython_ext._boxes as kernels
except ImportError as err:
    raise ImportError(NOT_BUILT) from err

NO_TABLE = np.zeros(256, np.float32)  # for float maps, which need no table
COLLECT, PLACE, POINT = by_type(kernels.collect), by_type(kernels.place), by_type(kernels.point)


class BoxFinder:
    """Finds people in a detector's maps; keeps its memory between calls.

    Parameters
    ----------
    rules : BoxRules

    Notes
    -----
    One finder serves one thread. Every cell of every level may be a candidate, so none is lost for want of memory.
    """

    def __init__(self, rules: BoxRules) -> None:
        self.rules = rules
        self._buffers = kernels.BoxBuffers(rules)
        self._layout: tuple[object, ...] = ()
        self._tables: list[tuple[Floats, ...]] = []

    def __call__(self, levels: Sequence[BoxLevel]) -> Detections:
        """Find people.

        Parameters
        ----------
        levels : sequence of BoxLevel
            All resolutions of one picture's maps, read in place.

        Returns
        -------
        Detections
            Views of memory that the next call overwrites.

        Raises
        ------
        TypeError, ValueError
            Types, shapes, scales or zero points make no sense.
        """
        layout = tuple(map(_layout, levels))
        if layout != self._layout or not layout:
            self._fit(levels)
            self._layout = layout
        ws = self._buffers
        ws.begin()
        for i, (level, tables) in enumerate(zip(levels, self._tables, strict=True)):
            scores, objectness = level.scores.values, level.objectness
            COLLECT[scores.dtype](
                ws, i, scores, None if objectness is None else objectness.values, tables[0], tables[1]
            )
        kernels.rank(ws)
        for i, (level, tables) in enumerate(zip(levels, self._tables, strict=True)):
            boxes = level.boxes.values
            PLACE[boxes.dtype](ws, i, boxes, tables[2], tables[3], *level.unit, level.step)
        people = kernels.suppress(ws)
        for i, (level, tables) in enumerate(zip(levels, self._tables, strict=True)):
            if level.keypoints is not None:
                points = level.keypoints.values
                POINT[points.dtype](ws, i, points, tables[4], tables[5], *level.unit, level.step)
        return Detections(
            boxes=ws.boxes_array[:people],
            scores=ws.scores_array[:people],
            classes=ws.classes_array[:people],
            points=ws.points_array[:people],
        )

    def _fit(self, levels: Sequence[BoxLevel]) -> None:
        """Prepare for maps of other sizes or quantization."""
        if not levels:
            raise ValueError("no levels: expected the maps of one picture")
        for level in levels:
            level.check(self.rules)
            if level.objectness is not None and level.objectness.values.dtype != level.scores.values.dtype:
                raise TypeError("scores and objectness: expected both float32 or both int8")
        self._buffers.fit(sum(int(np.prod(level.scores.values.shape[:2])) for level in levels))
        self._tables = [self._level_tables(level) for level in levels]

    def _level_tables(self, level: BoxLevel) -> tuple[Floats, ...]:
        """Return tables by int8 for scores, objectness, boxes, weights of bins, keypoints and visibilities."""
        logits = self.rules.logits

        def scores(maps: Quantized | None) -> Floats:
            if maps is None or maps.values.dtype != np.int8:
                return NO_TABLE
            return score_table(maps.scale, maps.zero_point, logits=logits)

        def reals(maps: Quantized | None) -> Floats:
            if maps is None or maps.values.dtype != np.int8:
                return NO_TABLE
            return dequantization_table(maps.scale, maps.zero_point)

        weights = softmax_table(level.boxes.scale) if level.boxes.values.dtype == np.int8 else NO_TABLE
        keypoints = level.keypoints
        return (
            scores(level.scores),
            scores(level.objectness),
            reals(level.boxes),
            weights,
            reals(keypoints),
            scores(keypoints),
        )


def _layout(level: BoxLevel) -> tuple[object, ...]:
    """Return everything that the tables and the memory of a level depend on."""
    parts: list[object] = [level.unit, level.step]
    for maps in (level.scores, level.boxes, level.objectness, level.keypoints):
        if maps is not None:
            values = maps.values
            parts += [
                getattr(values, "shape", None),
                getattr(values, "dtype", None),
                maps.scale,
                maps.zero_point,
            ]
        else:
            parts.append(None)
    return tuple(parts)
