"""Lightweight OpenPose: weights in, ONNX graph and card out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from export.graph.from_torch import build_from_torch
from export.weights.download import Source
from export.weights.find import find_weights, provenance
from export.zoo.description import Description
from export.zoo.lw_openpose.layouts import Layout
from export.zoo.lw_openpose.weights import load_lw_openpose
from export.zoo.network import Network
from quant.progress import Progress

OUTPUTS = ("heatmaps", "pafs")


def load_network(
    name: str,
    layout: Layout,
    description: Description,
    published: Mapping[str, Source],
    source: str,
    progress: Progress,
) -> Network:
    """Read weights and return the network, or one of its narrow relatives."""
    weights = find_weights(source, published, progress, bundled=name)
    net, scale, notes = load_lw_openpose(weights, layout)
    read = replace(description, input=replace(description.input, scale=(scale,) * 3))
    card = read.exported_card(name, provenance(weights, net.graph))
    return Network(
        card=card,
        build=lambda spec: build_from_torch(net, net, OUTPUTS, card.input, spec),
        notes=tuple(notes),
    )
