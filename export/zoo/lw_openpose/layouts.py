"""Lightweight OpenPose's narrow relatives: more pixels for the same work.

At 160x120 the published network sees people smaller than it was made for; at 224x168 it sees them well enough, for
twice the multiply-adds. Layers three quarters as wide give those back: `PI` does at 224x168 what the published network
does at 160x120. Depth stays: cutting layers out of the trained network costs its outputs far more than cutting
channels. `CANDIDATES` go further and were measured beside it in short runs: see the card of the bundled weights.
"""

from __future__ import annotations

from dataclasses import replace

from export.zoo.lw_openpose.module import BACKBONE, PUBLISHED, Layout


def _narrow(width: float, features: int, hidden: int) -> Layout:
    """The published layout with the backbone's channels times `width`, in steps of 8."""
    rows = tuple((_eights(i * width), _eights(o * width), stride, d) for i, o, stride, d in BACKBONE)
    return Layout(backbone=rows, features=features, hidden=hidden, refinement=features)


def _eights(channels: float) -> int:
    return max(round(channels / 8) * 8, 8)


PI = _narrow(0.75, 88, 192)  # 1.25 G multiply-adds at 224x168
LAYOUTS = {"lw-openpose": PUBLISHED, "lw-openpose-pi": PI}
SIZES = {"lw-openpose": (160, 120), "lw-openpose-pi": (224, 168)}
# to be trained, not in the zoo; 1.25 G at 288x216 and at 376x280
CANDIDATES = {
    "candidate-separable": replace(PI, separable=True),
    "candidate-half": replace(_narrow(0.5, 96, 128), separable=True),
}
