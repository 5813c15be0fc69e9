"""A copy of a network that computes the same function with channels rescaled at random."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from export.graph.float_model import FloatModel
from export.zoo.network import Network
from quant.quantize.channels import find_classes
from quant.quantize.equalize import scale_channels
from quant.tflite.records import Model
from rpi_runtime.model.card import InputSpec


def rescale_randomly(model: Model, octaves: float, seed: int) -> Model:
    """Multiply every class of channels that may be scaled by 2 ** uniform(-octaves, octaves)."""
    result, draw = model.copy(), np.random.default_rng(seed)
    classes = find_classes(result)
    factors = 2.0 ** draw.uniform(-octaves, octaves, classes.count)
    scale_channels(result, classes, np.where(classes.fixed | classes.clamped, 1.0, factors))
    return result


def rescaled(network: Network, octaves: float, seed: int) -> Network:
    """Return the network with `rescale_randomly` applied to its float model."""

    def build(spec: InputSpec) -> FloatModel:
        made = network.build(spec)
        return replace(made, model=rescale_randomly(made.model, octaves, seed))

    return replace(network, build=build)
