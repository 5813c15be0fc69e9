"""Put a normalisation that an int8 input cannot have inside the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from export.graph.graph import OnnxGraph
from rpi_runtime.model.card import InputSpec


def prepend_normalisation(graph: OnnxGraph, spec: InputSpec) -> None:
    """Put ``(value - mean) * scale`` per channel inside the graph, as a 1x1 depthwise convolution.

    The graph's input becomes ``(value - 128) / 256``. Folding it into the first convolution instead would change the
    border, where that convolution pads with zeros.
    """
    scale, mean = np.array(spec.scale), np.array(spec.mean)
    graph.replace_constant("normalisation.weight", (scale * 256).astype(np.float32).reshape(3, 1, 1, 1))
    graph.replace_constant("normalisation.bias", ((128 - mean) * scale).astype(np.float32))
    nodes: Any = graph.model.graph.node
    for node in nodes:
        for index, name in enumerate(node.input):
            if name == "image":
                node.input[index] = "image/normalised"
    inputs = ["image", "normalisation.weight", "normalisation.bias"]
    conv = onnx.helper.make_node("Conv", inputs, ["image/normalised"], name="normalisation", group=3)
    nodes.insert(0, conv)
