"""A copy of a network that computes the same function with channels rescaled at random."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from export.graph.equalize import rescale
from export.graph.graph import OnnxGraph
from export.graph.parity import Parity
from export.graph.regions import find_pairs
from export.zoo.network import Network
from rpi_runtime.model.card import InputSpec


def rescale_randomly(graph: OnnxGraph, octaves: float, seed: int) -> OnnxGraph:
    """Multiply every channel between two convolutions by 2 ** uniform(-octaves, octaves)."""
    result, rng = graph.copy(), np.random.default_rng(seed)
    for pair in find_pairs(result):
        conv = next(n for n in result.nodes if n.name == pair.first)
        channels = result.constants[conv.input[1]].shape[0]
        rescale(result, pair, 2.0 ** rng.uniform(-octaves, octaves, channels))
    return result


def rescaled(network: Network, octaves: float, seed: int) -> Network:
    """Return the network with `rescale_randomly` applied to its graph."""

    def build(spec: InputSpec) -> tuple[OnnxGraph, list[Parity]]:
        graph, parities = network.build(spec)
        return rescale_randomly(graph, octaves, seed), parities

    return replace(network, build=build)
