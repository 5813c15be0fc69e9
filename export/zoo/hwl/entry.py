"""HWL as entries of the zoo, one for each reading of its hard sigmoid: weights do not tell which one they need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from export.zoo.crops import describe_crops
from export.zoo.entry import Entry, Facts, stored_loader

if TYPE_CHECKING:
    from torch import nn

HardSigmoid = Literal["sixth", "half"]
STEP = 32  # both input sides are multiples of it
DESCRIPTION = describe_crops("rgb", STEP)


def _entry(name: str, hard_sigmoid: HardSigmoid, reading: str) -> Entry:
    def bare() -> nn.Module:
        from export.zoo.hwl.module import Hwl  # torch: not wanted for a list of names

        return Hwl(hard_sigmoid=hard_sigmoid)

    return Entry(
        summary=f"HWL: top-down, 17 keypoints, MobileNetV3 with attention, stride 4; hard sigmoid {reading}",
        facts=Facts(
            parameters=3_077_882,
            macs=558_997_088,
            size=(192, 256),
            published="65.8 at 192x256, 69.9 at 288x384, val2017",
            paper="its 0.58 G count batch norm, activations and pooling too",
        ),
        description=DESCRIPTION,
        bare=bare,
        load=stored_loader(name, Path(__file__).with_name(f"hwl-{hard_sigmoid}"), DESCRIPTION),
        small_start="keypoint_head.",
        elsewhere="none are published; train them with https://github.com/HAIV-Lab/ICPR22w",
    )


_READINGS: tuple[tuple[str, HardSigmoid, str], ...] = (
    ("hwl", "sixth", "clip((x + 3) / 6), mmcv from 1.4.4"),
    ("hwl-hsigmoid-half", "half", "clip((x + 1) / 2), mmcv before 1.4.4"),
)
ENTRIES = {row[0]: _entry(*row) for row in _READINGS}
