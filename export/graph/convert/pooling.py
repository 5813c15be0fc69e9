"""Pools over windows and over whole maps.

A maximum that is padded takes no part of the padding: where TFLite's SAME does not lie as ONNX's does, the map's own
border is repeated instead, since every window that reaches out holds the border itself. XNNPACK has no average of
windows in INT8, but a depthwise convolution with equal weights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from export.graph.convert.arithmetic import multiply
from export.graph.convert.convolution import convolve
from export.graph.convert.layout import CHANNELS_LAST
from export.graph.convert.refusal import RefusalError
from export.graph.convert.registry import converts
from export.graph.convert.scope import Scope
from export.graph.convert.slicing import repeat_edges
from export.graph.convert.windows import Two, Windows, windows_of
from export.graph.node import Node
from quant.tflite.records import Tensor


@converts("MaxPool")
def convert_max_pool(scope: Scope, node: Node) -> None:
    """Dilated ones are maxima of shifted maps, which TFLite has not."""
    if len(node.outputs) > 1 and node.outputs[1]:
        raise RefusalError("it also gives the places of the maxima; expected the maxima alone")
    tensor = scope.channels_last(node)
    windows = _windows(node, tensor)
    if windows.dilations != (1, 1):
        raise RefusalError(f"its dilations are {windows.dilations}; expected none")
    scope.keep(node, max_pool(scope, tensor, windows), CHANNELS_LAST)


def _windows(node: Node, tensor: Tensor) -> Windows:
    """The windows, padded behind as far as the output needs, which with ``ceil_mode`` is beyond the pads."""
    kernel = [int(n) for n in node.get("kernel_shape", ())]
    if len(kernel) != 2:
        raise RefusalError(f"it works along {len(kernel)} axes; expected two")
    size = (tensor.shape[1], tensor.shape[2])
    windows = windows_of(node, size, (kernel[0], kernel[1]))
    return windows.reaching(size, (node.shape[2], node.shape[3]))


def max_pool(scope: Scope, tensor: Tensor, windows: Windows) -> Tensor:
    """The largest value of each window of a map (1, H, W, C)."""
    size = (tensor.shape[1], tensor.shape[2])
    height, width = windows.output(size)
    padding = "VALID"
    if windows.padded and windows.same(size):
        padding = "SAME"
    elif windows.padded:
        tensor = repeat_edges(scope, tensor, *windows.before, *windows.after)
    shape = (tensor.shape[0], height, width, tensor.shape[3])
    return scope.emit(
        "MAX_POOL_2D", [tensor], shape, padding=padding, filter_height=windows.kernel[0],
        filter_width=windows.kernel[1], stride_h=windows.strides[0], stride_w=windows.strides[1],
    )  # fmt: skip


@converts("AveragePool")
def convert_average_pool(scope: Scope, node: Node) -> None:
    """A depthwise convolution; windows that reach out divide by what they hold, or by all, as the node says."""
    tensor = scope.channels_last(node)
    windows = _windows(node, tensor)
    size, channels = (tensor.shape[1], tensor.shape[2]), tensor.shape[3]
    counted = node.get("count_include_pad", 0) == 1
    holds = _holds(node, windows, size, counted)
    area = windows.kernel[0] * windows.kernel[1]
    kernel = np.full((channels, 1, *windows.kernel), 1 / area, np.float32)
    result = convolve(scope, tensor, kernel, np.zeros(channels, np.float32), windows, channels)
    if not np.all(holds == area):
        result = multiply(scope, result, (area / holds).astype(np.float32)[None, :, :, None])
    scope.keep(node, result, CHANNELS_LAST)


def _holds(node: Node, windows: Windows, size: Two, counted: bool) -> NDArray[np.float64]:
    """How many pixels each window is divided by; what ``ceil_mode`` adds behind the padding never counts."""
    pads = windows_of(node, size, windows.kernel)
    each = []
    for axis in (0, 1):
        front, behind = (pads.before[axis], pads.after[axis]) if counted else (0, 0)
        inside = np.zeros(size[axis] + windows.before[axis] + max(windows.after[axis], behind))
        start = windows.before[axis] - front
        inside[start : start + front + size[axis] + behind] = 1
        starts = np.arange(windows.output(size)[axis]) * windows.strides[axis]
        taps = np.arange(windows.kernel[axis]) * windows.dilations[axis]
        each.append(inside[starts[:, None] + taps].sum(axis=1))
    return np.outer(each[0], each[1])


@converts("GlobalAveragePool", "GlobalMaxPool")
def convert_global(scope: Scope, node: Node) -> None:
    """A reduction over all axes behind the channels."""
    kind = "MEAN" if node.kind == "GlobalAveragePool" else "REDUCE_MAX"
    value = scope.input(node)
    places = sorted(value.place(axis) for axis in range(2, len(value.order)))
    shape = [1 if place in places else n for place, n in enumerate(value.tensor.shape)]
    result = scope.emit(kind, [value.tensor, scope.integers(places)], shape, keep_dims=True)
    scope.keep(node, result, value.order)
