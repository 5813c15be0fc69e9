"""Weights of a top-down network of the zoo: a crop in, (1, 3, H, W) normalised, heatmaps out, (1, 17, H/4, W/4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.weights.find import find_weights, provenance
from export.zoo.description import Description
from export.zoo.network import Network

if TYPE_CHECKING:
    from torch import nn


def load_topdown(name: str, net: nn.Module, description: Description, source: str) -> Network:
    """Read weights into a PyTorch module, and describe it."""
    from export.graph.from_torch import build_from_torch  # PyTorch: not wanted for a list of names
    from export.weights.module import load_state

    weights = find_weights(source, {})
    load_state(net, weights.state, weights.source)
    return Network(
        card=description.exported_card(name, provenance(weights, name)),
        build=lambda spec: build_from_torch(net, lambda x: (net(x),), ("heatmaps",), description.input, spec),
        step=description.step,
    )
