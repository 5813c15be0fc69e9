"""A PyTorch network to its ONNX graph, normalisation included, compared with the network as it was published."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.graph.graph import OnnxGraph, from_torch, run
from export.graph.normalisation import prepend_normalisation
from export.graph.parity import Parity, compare
from export.zoo.inputs import is_plain
from rpi_runtime.model.card import InputSpec

Published = Callable[[Tensor], Sequence[Tensor]]


def build_from_torch(
    form: nn.Module, published: Published, outputs: Sequence[str], normalisation: InputSpec, spec: InputSpec
) -> tuple[OnnxGraph, list[Parity]]:
    """Export a network at one size.

    Parameters
    ----------
    form : nn.Module
        What is exported: (1, 3, H, W), normalised, to one map per output.
    published : callable
        The network as it was published, to the same maps; often `form` itself.
    outputs : sequence of str
        Names of the maps.
    normalisation : InputSpec
        Of the published network; goes inside the graph where an int8 input cannot be it.
    spec : InputSpec
        The input of the file that is made.
    """
    graph = from_torch(form, spec.width, spec.height, outputs)
    if not is_plain(normalisation):
        prepend_normalisation(graph, normalisation)
    shape = (1, 3, spec.height, spec.width)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.float64)
    with torch.inference_mode():
        maps = published(torch.from_numpy(_normalised(pixels, normalisation)))
    expected = {name: value.numpy() for name, value in zip(outputs, maps, strict=True)}
    return graph, compare("torch -> onnx", expected, run(graph, _normalised(pixels, spec)))


def _normalised(pixels: NDArray[np.float64], spec: InputSpec) -> NDArray[np.float32]:
    mean, scale = (np.reshape(v, (1, 3, 1, 1)) for v in (spec.mean, spec.scale))
    return np.asarray((pixels - mean) * scale, np.float32)
