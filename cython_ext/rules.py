"""Rules of the kernels for boxes, centres, SimCC and crops, and of their NumPy oracles.

Unlike the positions of `cython_ext.specs`, those of boxes, centres and SimCC are network input pixels, continuous:
the left edge of the first pixel is 0. A rule says how an index of a map becomes such a position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cython_ext.specs import Stored

BOX_FORMS = ("distances", "corners", "centre_size", "exponential")
MOST_BINS = 64
MOST_SIDE = 1 << 18  # cells of a map along an axis; rows of a network whose detections are decoded
MOST_CELLS = 1 << 22  # cells of all maps of one picture
MOST_CANDIDATES = 1 << 14
MOST_PEOPLE = 1 << 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quantized:
    """Values as an interpreter stores them.

    Attributes
    ----------
    values : ndarray, float32 or int8
        Any strides: views with axes exchanged or cut are read in place.
    scale, zero_point : float, int
        ``real = (stored - zero_point) * scale``; scale 0 marks float values.
    """

    values: Stored
    scale: float = 0.0
    zero_point: int = 0

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Refuse values of another type or shape; -1 stands for any size from 1 to 262144.

        Raises
        ------
        TypeError
            The values are not an array of float32 or int8.
        ValueError
            Shape, scale or zero point make no sense.
        """
        values: Any = self.values
        if not isinstance(values, np.ndarray) or values.dtype not in (np.float32, np.int8):
            kind = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
            raise TypeError(f"{name} of {kind}: expected an array of float32 or int8")
        fits = values.ndim == len(shape) and all(
            n == want if want >= 0 else n >= 1 for n, want in zip(values.shape, shape, strict=True)
        )
        if not fits or max(values.shape, default=0) > MOST_SIDE:
            wanted = ", ".join("*" if n < 0 else str(n) for n in shape)
            raise ValueError(
                f"{name} of shape {values.shape}: expected ({wanted}), at most {MOST_SIDE} a side"
            )
        if values.dtype == np.float32:
            if self.scale != 0:
                raise ValueError(f"{name}: scale {self.scale} with float32 values, expected 0")
        elif not (self.scale > 0 and self.scale * 255 < np.finfo(np.float32).max) or not np.float32(
            self.scale
        ):
            raise ValueError(f"{name}: scale {self.scale} of int8 values, expected a finite number above 0")
        elif not -128 <= self.zero_point <= 127:
            raise ValueError(f"{name}: zero point {self.zero_point} of int8 values, expected -128 to 127")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxRules:
    """How an anchor-free detector's maps become boxes, and keypoints where it gives them.

    Attributes
    ----------
    classes : tuple of int
        The classes that are wanted: channels of the scores.
    threshold : float
        A detection's score is above this.
    logits : bool
        Scores, objectness and visibilities are logits and go through the logistic function.
    form : {"distances", "corners", "centre_size", "exponential"}
        The meaning of a box's four numbers: left, top, right and bottom distances from the cell's point; x and y of
        two corners; middle, width and height; or YOLOX's offset from the cell and logarithms of width and height.
    bins : int
        With "distances": each distance is the expectation of this many bins under a softmax (distribution focal loss,
        Li 2020, arXiv:2006.04388); 1: the number itself.
    anchor : float
        Position of the cell's point, in cells from the cell's first edge: 0.5 is its middle.
    nms_overlap : float
        Two boxes of one class that overlap more than this (intersection over union) are one: the surer one stays.
        1: none is dropped.
    candidates : int
        Number of the surest that take part in that.
    max_people : int
        Number of the surest that are returned.
    keypoints : int
        Keypoints of a detection; 0 for boxes alone.
    visible : bool
        The maps give each keypoint's visibility as a third number; otherwise it is 1.
    keypoint_gain, keypoint_anchor : float
        A keypoint lies at ``(gain * value + cell + anchor) * unit``.
    """

    classes: tuple[int, ...] = (0,)
    threshold: float = 0.3
    logits: bool = True
    form: Literal["distances", "corners", "centre_size", "exponential"] = "distances"
    bins: int = 1
    anchor: float = 0.5
    nms_overlap: float = 0.6
    candidates: int = 1000
    max_people: int = 100
    keypoints: int = 0
    visible: bool = True
    keypoint_gain: float = 1.0
    keypoint_anchor: float = 0.5

    def __post_init__(self) -> None:
        if not self.classes or min(self.classes) < 0 or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes {self.classes}: expected one or more different numbers, none negative")
        if not 0 <= self.threshold < 1:
            raise ValueError(f"threshold {self.threshold}: expected at least 0 and below 1")
        if self.form not in BOX_FORMS:
            raise ValueError(f"form {self.form!r}: expected one of {', '.join(BOX_FORMS)}")
        if not 1 <= self.bins <= MOST_BINS or (self.bins > 1 and self.form != "distances"):
            raise ValueError(
                f"bins {self.bins} of {self.form}: expected 1, or with distances 2 to {MOST_BINS}"
            )
        if not 0 < self.nms_overlap <= 1:
            raise ValueError(f"nms_overlap {self.nms_overlap}: expected above 0 and at most 1")
        if not 1 <= self.candidates <= MOST_CANDIDATES or not 1 <= self.max_people <= MOST_PEOPLE:
            raise ValueError(
                f"candidates {self.candidates}, max_people {self.max_people}: expected 1 to {MOST_CANDIDATES}, "
                f"1 to {MOST_PEOPLE}"
            )
        if not 0 <= self.keypoints <= MOST_PEOPLE:
            raise ValueError(f"keypoints {self.keypoints}: expected 0 to {MOST_PEOPLE}")
        if not all(map(np.isfinite, (self.anchor, self.keypoint_gain, self.keypoint_anchor))):
            raise ValueError("anchor, keypoint_gain, keypoint_anchor: expected finite numbers")

    @property
    def box_channels(self) -> int:
        """Channels of a level's boxes."""
        return 4 * self.bins

    @property
    def keypoint_channels(self) -> int:
        """Channels of a level's keypoints."""
        return self.keypoints * (3 if self.visible else 2)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoxLevel:
    """One resolution of a detector's maps; or all of its detections as rows, (1, N, channels).

    Attributes
    ----------
    scores : Quantized, (H, W, classes)
    boxes : Quantized, (H, W, 4 * bins)
    objectness : Quantized, (H, W, 1), optional
        A second score that multiplies the first.
    keypoints : Quantized, (H, W, K * 2 or K * 3), optional
    unit : tuple of float
        Input pixels, along x and y, that 1 in the maps stands for: a grid's stride; 1 where the maps count pixels; the
        input's size where they count parts of it.
    step : float
        Input pixels from one cell to the next; 0 where the numbers do not depend on the cell.
    """

    scores: Quantized
    boxes: Quantized
    objectness: Quantized | None = None
    keypoints: Quantized | None = None
    unit: tuple[float, float] = (1.0, 1.0)
    step: float = 0.0

    def check(self, rules: BoxRules) -> None:
        """Refuse what does not fit the rules; `TypeError` or `ValueError`."""
        self.scores.check("scores", (-1, -1, -1))
        height, width, classes = self.scores.values.shape
        if max(rules.classes) >= classes:
            raise ValueError(f"scores of {classes} classes: expected more than {max(rules.classes)}")
        if height * width > MOST_CELLS:
            raise ValueError(f"scores of {height}x{width} cells: expected at most {MOST_CELLS}")
        self.boxes.check("boxes", (height, width, rules.box_channels))
        if self.objectness is not None:
            self.objectness.check("objectness", (height, width, 1))
        if (self.keypoints is not None) != (rules.keypoints > 0):
            raise ValueError(
                f"keypoints: expected maps of them where the rules have some ({rules.keypoints})"
            )
        if self.keypoints is not None:
            self.keypoints.check("keypoints", (height, width, rules.keypoint_channels))
        if not all(0 < u < 1e6 for u in self.unit) or not 0 <= self.step < 1e6:
            raise ValueError(f"unit {self.unit}, step {self.step}: expected pixels")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detections:
    """The people found, surest first; ties keep the order of levels and cells.

    Attributes
    ----------
    boxes : ndarray, shape (P, 4), float32
        Left, top, right, bottom in input pixels.
    scores : ndarray, shape (P,), float32
    classes : ndarray, shape (P,), int32
    points : ndarray, shape (P, K, 3), float32
        x, y in input pixels, and visibility; 0 where a position is not finite.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int32]
    points: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreRules:
    """How the maps of a network with centres become people (Zhou 2019, arXiv:1904.07850; MoveNet).

    Attributes
    ----------
    keypoints : int
    many : bool
        Find every person whose centre is a maximum of 3x3 cells; otherwise the person nearest to the map's middle.
    threshold : float
        With `many`: a centre is above this.
    max_people : int
        With `many`: number of the surest centres.
    nearness : float
        One person: a value counts divided by its distance, in cells, plus this. Many: a value counts times
        ``exp(-distance ** 2 / (nearness * width of the map))``.
    boxed : bool
        With `many`: maps of the boxes' size and offset are there, and a keypoint lies inside of its box.
    """

    keypoints: int
    many: bool = False
    threshold: float = 0.05
    max_people: int = 30
    nearness: float = 1.8
    boxed: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.keypoints <= MOST_PEOPLE:
            raise ValueError(f"keypoints {self.keypoints}: expected 1 to {MOST_PEOPLE}")
        if not 0 <= self.threshold < np.inf or not 0 < self.nearness < 1e6:
            raise ValueError(
                f"threshold {self.threshold}, nearness {self.nearness}: expected at least 0, above 0"
            )
        if not 1 <= self.max_people <= MOST_PEOPLE:
            raise ValueError(f"max_people {self.max_people}: expected 1 to {MOST_PEOPLE}")
        if self.boxed and not self.many:
            raise ValueError("boxed: expected only with many people")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CentreMaps:
    """The outputs of a network with centres; (H, W, channels) each, of one size.

    Attributes
    ----------
    centre : Quantized, 1 channel
    heatmaps : Quantized, K channels
    regress : Quantized, 2 K channels
        From the centre's cell to keypoint k: 2 k is along y, 2 k + 1 along x, in cells.
    offset : Quantized, 2 K channels
        From a keypoint's cell to the keypoint, in the same order.
    box_scale, box_offset : Quantized, 2 channels, optional
        Height and width of the box, and its middle from the centre's cell, y first, in cells.
    """

    centre: Quantized
    heatmaps: Quantized
    regress: Quantized
    offset: Quantized
    box_scale: Quantized | None = None
    box_offset: Quantized | None = None

    def check(self, rules: CentreRules) -> None:
        """Refuse what does not fit the rules; `TypeError` or `ValueError`."""
        self.centre.check("centre", (-1, -1, 1))
        size = self.centre.values.shape[:2]
        for name, maps, channels in (
            ("heatmaps", self.heatmaps, rules.keypoints),
            ("regress", self.regress, 2 * rules.keypoints),
            ("offset", self.offset, 2 * rules.keypoints),
            ("box_scale", self.box_scale, 2),
            ("box_offset", self.box_offset, 2),
        ):
            if maps is not None:
                maps.check(name, (*size, channels))
        if rules.boxed and (self.box_scale is None or self.box_offset is None):
            raise ValueError("box_scale, box_offset: expected maps of boxes, as the rules say")

    def all(self) -> tuple[Quantized, ...]:
        """Return the maps that are there."""
        maps = (self.centre, self.heatmaps, self.regress, self.offset, self.box_scale, self.box_offset)
        return tuple(m for m in maps if m is not None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Centred:
    """The people found, surest centre first; ties keep the order of cells.

    Attributes
    ----------
    points : ndarray, shape (P, K, 3), float32
        x, y in cells as indices, and the heatmap's value (with many people weighted by nearness); 0 where no cell has a
        value above 0.
    centres : ndarray, shape (P,), float32
        The centre's value.
    boxes : ndarray, shape (P, 4), float32
        Left, top, right, bottom in cells, inside of the map; the whole map without boxes.
    """

    points: NDArray[np.float32]
    centres: NDArray[np.float32]
    boxes: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimccRules:
    """How two one-dimensional distributions per keypoint become its position (SimCC, Li 2021, arXiv:2107.03332).

    Attributes
    ----------
    keypoints : int
    softmax : bool
        A keypoint's value is the smaller of the two largest probabilities under a softmax; otherwise the smaller of the
        two largest numbers, as RTMPose publishes it.
    """

    keypoints: int
    softmax: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.keypoints <= MOST_PEOPLE:
            raise ValueError(f"keypoints {self.keypoints}: expected 1 to {MOST_PEOPLE}")
