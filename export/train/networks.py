"""The networks that can be trained, by name: module, card and what a sample needs to know."""

from __future__ import annotations

from export.nets.lw_openpose import HEATMAPS, PAFS, Layout, LwOpenPose
from export.nets.lw_openpose_pi import LAYOUTS
from export.skeletons import OPENPOSE_18, OPENPOSE_18_PAF
from rpi_runtime.card import InputSpec, ModelCard, OutputSpec
from rpi_runtime.errors import UsageError

MEAN, SCALE = 128.0, 1 / 255  # of the input, for every network trained here: (value - MEAN) * SCALE


def layout(name: str) -> Layout:
    """Return a network's layout; `UsageError` with the known names when there is none."""
    if name not in LAYOUTS:
        raise UsageError(f"no network {name!r} to train; known: {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def build(name: str) -> LwOpenPose:
    """Return a network with random weights, of the ``omz`` form: without batch norm."""
    return LwOpenPose("omz", layout=layout(name))


def card(name: str, width: int, height: int) -> ModelCard:
    """Return the card of a network at an input size, for decoding during training."""
    stride = layout(name).stride
    return ModelCard(
        name=name,
        input=InputSpec(width=width, height=height, mean=(MEAN,) * 3, scale=(SCALE,) * 3),
        skeleton=OPENPOSE_18,
        outputs=(
            OutputSpec(name="heatmaps", role="heatmaps", channels=HEATMAPS, stride=stride),
            OutputSpec(name="pafs", role="pafs", channels=PAFS, stride=stride),
        ),
        decoder=OPENPOSE_18_PAF,
    )
