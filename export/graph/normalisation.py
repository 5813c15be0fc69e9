"""Normalisations that an int8 input cannot be: they go inside the graph, and the card gets a plain one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from export.graph.graph import OnnxGraph
from rpi_runtime.model.card import InputSpec

PIXELS = InputSpec(width=1, height=1)  # (value - 128) / 256, what an int8 input can be without arithmetic
# torchvision's statistics of ImageNet, in pixel values
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_SCALE = (1 / 58.395, 1 / 57.12, 1 / 57.375)


def is_plain(spec: InputSpec) -> bool:
    """Whether an int8 input of this normalisation is exactly ``value - 128``: one scale, one whole mean in 0..255."""
    same = len(set(spec.mean)) == 1 and len(set(spec.scale)) == 1
    return same and spec.mean[0] == int(spec.mean[0]) and 0 <= spec.mean[0] <= 255


def plain_input(spec: InputSpec) -> InputSpec:
    """Return the input of the network once its normalisation is inside the graph; `spec` itself where it is plain."""
    return spec if is_plain(spec) else replace(spec, mean=PIXELS.mean, scale=PIXELS.scale)


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
