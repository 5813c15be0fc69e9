"""Lightweight OpenPose and its narrow relatives as entries of the zoo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from export.weights.download import PublishedWeights
from export.zoo.description import Description
from export.zoo.entry import Entry, Facts, Trainable
from export.zoo.lw_openpose.sources import SOURCES
from export.zoo.lw_openpose.widths import HEATMAPS, NARROWER, PAFS, WIDTHS, Widths
from export.zoo.network import Network
from export.zoo.skeletons import OPENPOSE_18, OPENPOSE_18_PAF
from rpi_runtime.model.card import InputSpec, OutputSpec

if TYPE_CHECKING:
    from torch import nn

MEAN, SCALE = 128.0, 1 / 255  # of the ``omz`` form's input; weights of the ``osokin`` form take 1/256
KIND = "bottom-up, 18 keypoints, MobileNetV1"


def describe(widths: Widths, width: int = 160, height: int = 120) -> Description:
    """Describe the network of these widths, at its usual input size."""
    return Description(
        input=InputSpec(width=width, height=height, mean=(MEAN,) * 3, scale=(SCALE,) * 3),
        skeleton=OPENPOSE_18,
        outputs=(
            OutputSpec(name="heatmaps", role="heatmaps", channels=HEATMAPS, stride=widths.stride),
            OutputSpec(name="pafs", role="pafs", channels=PAFS, stride=widths.stride),
        ),
        decoder=OPENPOSE_18_PAF,
    )


def trainable(widths: Widths) -> Trainable:
    """Return the ``omz`` form, which has no batch norm, as training takes it."""
    return Trainable(description=describe(widths), bare=lambda: _bare(widths))


def _bare(widths: Widths) -> nn.Module:
    from export.zoo.lw_openpose.module import LwOpenPose  # torch: not wanted for a list of names

    return LwOpenPose("omz", widths=widths)


def _entry(
    name: str,
    summary: str,
    facts: Facts,
    size: tuple[int, int],
    sources: Mapping[str, PublishedWeights] | None = None,
) -> Entry:
    widths = WIDTHS[name]
    description = describe(widths, *size)

    def load(source: str) -> Network:
        from export.zoo.lw_openpose.network import load_network

        return load_network(name, description, sources or {}, source)

    return Entry(
        summary=summary,
        facts=facts,
        description=description,
        bare=lambda: _bare(widths),
        load=load,
        sources=sources or {},
        elsewhere=""
        if sources
        else "they come with the package, or from python -m export.train RECIPE --output DIR",
        bundled=name,
    )


ENTRIES = {
    "lw-openpose": _entry(
        "lw-openpose",
        f"Lightweight OpenPose: {KIND}, stride 8",
        Facts(
            parameters=4_099_058,
            macs=7_685_898_240,
            size=(456, 256),
            published="42.8 (omz), 40 (osokin), val2017",
            paper="its 9 G are for 368x368",
        ),
        (160, 120),
        SOURCES,
    ),
    "lw-openpose-pi": _entry(
        "lw-openpose-pi",
        f"Lightweight OpenPose, three quarters as wide: {KIND}, stride 8",
        Facts(
            parameters=2_065_474,
            macs=1_253_912_352,
            size=(224, 168),
            published="in its card, trained here",
        ),
        (224, 168),
    ),
}
CANDIDATES = {name: trainable(widths) for name, widths in NARROWER.items()}
