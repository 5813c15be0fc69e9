"""Settings of the decoders of one person's crop: how the crop is cut, and how its maps become a person."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from rpi_runtime.errors import CardError
from rpi_runtime.model.channels import Channels, Pairs, check_one, check_pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class CropSettings:
    """What all networks of crops have in common: where the crop lies round the person's box.

    Attributes
    ----------
    box_padding : float
        The crop is the person's box, extended to the input's aspect ratio, times this.
    box_extend : {"aspect", "stretch"}
        The shorter side is extended until the box has the input's aspect ratio, or the box is stretched to it.
    box_round : bool
        The crop's edges are whole pixels of the picture, as where a crop is cut out as an array and resized.
    box_middle : {"index", "edge"}
        What falls on half the input's width and height: the middle of the box as the index of a pixel (HRNet's
        affine), or as a continuous position (edge to edge).
    area_below : float
        Where the crop has fewer pixels than this for one of the picture, each pixel is the mean of the area that it
        covers; 0: always interpolated bilinearly.
    peak_threshold : float
        Keypoints above it count in a person's score.
    oks_nms : float
        The less sure one of two people with a larger object keypoint similarity is dropped.
    flip_pairs : tuple of (int, int)
        Keypoints that change places in a mirrored crop.
    """

    box_padding: float = 1.25
    box_extend: Literal["aspect", "stretch"] = "aspect"
    box_round: bool = False
    box_middle: Literal["index", "edge"] = "index"
    area_below: float = 0.0
    peak_threshold: float = 0.2
    oks_nms: float = 0.9
    flip_pairs: Pairs = ()

    def __post_init__(self) -> None:
        if not 0.5 <= self.box_padding <= 4:
            raise CardError(f"decoder box_padding {self.box_padding}: expected 0.5 to 4")
        if not 0 <= self.area_below <= 1:
            raise CardError(f"decoder area_below {self.area_below}: expected 0 to 1")
        if not math.isfinite(self.peak_threshold):
            raise CardError(f"decoder peak_threshold {self.peak_threshold}: expected a finite number")
        if not 0 < self.oks_nms <= 1:
            raise CardError(f"decoder oks_nms {self.oks_nms}: expected above 0 and at most 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class TopdownSettings(CropSettings):
    """One person per crop: each heatmap's maximum, or its expectation under a sharpened softmax.

    Attributes
    ----------
    beta : float or None
        Sharpness of Beta-Soft-Argmax (Zhang 2019, arXiv:1911.10346, section 3.3); None for the maximum.
    quarter_offset : bool
        Move a keypoint a quarter of a cell towards its higher neighbours, after either.
    parabola : bool
        Move the maximum to the vertex of a parabola through the logarithms instead.
    cell_origin : float
        Where the first cell lies on the network's input: cell i stands for ``stride * i + cell_origin`` pixels,
        continuous. 0.5: targets at ``round(x / stride)`` of pixel indices; half the stride: the middle of the cell.
    flip_shift : bool
        Maps of a mirrored crop lie one column to the left when mirrored back.
    """

    fits: ClassVar[tuple[str, ...]] = ("crop",)
    kind: Literal["topdown"] = "topdown"
    beta: float | None = None
    quarter_offset: bool = True
    parabola: bool = False
    cell_origin: float = 0.5
    flip_shift: bool = True

    def __post_init__(self) -> None:
        CropSettings.__post_init__(self)
        if self.beta is not None and not 0 < self.beta <= 10_000:
            raise CardError(f"decoder beta {self.beta}: expected above 0 and at most 10000, or none")
        if self.parabola and (self.quarter_offset or self.beta is not None):
            raise CardError("decoder parabola: expected with quarter_offset = false and without beta")
        if not math.isfinite(self.cell_origin):
            raise CardError(f"decoder cell_origin {self.cell_origin}: expected a finite number of pixels")

    def check(self, keypoints: int, channels: Channels) -> None:
        """Refuse outputs and keypoints that do not fit together."""
        check_one(channels, "heatmaps", keypoints)
        check_pairs(self.flip_pairs, keypoints)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimccSettings(CropSettings):
    """One person per crop, two one-dimensional distributions a keypoint (SimCC, Li 2021, arXiv:2107.03332; RTMPose).

    Attributes
    ----------
    split : float
        Bins for one pixel of the input.
    softmax : bool
        The distributions are logits whose softmax gives a keypoint's value; otherwise the value is the smaller of the
        two maxima as they are, as RTMPose publishes it.
    cell_origin : float
        Where the first bin lies on the network's input, in pixels, continuous.
    """

    fits: ClassVar[tuple[str, ...]] = ("crop",)
    kind: Literal["simcc"] = "simcc"
    split: float = 2.0
    softmax: bool = False
    cell_origin: float = 0.5

    def __post_init__(self) -> None:
        CropSettings.__post_init__(self)
        if not 0 < self.split <= 64:
            raise CardError(f"decoder split {self.split}: expected above 0 and at most 64 bins a pixel")
        if not math.isfinite(self.cell_origin):
            raise CardError(f"decoder cell_origin {self.cell_origin}: expected a finite number of pixels")

    def check(self, keypoints: int, channels: Channels) -> None:
        """Refuse outputs and keypoints that do not fit together."""
        for role in ("simcc_x", "simcc_y"):
            if len(channels[role]) != 1:
                raise CardError(f"expected one output with role {role!r}, got {len(channels[role])}")
        check_pairs(self.flip_pairs, keypoints)
