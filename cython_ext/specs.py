"""Arguments and results of the decoding kernels and of their NumPy oracles.

Positions are map pixels as indices: the centre of the first cell is (0, 0). Exact peaks count pixels of the
upsampled map, fast peaks cells of the map itself.
"""

from __future__ import annotations

import math
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

POINTS_PER_LIMB = 10
EXACT_RADIUS = 6
UPSAMPLINGS = (4, 8)
_FOLDER = Path(__file__).parents[1]
_WHAT = (
    f"-e {shlex.quote(str(_FOLDER))}" if (_FOLDER / "pyproject.toml").is_file() else "--force-reinstall WHEEL"
)
NOT_BUILT = (
    "the compiled kernels of cython_ext are missing, or made for another Python; run: "
    f"{shlex.quote(sys.executable)} -m pip install {_WHAT}"
)

Floats = NDArray[np.float32]
Stored = Floats | NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakRules:
    """How a keypoint is found in a heatmap.

    Attributes
    ----------
    keypoints : int
        Channels 0 to ``keypoints - 1`` are searched; a background channel behind them is not.
    peak_threshold : float
        Least value of a peak, above 0.
    upsample : {0, 4, 8}
        4 or 8: the reference's peaks on the bicubically upsampled map, suppressed within 6 of its pixels by
        position, whatever `candidate_fraction`, `radius` and `suppression` say. 0: maxima of the map itself with
        sub-pixel positions.
    candidate_fraction : float
        A cell may hold a sub-pixel peak when it reaches this part of the threshold: peaks rise between cells.
    radius : float
        Sub-pixel peaks nearer than this, in cells, suppress each other.
    suppression : {"position", "score"}
        Which peak stays: the left one, as in the reference, or the higher one.
    """

    keypoints: int
    peak_threshold: float = 0.1
    upsample: int = 0
    candidate_fraction: float = 0.6
    radius: float = 0.75
    suppression: Literal["position", "score"] = "position"

    def __post_init__(self) -> None:
        if self.keypoints < 1:
            raise ValueError(f"keypoints {self.keypoints}: expected at least 1")
        if not 0 < self.peak_threshold < np.inf:
            raise ValueError(f"peak_threshold {self.peak_threshold}: expected finite, above 0")
        if not 0 < self.candidate_fraction <= 1:
            raise ValueError(f"candidate_fraction {self.candidate_fraction}: expected above 0 and at most 1")
        if self.upsample not in (0, *UPSAMPLINGS):
            raise ValueError(f"upsample {self.upsample}: expected 0 (sub-pixel), 4 or 8")
        if not 0 <= self.radius < np.inf:
            raise ValueError(f"radius {self.radius}: expected finite, at least 0")
        if self.suppression not in ("position", "score"):
            raise ValueError(f"suppression {self.suppression!r}: expected 'position' or 'score'")

    @property
    def candidate(self) -> float:
        """Least value of a cell that may hold a sub-pixel peak."""
        return self.candidate_fraction * self.peak_threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class LimbRules:
    """How keypoints are joined into people.

    Attributes
    ----------
    limbs : tuple of (a, b, x, y, fill_only)
        In decoding order: keypoint types of the two ends, PAF channels, and whether the limb may only
        complete a person.
    limb_threshold : float
        A sample point counts when field times direction is above this.
    limb_fraction : float
        At least this part of a limb's 10 sample points must count.
    min_keypoints : int
        A person with fewer keypoints is dropped.
    min_score : float
        A person with less score per keypoint is dropped.
    merge : bool
        A limb between two people who have no keypoint type in common makes one person of them.
        The reference never does.
    """

    limbs: tuple[tuple[int, int, int, int, bool], ...]
    limb_threshold: float = 0.05
    limb_fraction: float = 0.9
    min_keypoints: int = 3
    min_score: float = 0.2
    merge: bool = False

    def __post_init__(self) -> None:
        if not self.limbs or any(len(limb) != 5 or min(limb) < 0 for limb in self.limbs):
            raise ValueError("limbs: expected one or more (a, b, x, y, fill_only), none negative")
        if any(limb[0] == limb[1] for limb in self.limbs):
            raise ValueError("limbs: the two ends of a limb must be different keypoints")
        if not 0 < self.limb_fraction <= 1:
            raise ValueError(f"limb_fraction {self.limb_fraction}: expected above 0 and at most 1")

    @property
    def limb_points(self) -> int:
        """The number of a limb's sample points that must count."""
        # 0.9 of 10 points are 9, though 0.9 * 10 may come out a little above.
        return math.ceil(self.limb_fraction * POINTS_PER_LIMB - 1e-9)

    def table(self) -> NDArray[np.int32]:
        """Return the limbs as an array of shape (L, 5)."""
        return np.array(self.limbs, np.int32).reshape(-1, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class PointRules:
    """How the one keypoint of each type is found in the heatmaps of one person.

    Attributes
    ----------
    keypoints : int
        Channels 0 to ``keypoints - 1`` are searched.
    beta : float
        Sharpness of Beta-Soft-Argmax, the expectation of the position under ``exp(beta * value)``. 0: the maximum.
    quarter_offset : bool
        Move the position a quarter of a cell towards the higher neighbour, along each axis.
    parabola : bool
        Move the maximum to the vertex of a parabola through the logarithms, along each axis, as fast peaks are.
    partners : tuple of int
        For each keypoint the one whose place it takes in a mirrored picture; empty when none changes.
    flip_shift : bool
        Maps of a mirrored picture, mirrored back, are shifted by one column to the right.
    """

    keypoints: int
    beta: float = 0.0
    quarter_offset: bool = True
    parabola: bool = False
    partners: tuple[int, ...] = ()
    flip_shift: bool = True

    def __post_init__(self) -> None:
        if self.keypoints < 1:
            raise ValueError(f"keypoints {self.keypoints}: expected at least 1")
        if not 0 <= self.beta <= 1e4:
            raise ValueError(f"beta {self.beta}: expected 0 (the maximum) to 10000")
        if self.parabola and (self.quarter_offset or self.beta > 0):
            raise ValueError("parabola: expected without quarter_offset and without beta")
        if self.partners and sorted(self.partners) != list(range(self.keypoints)):
            raise ValueError(f"partners {self.partners}: expected 0 to {self.keypoints - 1}, each once")

    def partner_table(self) -> NDArray[np.int32]:
        """Return the partner of each keypoint, (K,)."""
        return np.array(self.partners or range(self.keypoints), np.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRules:
    """How keypoints are found and joined into people by their tags.

    Attributes
    ----------
    keypoints : int
    peak_threshold : float
        A peak's value is above this.
    tag_threshold : float
        A peak joins a person when its tag is nearer than this to the person's mean tag.
    max_people : int
        Number of highest peaks of each type that take part, and of people, the first ones.
    joint_order : tuple of int
        Order in which the types are given to people; empty for ascending.
    nms_size : int
        A peak is the largest value of a square of this many cells a side; odd.
    adjust : bool
        Move positions a quarter of a cell towards the higher neighbours.
    refine : bool
        Look for what a person lacks among all cells, by value less the rounded distance of tags.
    refine_least : float
        That difference must be above this.
    """

    keypoints: int
    peak_threshold: float = 0.1
    tag_threshold: float = 1.0
    max_people: int = 30
    joint_order: tuple[int, ...] = ()
    nms_size: int = 5
    adjust: bool = True
    refine: bool = True
    refine_least: float = -np.inf

    def __post_init__(self) -> None:
        if self.keypoints < 1 or not 1 <= self.max_people <= 256:
            raise ValueError(
                f"keypoints {self.keypoints}, max_people {self.max_people}: expected at least 1, 1 to 256"
            )
        if not (0 < self.peak_threshold < np.inf and 0 < self.tag_threshold < np.inf):
            raise ValueError(
                f"thresholds {self.peak_threshold}, {self.tag_threshold}: expected finite, above 0"
            )
        if self.joint_order and sorted(self.joint_order) != list(range(self.keypoints)):
            raise ValueError(f"joint_order {self.joint_order}: expected 0 to {self.keypoints - 1}, each once")
        if self.nms_size < 1 or self.nms_size % 2 == 0:
            raise ValueError(f"nms_size {self.nms_size}: expected an odd number")

    def order_table(self) -> NDArray[np.int32]:
        """Return the order of the types, (K,)."""
        return np.array(self.joint_order or range(self.keypoints), np.int32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Groups:
    """The people found by tags, in the order in which they were opened.

    Attributes
    ----------
    points : ndarray, shape (P, K, 3), float32
        x, y and value of each keypoint; 0 where it is missing. Unlike elsewhere positions are continuous: the
        centre of the first cell is (0.5, 0.5).
    score : ndarray, shape (P,), float64
        Mean value over all K keypoints before any was looked up.
    count : ndarray, shape (P,), int32
        Keypoints before any was looked up.
    """

    points: NDArray[np.float32]
    score: NDArray[np.float64]
    count: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Peaks:
    """Keypoint candidates of all types, numbered consecutively.

    Attributes
    ----------
    table : ndarray, shape (N, 3), float32
        x, y, score.
    starts : ndarray, shape (K + 1,), int32
        Type k holds the rows ``starts[k]`` to ``starts[k + 1]``.
    """

    table: NDArray[np.float32]
    starts: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class People:
    """The people found, in the order in which they were opened.

    Attributes
    ----------
    peaks : ndarray, shape (P, K), int32
        Row of `Peaks.table` for each keypoint type, or -1.
    score : ndarray, shape (P,), float64
        Sum of keypoint and limb scores.
    count : ndarray, shape (P,), int32
        Keypoints that the reference counts; those added by fill-only limbs are not.
    """

    peaks: NDArray[np.int32]
    score: NDArray[np.float64]
    count: NDArray[np.int32]


def check_maps(maps: Any, channels: int, scale: float, zero_point: int) -> None:
    """Refuse anything but a map of at least 1x1 cells with `channels` channels, float32 or quantized int8.

    Raises
    ------
    TypeError
        `maps` is not an array of float32 or int8.
    ValueError
        Shape, scale or zero point make no sense.
    """
    if not isinstance(maps, np.ndarray) or maps.dtype not in (np.float32, np.int8):
        kind = maps.dtype if isinstance(maps, np.ndarray) else type(maps).__name__
        raise TypeError(f"maps of {kind}: expected an array of float32 or int8")
    if maps.ndim != 3 or min(maps.shape) < 1 or maps.shape[2] < channels:
        raise ValueError(f"maps of shape {maps.shape}: expected (H, W, C) with C at least {channels}")
    if max(maps.shape) > 1 << 15:
        raise ValueError(f"maps of shape {maps.shape}: expected at most {1 << 15} a side")
    if maps.dtype == np.float32:
        if scale != 0:
            raise ValueError(f"scale {scale} with float32 maps: expected 0, which marks float")
    elif not (scale > 0 and scale * 255 < np.finfo(np.float32).max and np.float32(scale) > 0):
        raise ValueError(f"scale {scale} of int8 maps: expected a finite number above 0")
    elif not -128 <= zero_point <= 127:
        raise ValueError(f"zero point {zero_point} of int8 maps: expected -128 to 127")


def taps(source: int, target: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Return for each of `target` positions the two source positions around it and the weight of the second.

    Half-pixel centres, replicated border: bilinear interpolation as in PyTorch with ``align_corners=False``.
    """
    centre = np.maximum((np.arange(target) + 0.5) * (source / target) - 0.5, 0)
    low = np.minimum(centre.astype(np.int32), source - 1)
    high = np.minimum(low + 1, source - 1).astype(np.int32)
    return low, high, (centre - low).astype(np.float32)


def dequantization_table(scale: float, zero_point: int) -> NDArray[np.float32]:
    """Return the real value of each int8, from -128: ``(stored - zero_point) * scale``; (256,) float32."""
    return (np.arange(-128, 128, dtype=np.float32) - np.float32(zero_point)) * np.float32(scale)
