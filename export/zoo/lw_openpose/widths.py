"""The widths of Lightweight OpenPose and of its narrow relatives: more pixels for the same work.

At 160x120 the published network sees people smaller than it was made for; at 224x168 it sees them well enough, for
twice the multiply-adds. Layers three quarters as wide give those back: `PI` does at 224x168 what the published network
does at 160x120. Depth stays: cutting layers out of the trained network costs its outputs far more than cutting
channels. `NARROWER` ones go further and were measured beside it in short runs: see the card of the bundled weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Literal

Form = Literal["osokin", "omz"]  # the two published forms

HEATMAPS, PAFS, STEM_STRIDE = 19, 38, 2
# in, out, depthwise stride, depthwise dilation; conv2_1 to conv5_5 of MobileNetV1
BACKBONE = (
    (32, 64, 1, 1),
    (64, 128, 2, 1),
    (128, 128, 1, 1),
    (128, 256, 2, 1),
    (256, 256, 1, 1),
    (256, 512, 1, 1),
    (512, 512, 1, 2),
    (512, 512, 1, 1),
    (512, 512, 1, 1),
    (512, 512, 1, 1),
    (512, 512, 1, 1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Widths:
    """Widths; the defaults are the published network's.

    Attributes
    ----------
    backbone : tuple of (int, int, int, int)
        In, out, depthwise stride and depthwise dilation of each depthwise-separable unit.
    features : int
        Channels of the context module and of the initial stage.
    hidden : int
        Channels between trunk and output of the initial stage's heads.
    refinement : int
        Channels of the refinement stage.
    separable : bool
        Behind the backbone every 3x3 convolution is a depthwise and a 1x1 one, with nothing in between: a ninth of
        the work (Chollet 2017, arXiv:1610.02357, section 4.7, on leaving the activation out).
    """

    backbone: tuple[tuple[int, int, int, int], ...] = BACKBONE
    features: int = 128
    hidden: int = 512
    refinement: int = 128
    separable: bool = False

    @property
    def stride(self) -> int:
        """Network pixels per cell of the outputs."""
        return STEM_STRIDE * prod(row[2] for row in self.backbone)


PUBLISHED = Widths()
STRIDE = PUBLISHED.stride


def _narrow(width: float, features: int, hidden: int) -> Widths:
    """The published widths with the backbone's channels times `width`, in steps of 8."""
    rows = tuple((_eights(i * width), _eights(o * width), stride, d) for i, o, stride, d in BACKBONE)
    return Widths(backbone=rows, features=features, hidden=hidden, refinement=features)


def _eights(channels: float) -> int:
    return max(round(channels / 8) * 8, 8)


PI = _narrow(0.75, 88, 192)  # 1.25 G multiply-adds at 224x168
WIDTHS = {"lw-openpose": PUBLISHED, "lw-openpose-pi": PI}
# to be trained, not in the zoo; 1.25 G at 288x216 and at 376x280
NARROWER = {
    "candidate-separable": replace(PI, separable=True),
    "candidate-half": replace(_narrow(0.5, 96, 128), separable=True),
}
