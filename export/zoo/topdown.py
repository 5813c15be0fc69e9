"""Put weights into a top-down network of the zoo."""

from __future__ import annotations

from torch import nn

from export.graph.from_torch import build_from_torch
from export.weights.find import find_weights, load_state, provenance
from export.zoo.description import Description
from export.zoo.network import Network
from quant.progress import Progress


def load_topdown(
    name: str, net: nn.Module, description: Description, source: str, progress: Progress
) -> Network:
    """Read weights into a network of crops, (N, 3, H, W) normalised -> (N, 17, H/4, W/4), and describe it."""
    weights = find_weights(source, {}, progress)
    load_state(net, weights.state, weights.source)
    return Network(
        card=description.exported_card(name, provenance(weights, name)),
        build=lambda spec: build_from_torch(net, lambda x: (net(x),), ("heatmaps",), description.input, spec),
        step=description.step,
    )
