"""Group keypoints into people by tags (associative embedding), and turn maps into planes of the wanted size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cython_ext.fused import by_type
from cython_ext.specs import (
    NOT_BUILT,
    Floats,
    Groups,
    Stored,
    TagRules,
    check_maps,
    dequantization_table,
    taps,
)

try:
    import cython_ext._planes as plane_kernels
    import cython_ext._tags as kernels
except ImportError as err:
    raise ImportError(NOT_BUILT) from err

UNPACK = by_type(plane_kernels.unpack)
MOST_TAGS = 8


class Unpacker:
    """Turns one output's maps into real planes, one a keypoint; keeps its table between calls.

    Parameters
    ----------
    keypoints : int
        Number of channels that are read, from the first.
    partners : sequence of int, optional
        For each keypoint the one whose place it takes in a mirrored picture.
    """

    def __init__(self, keypoints: int, partners: tuple[int, ...] = ()) -> None:
        self._own = np.arange(keypoints, dtype=np.int32)
        self._partners = np.array(partners, np.int32) if partners else self._own
        self._layout: tuple[object, ...] = ()
        self._reals = np.zeros(256, np.float32)

    def __call__(
        self,
        maps: Stored,
        out: Floats,
        scale: float = 0.0,
        zero_point: int = 0,
        *,
        mirrored: bool = False,
    ) -> None:
        """Write planes.

        Parameters
        ----------
        maps : ndarray, shape (H, W, C), float32 or int8
            C-contiguous maps are read in place, others are copied first.
        out : ndarray, shape (K, H, W), float32
        scale, zero_point : float, int
            Quantization of int8 maps: ``real = (stored - zero_point) * scale``. Scale 0 marks float maps.
        mirrored : bool
            The maps are those of a mirrored picture and are mirrored back.

        Raises
        ------
        TypeError, ValueError
            Type, shape, scale or zero point make no sense.
        """
        layout = (maps.shape, maps.dtype, scale, zero_point) if isinstance(maps, np.ndarray) else ()
        if layout != self._layout or not layout:
            check_maps(maps, len(self._own), scale, zero_point)
            if maps.dtype == np.int8:
                self._reals = dequantization_table(scale, zero_point)
            self._layout = layout
        if out.shape != (len(self._own), *maps.shape[:2]):
            raise ValueError(f"planes of shape {out.shape}: expected {(len(self._own), *maps.shape[:2])}")
        compact = maps if maps.flags.c_contiguous else maps.copy()
        rows = compact.reshape(maps.shape[0], -1)
        partners = self._partners if mirrored else self._own
        UNPACK[maps.dtype](rows, maps.shape[2], self._reals, partners, mirrored, out)


class PlaneResizer:
    """Resizes planes (K, h, w) of one size to another, bilinearly with half-pixel centres; keeps its memory."""

    def __init__(self, source: tuple[int, int], target: tuple[int, int]) -> None:
        self._taps = (*_stacked(source[0], target[0]), *_stacked(source[1], target[1]))
        self._wide = np.zeros((source[0], target[1]), np.float32)
        self._sizes = source, target

    def __call__(self, planes: Floats, out: Floats) -> None:
        """Write `planes` into `out`; `ValueError` when one has another size."""
        if (planes.shape[1:], out.shape[1:]) != self._sizes or len(planes) != len(out):
            raise ValueError(
                f"planes {planes.shape} to {out.shape}: expected {self._sizes[0]} to {self._sizes[1]}"
            )
        plane_kernels.resize(planes, *self._taps, self._wide, out)


class TagGrouper:
    """Joins the peaks of heatmaps into people by their tags; keeps its memory between calls.

    Parameters
    ----------
    rules : TagRules

    Notes
    -----
    In the steady state a call allocates nothing but small Python objects; one grouper serves one thread.
    """

    def __init__(self, rules: TagRules) -> None:
        self.rules = rules
        self._buffers = kernels.TagBuffers(rules)
        self._layout: tuple[object, ...] = ()

    def __call__(self, heatmaps: Floats, tags: Floats) -> Groups:
        """Find people.

        Parameters
        ----------
        heatmaps : ndarray, shape (K, H, W), float32, C-contiguous
        tags : ndarray, shape (T, K, h, w), float32, C-contiguous
            T components of each keypoint's tag, at most 8; h and w may differ from H and W: then tags are
            interpolated bilinearly.

        Returns
        -------
        Groups
            Views of memory that the next call overwrites.

        Raises
        ------
        TypeError, ValueError
            Types or shapes make no sense.
        """
        layout = (heatmaps.shape, tags.shape, heatmaps.dtype, tags.dtype)
        if layout != self._layout:
            self._fit(heatmaps, tags)
            self._layout = layout
        count = kernels.group(self._buffers, heatmaps, tags)
        buffers = self._buffers
        return Groups(
            points=buffers.points_array[:count],
            score=buffers.scores_array[:count],
            count=buffers.counts_array[:count],
        )

    def _fit(self, heatmaps: Floats, tags: Floats) -> None:
        if heatmaps.dtype != np.float32 or tags.dtype != np.float32:
            raise TypeError(f"planes of {heatmaps.dtype} and {tags.dtype}: expected float32")
        keypoints = self.rules.keypoints
        if heatmaps.ndim != 3 or heatmaps.shape[0] != keypoints or min(heatmaps.shape) < 1:
            raise ValueError(f"heatmaps of shape {heatmaps.shape}: expected ({keypoints}, H, W)")
        if tags.ndim != 4 or tags.shape[1] != keypoints or min(tags.shape) < 1 or len(tags) > MOST_TAGS:
            raise ValueError(f"tags of shape {tags.shape}: expected (1 to {MOST_TAGS}, {keypoints}, h, w)")
        down, across = (_stacked(tags.shape[i], heatmaps.shape[i - 1]) for i in (2, 3))
        self._buffers.fit(*down, *across)


def _stacked(source: int, target: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Both source positions of each target position, (2, target), and the weight of the second."""
    low, high, weight = taps(source, target)
    return np.stack([low, high]), weight
