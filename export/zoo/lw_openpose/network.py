"""Lightweight OpenPose: weights in, float model and card out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from export.graph.topology import build_from_topology
from export.weights.download import PublishedWeights
from export.weights.find import find_weights, provenance
from export.weights.state import check_state
from export.zoo.description import Description
from export.zoo.lw_openpose.weights import LATER, find_form, notes_of, topology
from export.zoo.network import Network


def load_network(
    name: str, description: Description, published: Mapping[str, PublishedWeights], source: str
) -> Network:
    """Read weights and return the network, or one of its narrow relatives."""
    weights = find_weights(source, published, bundled=name)
    found = find_form(weights)
    stored = topology(name, found.form)
    state, left_out = check_state(stored.shapes, found.state, weights.source, LATER)
    read = replace(description, input=replace(description.input, scale=(found.scale,) * 3))
    card = read.exported_card(name, provenance(weights, found.form))
    return Network(
        card=card,
        build=lambda spec: build_from_topology(stored, state, card.input, spec),
        notes=tuple(notes_of(found.form, left_out)),
    )
