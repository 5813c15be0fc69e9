"""Weights of a network of the zoo whose graph is stored, so that its export needs no PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from export.graph.topology import Topology, build_from_topology
from export.weights.find import find_weights, provenance
from export.weights.state import State, check_state
from export.zoo.description import Description
from export.zoo.network import Network

Adopt = Callable[[State, str], State]


def load_stored(
    name: str,
    graph: Path,
    description: Description,
    source: str,
    *,
    bundled: str = "",
    adopt: Adopt | None = None,
) -> Network:
    """Read weights into a stored graph, and describe it.

    Parameters
    ----------
    name : str
    graph : path
        Written by `export.zoo.draw`.
    description : Description
    source : str
        Where the weights are, as `export.weights.find.find_weights` takes it.
    bundled : str, optional
        Name of the weights that come with the package.
    adopt : callable, optional
        Gives weights under other names this network's names.
    """
    weights, stored = find_weights(source, {}, bundled), Topology(graph)
    found = adopt(weights.state, weights.source) if adopt else weights.state
    state, _ = check_state(stored.shapes, found, weights.source)
    return Network(
        card=description.exported_card(name, provenance(weights, name)),
        build=lambda spec: build_from_topology(stored, state, description.input, spec),
        step=description.step,
    )
