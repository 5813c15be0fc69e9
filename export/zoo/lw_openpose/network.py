"""Lightweight OpenPose as an entry of the zoo: weights in, ONNX graph and card out."""

from __future__ import annotations

from export.graph.from_torch import build_from_torch
from export.weights.find import find_weights, provenance
from export.zoo.lw_openpose.layouts import LAYOUTS, SIZES
from export.zoo.lw_openpose.module import HEATMAPS, PAFS, STRIDE
from export.zoo.lw_openpose.sources import SOURCES
from export.zoo.lw_openpose.weights import load_lw_openpose
from export.zoo.network import Network
from export.zoo.skeletons import OPENPOSE_18, OPENPOSE_18_PAF
from quant.progress import Progress
from rpi_runtime.model.card import InputSpec, ModelCard, OutputSpec

OUTPUTS = ("heatmaps", "pafs")


def lw_openpose(name: str, source: str, progress: Progress) -> Network:
    """Read weights and return the network, or one of its narrow relatives."""
    published = SOURCES if name == "lw-openpose" else {}
    weights = find_weights(source, published, progress, bundled=name)
    net, scale, notes = load_lw_openpose(weights, LAYOUTS[name])
    width, height = SIZES[name]
    card = ModelCard(
        name=name,
        input=InputSpec(width=width, height=height, mean=(128.0,) * 3, scale=(scale,) * 3),
        skeleton=OPENPOSE_18,
        outputs=(
            OutputSpec(name="heatmaps", role="heatmaps", channels=HEATMAPS, stride=STRIDE),
            OutputSpec(name="pafs", role="pafs", channels=PAFS, stride=STRIDE),
        ),
        decoder=OPENPOSE_18_PAF,
        provenance=provenance(weights, net.graph),
    )
    return Network(
        card=card,
        build=lambda spec: build_from_torch(net, net, OUTPUTS, card.input, spec),
        notes=tuple(notes),
    )
